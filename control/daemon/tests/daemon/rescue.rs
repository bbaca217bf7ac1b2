//! A port that keeps orders on disconnect: the daemon cancels what a dead data plane left.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::sys::signal::Signal;
use tern_abi::record::Kind;
use tern_abi::rescue::{RescueRecord, RescueStep};
use tern_journal::Reader;
use zerocopy::FromBytes;

use crate::bench::Bench;

/// OUCH 5.0, 3.2: an order of 100 shares that is live.
fn accepted(order: u32) -> Vec<u8> {
    let tail = [&b"B"[..], &100_u32.to_be_bytes(), b"TERN    ", &10_0000_u64.to_be_bytes(), b"0Y", &[0; 8], b"ANNL"];
    [&b"A"[..], &[0; 8], &order.to_be_bytes(), &tail.concat(), b"              ", &[0, 0]].concat()
}

/// A venue with two open orders, which cancels the first and says nothing of the second; every packet that it gets.
fn venue() -> (u16, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (told, heard) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            while let Some(packet) = read_packet(&mut stream) {
                let answers = match (packet[0], packet.get(1)) {
                    (b'L', _) => {
                        let wanted = String::from_utf8_lossy(&packet[27..47]).trim().to_owned();
                        let from = if wanted == "0" { 3 } else { 1 };
                        let login = format!("A        S1{from:>20}").into_bytes();
                        let log = [accepted(1), accepted(2)];
                        let log = log.iter().filter(|_| from == 1).map(|message| [&b"S"[..], message].concat());
                        std::iter::once(login).chain(log).collect()
                    }
                    (b'U', Some(b'Q')) => vec![[&b"SQ"[..], &[0; 8], &3_u32.to_be_bytes()].concat()],
                    (b'U', Some(b'X')) if packet[2..6] == [0, 0, 0, 1] => {
                        vec![[&b"SC"[..], &[0; 8], &[0, 0, 0, 1], &100_u32.to_be_bytes(), b"U"].concat()]
                    }
                    _ => Vec::new(),
                };
                told.send(packet).ok();
                for answer in answers {
                    let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
                    if stream.write_all(&framed).is_err() {
                        break;
                    }
                }
            }
        }
    });
    (port, heard)
}

fn read_packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut packet = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut packet).ok()?;
    Some(packet)
}

#[test]
fn what_a_dead_data_plane_left_open_is_cancelled_and_recorded() {
    let (port, heard) = venue();
    let session = format!(
        "[session]\nvenue = \"itch_ouch\"\naddress = \"127.0.0.1:{port}\"\nuser = \"TERN01\"\npassword = \"secret\"\n\
         account = 1\ncancel_on_disconnect = false\n[daemon]\nrestart_pause_ms = 10\n"
    );
    let mut bench = Bench::new("rescue", "", &session);
    bench.start();
    bench.until_journaled(50);
    let first = bench.data_plane();
    bench.kill_data_plane(Signal::SIGKILL);
    bench.until("a rescue", || bench.facts().rescues == 1);
    let fact = bench.facts().rescue.expect("it is told");
    assert_eq!(fact.error, "");
    assert_eq!((fact.open_in_log, fact.cancels_sent, fact.cancelled, fact.left_open), (2, 2, 1, 1), "{fact:?}");
    bench.until("another data plane", || bench.data_plane().is_some_and(|pid| Some(pid) != first));
    bench.stop();
    bench.verified();

    let packets: Vec<Vec<u8>> = heard.try_iter().collect();
    let kinds: Vec<u8> = packets.iter().map(|packet| *packet.get(1).unwrap_or(&packet[0])).collect();
    assert_eq!(kinds, *b"TTXXQQO", "two logins, two cancels in one go, queries, and out: {packets:?}");
    let mut reader = Reader::open(&bench.config.paths.journal).expect("a journal");
    let (mut steps, mut sent) = (Vec::new(), Vec::new());
    while let Some(record) = reader.next().expect("it is whole") {
        if record.kind() == Some(Kind::Rescue) {
            let (step, bytes) = RescueRecord::read_from_prefix(record.body).expect("a whole record");
            let what = RescueStep::from_index(step.step as usize).expect("a step");
            steps.push((what, step.order));
            if what == RescueStep::Sent {
                sent.push(bytes[2..].to_vec());
            }
        }
    }
    use RescueStep as Step;
    let sent_now = |order| (Step::Sent, order);
    let expected = [
        [(Step::Begun, 0), sent_now(0), (Step::LoggedIn, 0), sent_now(0), (Step::LoggedIn, 0), (Step::LogRead, 0)],
        [sent_now(1), sent_now(2), sent_now(0), sent_now(0), (Step::Cancelled, 1), (Step::Open, 2)],
    ];
    assert_eq!(steps[..12], expected.concat());
    assert_eq!(steps[12..], [sent_now(0), (Step::Done, 0)]);
    // What left is what arrived, but for the password.
    assert_eq!(sent[2..], packets[2..]);
    assert_eq!(sent[0][7..17], *b"******    ");
}

#[test]
fn a_port_that_cancels_on_disconnect_needs_no_rescue() {
    let (port, heard) = venue();
    let session = format!(
        "[session]\nvenue = \"itch_ouch\"\naddress = \"127.0.0.1:{port}\"\nuser = \"TERN01\"\npassword = \"secret\"\n\
         account = 1\n[daemon]\nrestart_pause_ms = 10\n"
    );
    let mut bench = Bench::new("no-rescue", "", &session);
    bench.start();
    bench.until_journaled(50);
    let first = bench.data_plane();
    bench.kill_data_plane(Signal::SIGKILL);
    bench.until("another data plane", || bench.data_plane().is_some_and(|pid| Some(pid) != first));
    bench.stop();
    assert_eq!((bench.facts().rescues, heard.try_iter().count()), (0, 0));
}
