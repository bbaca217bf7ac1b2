//! What the tests of this crate share: hexadecimal vectors, and the real captures, which are not part of the project.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};

/// Bytes of a vector written as hexadecimal digits and `'text'`, with spaces between fields.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('\'') {
        digits(&rest[..start], &mut bytes);
        let quoted = &rest[start + 1..];
        let end = quoted.find('\'').expect("closing quote");
        bytes.extend_from_slice(&quoted.as_bytes()[..end]);
        rest = &quoted[end + 1..];
    }
    digits(rest, &mut bytes);
    bytes
}

fn digits(text: &str, bytes: &mut Vec<u8>) {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert_eq!(digits.len() % 2, 0, "odd number of digits in {text:?}");
    for pair in digits.chunks(2) {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        bytes.push(u8::from_str_radix(pair, 16).expect("hexadecimal digits"));
    }
}

/// A file of real data; `None`, said loudly, when it is not on this machine. `TERN_SHARED` overrides the place.
pub(crate) fn shared_data(path: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("TERN_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let file = shared.join("data").join(path);
    if file.exists() {
        Some(file)
    } else {
        eprintln!("SKIP: real data is absent: {} (set TERN_SHARED to the folder that holds data/)", file.display());
        None
    }
}

/// As [`shared_data`], read whole.
pub(crate) fn shared_bytes(path: &str) -> Option<Vec<u8>> {
    shared_data(path).map(|file| std::fs::read(file).expect("readable"))
}

/// Transport payloads of a capture: classic pcap, Ethernet, at most one VLAN tag, IPv4, UDP or TCP. Bytes that a capture
/// device appended behind the IP packet are left out.
pub(crate) fn pcap_payloads(file: &[u8]) -> Vec<Vec<u8>> {
    let magic = u32::from_le_bytes(file[..4].try_into().unwrap());
    assert!(magic == 0xa1b2_c3d4 || magic == 0xa1b2_3c4d, "little-endian pcap expected");
    let mut payloads = Vec::new();
    let mut rest = &file[24..];
    while rest.len() >= 16 {
        let captured = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let frame = &rest[16..16 + captured];
        rest = &rest[16 + captured..];
        payloads.push(payload(frame).to_vec());
    }
    assert!(rest.is_empty(), "pcap ends in a record");
    payloads
}

fn payload(frame: &[u8]) -> &[u8] {
    let be16 = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let ip = match be16(12) {
        0x0800 => 14,
        0x8100 if be16(16) == 0x0800 => 18,
        other => panic!("EtherType {other:04x}"),
    };
    let end = ip + be16(ip + 2) as usize;
    let transport = ip + usize::from(frame[ip] & 0xf) * 4;
    match frame[ip + 9] {
        17 => &frame[transport + 8..end],
        6 => &frame[transport + usize::from(frame[transport + 12] >> 4) * 4..end],
        other => panic!("IP protocol {other}"),
    }
}
