//! SoupBinTCP: bytes from the tables and from real logins, any chunking, bad input.

mod common;

use common::{hex, pcap_payloads, shared_bytes};
use proptest::prelude::*;
use tern_venues::itch_ouch::wire::soup::*;
use tern_venues::itch_ouch::wire::{Alpha, BufferTooSmall};

fn one(bytes: &[u8]) -> Packet<'_> {
    let mut deframer = Deframer::<256>::new();
    let mut rest = bytes;
    let frame = deframer.next(&mut rest).expect("framed").expect("whole");
    // The deframer's tail is not involved when a packet lies whole in its input.
    let payload = &bytes[HEADER_BYTES..HEADER_BYTES + frame.payload.len()];
    assert!(rest.is_empty());
    Frame { kind: frame.kind, payload }.packet().expect("meaning")
}

#[test]
fn every_packet_reads_and_writes() {
    let accepted = LoginAccepted { session: Alpha::right_justified(b"S1"), sequence_number: AsciiNumber::new(42) };
    let rejected = LoginRejected { reject_reason_code: RejectCode::NotAuthorized.byte() };
    let request = LoginRequest {
        username: Alpha::new(b"user"),
        password: Alpha::new(b"secret"),
        requested_session: Alpha::BLANK,
        requested_sequence_number: AsciiNumber::new(1),
    };
    let table: [(&str, Packet<'_>); 10] = [
        ("0003 '+' 'hi'", Packet::Debug(b"hi")),
        ("001f 'A' '        S1' '                  42'", Packet::LoginAccepted(&accepted)),
        ("0002 'J' 'A'", Packet::LoginRejected(&rejected)),
        ("0004 'S' 010203", Packet::SequencedData(&[1, 2, 3])),
        ("0001 'H'", Packet::ServerHeartbeat),
        ("0001 'Z'", Packet::EndOfSession),
        ("002f 'L' 'user  ' 'secret    ' '          ' '                   1'", Packet::LoginRequest(&request)),
        ("0002 'U' 'Q'", Packet::UnsequencedData(b"Q")),
        ("0001 'R'", Packet::ClientHeartbeat),
        ("0001 'O'", Packet::LogoutRequest),
    ];
    for (text, packet) in table {
        let bytes = hex(text);
        assert_eq!(one(&bytes), packet);
        let mut buf = [0; 64];
        let written = write(&mut buf, &packet).expect("room");
        assert_eq!(buf[..written], bytes);
        let small = BufferTooSmall { need_bytes: written, have_bytes: written - 1 };
        assert_eq!(write(&mut buf[..written - 1], &packet), Err(small));
    }
}

#[test]
fn numbers_are_read_however_they_are_padded() {
    let read = |text: &str| AsciiNumber(Alpha::new(text.as_bytes())).get();
    assert_eq!(read("1"), Some(1));
    assert_eq!(AsciiNumber(Alpha::right_justified(b"12562")).get(), Some(12_562));
    assert_eq!(read("00000000000000000007"), Some(7));
    assert_eq!(read("18446744073709551615"), Some(u64::MAX));
    for bad in ["", "18446744073709551616", "99999999999999999999", "1x", "-1", "1 2"] {
        assert_eq!(read(bad), None, "{bad:?}");
    }
    for number in [0, 9, 10, 12_562, u64::MAX] {
        assert_eq!(AsciiNumber::new(number).get(), Some(number));
    }
    assert_eq!(&AsciiNumber::new(0).0.0, b"                   0");
}

#[test]
fn credentials_are_case_insensitive_and_stay_out_of_logs() {
    let request = LoginRequest {
        username: Alpha::new(b"User"),
        password: Alpha::new(b"SeCret"),
        requested_session: Alpha::BLANK,
        requested_sequence_number: AsciiNumber::new(0),
    };
    assert!(request.has_credentials(b"uSER ", b"secret"));
    assert!(!request.has_credentials(b"user", b"secret2"));
    assert!(!format!("{request:?}").contains("SeCret"));
}

#[test]
fn short_payloads_and_unknown_types_have_a_reason() {
    let accepted = hex("'        S1' '                  42'");
    for have in 0..accepted.len() {
        let frame = Frame { kind: kind::LOGIN_ACCEPTED, payload: &accepted[..have] };
        assert_eq!(frame.packet(), Err(PacketError::Truncated { kind: b'A', have_bytes: have }));
    }
    assert_eq!(Frame { kind: b'?', payload: b"" }.packet(), Err(PacketError::Unknown { kind: b'?' }));
    assert_eq!(Frame { kind: b'H', payload: b"more" }.packet(), Ok(Packet::ServerHeartbeat));
}

#[test]
fn a_stream_that_cannot_be_framed_is_refused() {
    let mut deframer = Deframer::<16>::new();
    assert_eq!(deframer.next(&mut &b"\0\0H"[..]), Err(FrameError::NoType));
    let too_long = FrameError::TooLong { need_bytes: 17, max_bytes: 16 };
    assert_eq!(deframer.next(&mut &b"\0\x0f"[..]), Err(too_long));
    // The same when the length arrives byte by byte.
    assert_eq!(deframer.next(&mut &b"\0"[..]), Ok(None));
    assert_eq!(deframer.next(&mut &b"\x0f"[..]), Err(too_long));
    deframer.reset();
    let mut longest = &b"\0\x0eS1234567890123"[..];
    let frame = deframer.next(&mut longest).expect("framed").expect("whole");
    assert_eq!(frame.payload, b"1234567890123");
}

fn deframe(chunks: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
    let mut deframer = Deframer::<128>::new();
    let mut frames = Vec::new();
    for chunk in chunks {
        let mut rest = *chunk;
        while let Some(frame) = deframer.next(&mut rest).expect("framed") {
            frames.push((frame.kind, frame.payload.to_vec()));
        }
        assert!(rest.is_empty(), "all input is taken");
    }
    assert_eq!(deframer.tail_bytes(), 0);
    frames
}

proptest! {
    #[test]
    fn chunking_does_not_matter(
        packets in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..100)), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut stream = Vec::new();
        let mut buf = [0; 128];
        for (kind, payload) in &packets {
            let written = write_packet(&mut buf, *kind, payload).expect("room");
            stream.extend_from_slice(&buf[..written]);
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        prop_assert_eq!(deframe(&chunks), packets.clone());
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(deframe(&bytes), packets);
    }

    #[test]
    fn any_bytes_end_in_frames_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut deframer = Deframer::<64>::new();
        let mut rest = &bytes[..];
        while let Ok(Some(frame)) = deframer.next(&mut rest) {
            let _ = frame.packet();
        }
        prop_assert!(deframer.tail_bytes() < 64);
    }
}

/// The text between `"key": "` and the next quote, for each occurrence.
fn strings<'a>(json: &'a str, key: &str) -> Vec<&'a str> {
    let start = format!("\"{key}\": \"");
    json.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn vectors_of_others() {
    let Some(file) = shared_bytes("jnx/ProtoFH_vectors_soup.json") else { return };
    let json = String::from_utf8(file).expect("UTF-8");
    let (vectors, names, kinds) = (strings(&json, "hex"), strings(&json, "name"), strings(&json, "type"));
    assert!(vectors.len() >= 12 && vectors.len() == names.len() && names.len() == kinds.len());
    for ((vector, name), kind) in vectors.iter().zip(names).zip(kinds) {
        let bytes = hex(vector);
        let packet = one(&bytes);
        assert_eq!([bytes[2]], kind.as_bytes(), "{name}");
        let mut buf = vec![0; bytes.len()];
        assert_eq!(write(&mut buf, &packet), Ok(bytes.len()), "{name}");
        assert_eq!(buf, bytes, "{name}");
        match (name, packet) {
            ("login_request_typical", Packet::LoginRequest(login)) => {
                assert!(login.has_credentials(b"usr", b"pass"));
                assert_eq!(login.requested_session.trimmed(), b"1697659284");
                assert_eq!(login.requested_sequence_number.get(), Some(12_562));
            }
            ("login_accepted_minimal", Packet::LoginAccepted(login)) => {
                assert_eq!((login.session.trimmed(), login.sequence_number.get()), (&b"1"[..], Some(1)));
            }
            _ => {}
        }
    }
}

#[test]
fn real_logins_and_heartbeats() {
    let Some(request) = shared_bytes("ouch/JnxEquities.Pts.Ouch.v1.11/LoginRequestPacket.pcap") else { return };
    let request = pcap_payloads(&request).remove(0);
    let Packet::LoginRequest(login) = one(&request) else { panic!("login request") };
    assert!(login.has_credentials(b"user", b"password"));
    assert!(login.requested_session.is_blank());
    assert_eq!(login.requested_sequence_number.get(), Some(0));

    let file = shared_bytes("ouch/JnxEquities.Pts.Ouch.v1.11/LoginAcceptedPacket.pcap").expect("beside the request");
    let accepted = pcap_payloads(&file).remove(0);
    let Packet::LoginAccepted(login) = one(&accepted) else { panic!("login accepted") };
    assert_eq!((login.session.trimmed(), login.sequence_number.get()), (&b"1689192121"[..], Some(135)));

    for (name, packet) in
        [("ClientHeartbeatPacket", Packet::ClientHeartbeat), ("ServerHeartbeatPacket", Packet::ServerHeartbeat)]
    {
        let file = shared_bytes(&format!("ouch/Nasdaq.Nsm.Ouch.v5.0/{name}.pcap")).expect("beside the others");
        assert_eq!(one(&pcap_payloads(&file)[0]), packet);
    }
}
