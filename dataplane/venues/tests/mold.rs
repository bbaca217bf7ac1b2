//! MoldUDP64: bytes from the tables, both directions, bad input.

mod common;

use common::hex;
use proptest::prelude::*;
use tern_venues::itch_ouch::wire::mold::*;
use tern_venues::itch_ouch::wire::{Alpha, BufferTooSmall};

const SESSION: Session = Alpha(*b"20261122AB");

#[test]
fn a_packet_of_three_messages_reads_and_writes() {
    let bytes = hex("'20261122AB' 0000000000001000 0003 0002 'hi' 0000 0001 'x'");
    let packet = Downstream::parse(&bytes).expect("packet");
    assert_eq!(packet.header.session, SESSION);
    assert_eq!(packet.header.sequence_number.get(), 0x1000);
    assert_eq!(packet.header.kind(), Kind::Messages(3));
    let blocks: Vec<&[u8]> = packet.blocks().map(|block| block.expect("whole")).collect();
    assert_eq!(blocks, [&b"hi"[..], b"", b"x"]);

    let mut buf = [0xee; 64];
    let mut builder = PacketBuilder::new(&mut buf, SESSION, 0x1000).expect("room");
    for message in blocks {
        builder.push(message).expect("room");
    }
    assert_eq!((builder.count(), builder.len_bytes()), (3, bytes.len()));
    assert_eq!(builder.finish(), bytes);
}

#[test]
fn heartbeat_end_of_session_and_request() {
    let mut buf = [0; 20];
    assert_eq!(write_heartbeat(&mut buf, SESSION, 77), Ok(20));
    assert_eq!(buf[..], hex("'20261122AB' 000000000000004d 0000"));
    assert_eq!(Downstream::parse(&buf).expect("packet").header.kind(), Kind::Heartbeat);
    assert_eq!(Downstream::parse(&buf).expect("packet").blocks().count(), 0);

    assert_eq!(write_end_of_session(&mut buf, SESSION, 78), Ok(20));
    assert_eq!(buf[..], hex("'20261122AB' 000000000000004e ffff"));
    let end = Downstream::parse(&buf).expect("packet");
    assert_eq!((end.header.kind(), end.blocks().count()), (Kind::EndOfSession, 0));

    assert_eq!(write_request(&mut buf, SESSION, 5, 10), Ok(20));
    assert_eq!(buf[..], hex("'20261122AB' 0000000000000005 000a"));
    let request = parse_request(&buf).expect("request");
    assert_eq!((request.sequence_number.get(), request.message_count.get()), (5, 10));

    let small = BufferTooSmall { need_bytes: 20, have_bytes: 19 };
    assert_eq!(write_heartbeat(&mut buf[..19], SESSION, 1), Err(small));
}

#[test]
fn a_packet_without_messages_is_a_heartbeat() {
    let mut buf = [0; 32];
    let builder = PacketBuilder::new(&mut buf, SESSION, 9).expect("room");
    assert!(builder.is_empty());
    assert_eq!(Downstream::parse(builder.finish()).expect("packet").header.kind(), Kind::Heartbeat);
}

#[test]
fn a_full_builder_keeps_what_it_has() {
    let mut buf = [0; 20 + 2 + 5];
    let mut builder = PacketBuilder::new(&mut buf, SESSION, 1).expect("room");
    builder.push(b"12345").expect("fits exactly");
    assert_eq!(builder.push(b""), Err(BufferTooSmall { need_bytes: 29, have_bytes: 27 }));
    let packet = builder.finish();
    assert_eq!(Downstream::parse(packet).expect("packet").blocks().next(), Some(Ok(&b"12345"[..])));
}

#[test]
fn a_packet_holds_65534_messages_and_no_more() {
    let mut buf = vec![0; 20 + 2 * 70_000];
    let mut builder = PacketBuilder::new(&mut buf, SESSION, 1).expect("room");
    let pushed = (0..70_000).take_while(|_| builder.push(b"").is_ok()).count();
    assert_eq!(pushed, 65_534, "65,535 would read as end of session");
    assert_eq!(Downstream::parse(builder.finish()).expect("packet").header.kind(), Kind::Messages(65_534));
}

#[test]
fn cut_anywhere_is_a_counted_reason() {
    let whole = hex("'20261122AB' 0000000000000001 0002 0003 'abc' 0002 'de'");
    for cut in 0..whole.len() {
        let packet = match Downstream::parse(&whole[..cut]) {
            Ok(packet) => packet,
            Err(error) => {
                assert!(cut < 20 && error.have_bytes == cut);
                continue;
            }
        };
        let blocks: Vec<_> = packet.blocks().collect();
        let expected = if cut < 25 {
            vec![Err(BlockTruncated { missing_count: 2 })]
        } else {
            vec![Ok(&b"abc"[..]), Err(BlockTruncated { missing_count: 1 })]
        };
        assert_eq!(blocks, expected, "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_walked_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(packet) = Downstream::parse(&bytes) {
            let mut blocks = packet.blocks();
            let taken: usize = (&mut blocks).map_while(Result::ok).map(|block| block.len() + 2).sum();
            prop_assert_eq!(blocks.left(), 0);
            prop_assert_eq!(20 + taken + blocks.rest().len(), bytes.len());
        }
    }

    #[test]
    fn what_is_built_is_read(
        sequence in any::<u64>(),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..30),
    ) {
        let mut buf = [0; 4096];
        let mut builder = PacketBuilder::new(&mut buf, SESSION, sequence).expect("room");
        for message in &messages {
            prop_assert!(builder.push(message).is_ok());
        }
        let packet = Downstream::parse(builder.finish()).expect("packet");
        prop_assert_eq!(packet.header.sequence_number.get(), sequence);
        let read: Vec<Vec<u8>> = packet.blocks().map(|block| block.expect("whole").to_vec()).collect();
        prop_assert_eq!(read, messages);
    }
}
