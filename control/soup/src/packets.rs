//! What may be written to a venue: this, and nothing else.

/// A client's packet. There is no way to make one with another message in it.
#[derive(Clone, Copy)]
pub(crate) enum Packet<'a> {
    /// SoupBinTCP 2.3.1.
    Login { user: &'a str, password: &'a str, session: [u8; 10], next_seq: u64 },
    /// 2.3.3.
    Heartbeat,
    /// 2.3.4.
    LogOut,
    /// OUCH 5.0, 2.5.
    Query,
    /// OUCH 5.0, 2.3, to no share left.
    Cancel(u32),
}

impl Packet<'_> {
    /// Appends the bytes of the packet.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        let from = bytes.len();
        bytes.extend_from_slice(&[0, 0]);
        match *self {
            Self::Login { user, password, session, next_seq } => {
                bytes.push(b'L');
                padded(bytes, user, 6);
                padded(bytes, password, 10);
                bytes.extend_from_slice(&session);
                bytes.extend_from_slice(format!("{next_seq:>20}").as_bytes());
            }
            Self::Heartbeat => bytes.push(b'R'),
            Self::LogOut => bytes.push(b'O'),
            Self::Query => bytes.extend_from_slice(b"UQ"),
            Self::Cancel(order) => {
                bytes.extend_from_slice(b"UX");
                bytes.extend_from_slice(&order.to_be_bytes());
                bytes.extend_from_slice(&[0; 4]);
            }
        }
        // The longest is the login, 47 bytes.
        let length = (bytes.len() - from - 2) as u16;
        bytes[from..from + 2].copy_from_slice(&length.to_be_bytes());
    }
}

/// Text of a fixed width, spaces on the right; what is too long is cut.
fn padded(bytes: &mut Vec<u8>, text: &str, width: usize) {
    let text = text.as_bytes();
    bytes.extend((0..width).map(|at| text.get(at).copied().unwrap_or(b' ')));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_the_tables_say() {
        let bytes = |packet: Packet<'_>| {
            let mut bytes = Vec::new();
            packet.write(&mut bytes);
            bytes
        };
        let login = Packet::Login { user: "user", password: "secret", session: [b' '; 10], next_seq: 1 };
        let fields = ["L", "user  ", "secret    ", "          ", "                   1"].concat();
        assert_eq!(bytes(login), [b"\x00\x2f", fields.as_bytes()].concat());
        assert_eq!(bytes(Packet::Heartbeat), b"\x00\x01R");
        assert_eq!(bytes(Packet::LogOut), b"\x00\x01O");
        assert_eq!(bytes(Packet::Query), b"\x00\x02UQ");
        assert_eq!(bytes(Packet::Cancel(0x0102_0304)), b"\x00\x0aUX\x01\x02\x03\x04\x00\x00\x00\x00");
    }
}
