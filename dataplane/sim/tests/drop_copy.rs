//! The drop copy's gateway: it tells a stream from any message on, and takes nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tern_sim::gateway::{Gateway, User};
use tern_venues::itch_ouch::wire::Alpha;

fn packet(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes()[..], body].concat()
}

fn login(from: u64) -> Vec<u8> {
    packet(format!("LDROP01secret    {:>10}{from:>20}", "").as_bytes())
}

/// Serves until `done` of what the client got, or it is closed; what it got.
fn served(gateway: &mut Gateway, client: &mut TcpStream, done: impl Fn(&[u8]) -> bool) -> (Vec<u8>, bool) {
    let (mut got, mut chunk, mut events) = (Vec::new(), [0; 1024], Vec::new());
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        gateway.read(&mut events);
        gateway.write(&mut events);
        match client.read(&mut chunk) {
            Ok(0) => return (got, true),
            Ok(count) => got.extend_from_slice(&chunk[..count]),
            Err(_) => {}
        }
        if done(&got) {
            return (got, false);
        }
    }
    panic!("not in time: {got:?}");
}

#[test]
fn it_tells_the_stream_from_where_it_is_asked_and_takes_no_message() {
    let user = User { name: "DROP01".into(), password: "secret".into() };
    let address = "127.0.0.1:0".parse().expect("an address");
    let mut gateway =
        Gateway::listen_read_only(address, Alpha::right_justified(b"S1"), vec![user]).expect("a listener");
    for message in [b"one", b"two"] {
        gateway.append(0, message);
    }
    let connect = |gateway: &Gateway| {
        let client = TcpStream::connect(gateway.address().expect("bound")).expect("it listens");
        client.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
        client
    };
    let mut client = connect(&gateway);
    client.write_all(&login(2)).expect("sent");
    let (got, _) = served(&mut gateway, &mut client, |got| got.ends_with(b"two"));
    assert!(!got.windows(3).any(|part| part == b"one"), "from message 2 on: {got:?}");

    let order = [&b"UX"[..], &[0, 0, 0, 1], &[0; 4]].concat();
    client.write_all(&packet(&order)).expect("sent");
    let (_, closed) = served(&mut gateway, &mut client, |_| false);
    assert!(closed, "who sends a message is sent away");

    let mut client = connect(&gateway);
    client.write_all(&login(1)).expect("sent");
    served(&mut gateway, &mut client, |got| got.ends_with(b"two"));
    gateway.cut();
    let (_, closed) = served(&mut gateway, &mut client, |_| false);
    assert!(closed, "cut on request");
}
