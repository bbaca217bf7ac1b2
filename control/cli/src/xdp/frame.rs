//! What a frame that the XDP program passed on is, seen as the program sees it: why it may have passed it.

use std::net::Ipv4Addr;

/// VLAN tags that the program looks behind.
const TAGS_MAX: usize = 2;

/// Why a frame of a group is not redirected, or that it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// A whole UDP datagram to this port.
    Udp(u16),
    /// More VLAN tags than are parsed.
    VlanDepth(usize),
    /// A fragment.
    Fragment,
    /// IPv4 options.
    Options,
    /// Shorter than its headers claim.
    Truncated,
    /// Neither.
    OtherProtocol(u8),
}

/// The IPv4 destination of a frame and its shape; `None` of what is no IPv4. `outer_tag` says that the kernel took a tag off.
pub(crate) fn shape(bytes: &[u8], outer_tag: bool) -> Option<(Ipv4Addr, Shape)> {
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (mut kind, mut at, mut tags) = (word(12)?, 14, usize::from(outer_tag));
    while matches!(kind, 0x8100 | 0x88a8) {
        kind = word(at + 2)?;
        at += 4;
        tags += 1;
    }
    if kind != 0x0800 {
        return None;
    }
    let ip = bytes.get(at..)?;
    let to = Ipv4Addr::from(*ip.get(16..20)?.first_chunk::<4>()?);
    let field = |at: usize| ip.get(at..at + 2).and_then(|field| field.try_into().ok()).map_or(0, u16::from_be_bytes);
    let length = usize::from(field(2));
    let shape = match (ip[0], ip[9]) {
        _ if tags > TAGS_MAX => Shape::VlanDepth(tags),
        (version, _) if version != 0x45 => Shape::Options,
        _ if field(6) & 0x3fff != 0 => Shape::Fragment,
        (_, 17) if length < 28 || ip.len() < 28 || usize::from(field(24)) > length - 20 => Shape::Truncated,
        (_, 17) => Shape::Udp(field(22)),
        (_, protocol) => Shape::OtherProtocol(protocol),
    };
    Some((to, shape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_hw::testnet::FrameBuilder;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 1, 1);
    const SENDER: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 77, 0, 2), 4000);

    #[test]
    fn each_reason_to_pass_a_frame_is_told_apart() {
        let whole = FrameBuilder::new().udp(SENDER, (GROUP, 26_400), b"tick");
        assert_eq!(shape(&whole, false), Some((GROUP, Shape::Udp(26_400))));
        let two = FrameBuilder::new().vlan(7).vlan(8).udp(SENDER, (GROUP, 26_400), b"tick");
        assert_eq!(shape(&two, false), Some((GROUP, Shape::Udp(26_400))));
        assert_eq!(shape(&two, true), Some((GROUP, Shape::VlanDepth(3))));
        let fragment = FrameBuilder::new().ipv4(17, SENDER.0, GROUP, 0x2000, &[0; 16]);
        assert_eq!(shape(&fragment, false), Some((GROUP, Shape::Fragment)));
        let mut options = whole.clone();
        options[14] = 0x46;
        assert_eq!(shape(&options, false), Some((GROUP, Shape::Options)));
        let tcp = FrameBuilder::new().tcp_syn(SENDER, (GROUP, 80));
        assert_eq!(shape(&tcp, false), Some((GROUP, Shape::OtherProtocol(6))));
        let short = FrameBuilder::new().ipv4(17, SENDER.0, GROUP, 0, &[0; 4]);
        assert_eq!(shape(&short, false), Some((GROUP, Shape::Truncated)));
        assert_eq!(shape(&FrameBuilder::new().arp(1, SENDER.0, SENDER.0), false), None);
        for length in 0..whole.len() {
            // Nothing to assert but that it comes back.
            let _ = shape(&whole[..length], length % 2 == 0);
        }
    }
}
