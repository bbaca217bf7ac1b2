//! One message, packet or file at a time.

use tern_venues::itch_ouch::itch_file::ItchFile;
use tern_venues::itch_ouch::wire::{itch, mold, ouch, soup};

pub(super) fn mold_packet(data: &[u8]) {
    let Ok(packet) = mold::Downstream::parse(data) else { return };
    let mut blocks = packet.blocks();
    let mut bytes = 0;
    for block in blocks.by_ref() {
        let Ok(block) = block else { break };
        bytes += block.len() + 2;
        let _ = itch::Message::decode(block);
    }
    assert!(bytes <= data.len(), "blocks hold more bytes than the datagram");
}

pub(super) fn itch_message(data: &[u8]) {
    let Ok(message) = itch::Message::decode(data) else { return };
    assert_eq!(message.as_bytes(), &data[..message.len_bytes()], "a decoded message is its own bytes");
    assert_eq!(itch::length_of(data[0]), Some(message.len_bytes()));
}

pub(super) fn itch_file(data: &[u8]) {
    let mut bytes = 0;
    for message in ItchFile::new(data) {
        let Ok(message) = message else { break };
        bytes += message.len() + 2;
    }
    assert!(bytes <= data.len() + 2, "messages hold more bytes than the file");
}

/// The first byte chooses where the stream is cut: any chunking must give the same packets.
pub(super) fn soup_stream(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = packets(&[stream]);
    let middle = usize::from(cut).min(stream.len());
    assert_eq!(whole, packets(&[&stream[..middle], &stream[middle..]]), "chunking changed the packets");
}

fn packets(chunks: &[&[u8]]) -> Vec<(String, bool)> {
    let mut deframer = soup::Deframer::<512>::new();
    let mut seen = Vec::new();
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            match deframer.next(&mut input) {
                Ok(Some(frame)) => seen.push((format!("{frame:?}"), frame.packet().is_ok())),
                Ok(None) => break,
                Err(_) => {
                    seen.push(("error".into(), false));
                    return seen;
                }
            }
        }
    }
    seen
}

pub(super) fn ouch_inbound(data: &[u8]) {
    let Ok((message, used)) = ouch::Inbound::decode(data) else { return };
    assert!(used <= data.len());
    // an absent appendage is written as an empty one, so not the bytes but their meaning is the same
    let mut again = [0; 4096];
    if let Ok(length) = message.write(&mut again) {
        let reread = ouch::Inbound::decode(&again[..length]).map(|(message, _)| message);
        assert_eq!(reread, Ok(message), "what is written is read back");
    }
}

pub(super) fn ouch_outbound(data: &[u8]) {
    let Ok((message, used)) = ouch::Outbound::decode(data) else { return };
    assert!(used <= data.len());
    // an absent appendage is written as an empty one, so not the bytes but their meaning is the same
    let mut again = [0; 4096];
    if let Ok(length) = message.write(&mut again) {
        let reread = ouch::Outbound::decode(&again[..length]).map(|(message, _)| message);
        assert_eq!(reread, Ok(message), "what is written is read back");
    }
}

/// A mistake of the usual kind, deep enough that random bytes do not find it: the file reader's length is trusted for a
/// certain message.
#[cfg(feature = "planted")]
pub(super) fn planted(data: &[u8]) {
    if let Ok(itch::Message::AddOrder(add)) = itch::Message::decode(data)
        && add.shares.get() > 1_000_000
        && add.buy_sell_indicator == b'S'
    {
        let rest = &data[itch::length_of(b'A').unwrap_or(0)..];
        assert!(rest.first() != Some(&0x7f), "planted bug found");
    }
}
