//! The messages of a recorded datagram, as text: what the strategy was told when it acted.
//!
//! MoldUDP64 1.00 and TotalView-ITCH 5.0, read here without the data plane's code, as everything that looks at records is.

use serde_json::{Value, json};

use crate::table::{grouped, money};

/// Most messages of a datagram that are told one by one.
const MESSAGES_MAX: usize = 12;
/// Session, sequence number, count of messages.
const HEADER_BYTES: usize = 20;
/// The count that says end of session.
const END_OF_SESSION: u64 = 0xFFFF;

/// A MoldUDP64 datagram of ITCH 5.0 messages; one that is none is said to be so, with its length.
pub(crate) fn told(payload: &[u8]) -> Value {
    let Some((header, body)) = payload.split_at_checked(HEADER_BYTES) else {
        return json!({ "unreadable_bytes": payload.len() });
    };
    let fields = Fields(header);
    let count = Some(fields.number(18, 2)).filter(|count| *count != END_OF_SESSION).unwrap_or(0);
    let mut told = Vec::new();
    let mut rest = body;
    for missing in (1..=count).rev().take(MESSAGES_MAX) {
        let block = rest.split_first_chunk::<2>();
        let block = block.and_then(|(length, rest)| rest.split_at_checked(u16::from_be_bytes(*length).into()));
        let Some((message, left)) = block else {
            told.push(format!("the packet ends here, {missing} messages are missing"));
            break;
        };
        told.push(text(message));
        rest = left;
    }
    json!({ "session": fields.name(0, 10), "sequence": fields.number(10, 8), "messages": count, "told": told })
}

/// Big-endian fields at their offsets; what is behind the end is 0.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn number(&self, at: usize, bytes: usize) -> u64 {
        let field = self.0.get(at..at + bytes).unwrap_or_default();
        field.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
    fn shares(&self, at: usize) -> String {
        grouped(self.number(at, 4))
    }
    fn price(&self, at: usize) -> String {
        money(self.number(at, 4))
    }
    fn name(&self, at: usize, bytes: usize) -> String {
        String::from_utf8_lossy(self.0.get(at..at + bytes).unwrap_or_default()).trim_end().to_owned()
    }
    fn stock(&self, at: usize) -> String {
        self.name(at, 8)
    }
    fn side(&self, at: usize) -> &'static str {
        match self.0.get(at) {
            Some(b'B') => "buy",
            Some(b'S') => "sell",
            _ => "?",
        }
    }
}

/// One message: its type letter, then what it says. Offsets are those of the specification's tables (1.3 to 1.5).
fn text(bytes: &[u8]) -> String {
    let m = Fields(bytes);
    let kind = bytes.first().copied().unwrap_or(0);
    let needs = match kind {
        b'A' | b'C' => 36,
        b'F' | b'Q' => 40,
        b'E' => 31,
        b'X' => 23,
        b'D' => 19,
        b'U' => 35,
        b'P' => 44,
        _ => 11,
    };
    let letter = kind.escape_ascii();
    if bytes.len() < needs {
        return format!("{letter} has {} bytes of {needs}", bytes.len());
    }
    let order = m.number(11, 8);
    match kind {
        b'A' | b'F' => {
            let by = if kind == b'F' { format!(" by {}", m.name(36, 4)) } else { String::new() };
            format!("{letter} order {order} {} {} {} at {}{by}", m.side(19), m.shares(20), m.stock(24), m.price(32))
        }
        b'E' => format!("E order {order} executed {}, match {}", m.shares(19), m.number(23, 8)),
        b'C' => format!("C order {order} executed {} at {}, match {}", m.shares(19), m.price(32), m.number(23, 8)),
        b'X' => format!("X order {order} less {}", m.shares(19)),
        b'D' => format!("D order {order}"),
        b'U' => format!("U order {order} becomes {}, {} at {}", m.number(19, 8), m.shares(27), m.price(31)),
        b'P' => format!("P {} {} traded at {}, match {}", m.shares(20), m.stock(24), m.price(32), m.number(36, 8)),
        b'Q' => format!(
            "Q {} {} crossed at {}, match {}",
            grouped(m.number(11, 8)),
            m.stock(19),
            m.price(27),
            m.number(31, 8)
        ),
        _ => format!("{letter} locate {}", m.number(1, 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_datagram_is_said_to_be_none() {
        assert_eq!(told(&[0; 5]), json!({ "unreadable_bytes": 5 }));
    }

    #[test]
    fn messages_are_told_and_cut_ones_too() {
        let message = |kind: u8, fields: &[u8]| [&[kind, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0], fields].concat();
        let nine = 9_u64.to_be_bytes();
        let add = [&nine[..], b"S", &100_u32.to_be_bytes(), b"MSFT    ", &10_5000_u32.to_be_bytes()].concat();
        let replace = [&nine[..], &10_u64.to_be_bytes(), &1500_u32.to_be_bytes(), &10_5100_u32.to_be_bytes()].concat();
        let trade = [&nine[..], b"B", &7_u32.to_be_bytes(), b"MSFT    ", &1_0000_u32.to_be_bytes(), &nine].concat();
        let messages = [
            message(b'A', &add),
            message(b'U', &replace),
            message(b'P', &trade),
            message(b'D', &nine),
            message(b'z', &[]),
            vec![b'A'; 3],
        ];
        let mut packet = b"TERN000001".to_vec();
        packet.extend(5_u64.to_be_bytes());
        packet.extend((messages.len() as u16 + 2).to_be_bytes());
        for message in &messages {
            packet.extend((message.len() as u16).to_be_bytes());
            packet.extend(message);
        }
        let said = told(&packet);
        assert_eq!(
            (&said["session"], &said["sequence"], &said["messages"]),
            (&"TERN000001".into(), &5.into(), &8.into())
        );
        let told: Vec<&str> = said["told"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let expected = [
            "A order 9 sell 100 MSFT at 10.5000",
            "U order 9 becomes 10, 1_500 at 10.5100",
            "P 7 MSFT traded at 1.0000, match 9",
            "D order 9",
            "z locate 7",
            "A has 3 bytes of 36",
            "the packet ends here, 2 messages are missing",
        ];
        assert_eq!(told, expected);
    }
}
