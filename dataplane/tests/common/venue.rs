//! A venue played by hand: SoupBinTCP 3.00 and OUCH 5.0 written byte by byte from the specifications, and ITCH 5.0 over
//! MoldUDP64 for the market data. It shares no codec with the appliance.

#![allow(dead_code, reason = "each test file uses a part of it")]

/// What became of an order message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept,
    AcceptAndFill,
    Reject,
}

/// The order gateway.
pub(crate) struct Gateway {
    inbox: Vec<u8>,
    /// Sequenced messages of the day, each without its packet.
    log: Vec<Vec<u8>>,
    /// Open shares by UserRefNum.
    open: std::collections::BTreeMap<u32, Open>,
    next_order: u32,
    next_match: u64,
    /// Enter, replace and cancel messages received.
    pub(crate) orders: Vec<Vec<u8>>,
    pub(crate) logins: u32,
    pub(crate) logouts: u32,
    pub(crate) answer: fn(u32) -> Answer,
}

struct Open {
    shares: u32,
    side: u8,
    symbol: [u8; 8],
    price: [u8; 8],
}

const STAMP: [u8; 8] = [0, 0, 0x1f, 0x1a, 0xd4, 0x2b, 0x89, 0x15];

fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() + 1) as u16;
    [&length.to_be_bytes()[..], &[kind], payload].concat()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

impl Gateway {
    pub(crate) fn new(answer: fn(u32) -> Answer) -> Self {
        Self {
            inbox: Vec::new(),
            log: Vec::new(),
            open: Default::default(),
            next_order: 1,
            next_match: 1,
            orders: Vec::new(),
            logins: 0,
            logouts: 0,
            answer,
        }
    }

    /// A new connection: what an old one left half sent is forgotten.
    pub(crate) fn connected(&mut self) {
        self.inbox.clear();
    }

    pub(crate) fn open_orders(&self) -> usize {
        self.open.len()
    }

    /// Order messages of one type: `O`, `U` or `X`.
    pub(crate) fn count(&self, kind: u8) -> usize {
        self.orders.iter().filter(|order| order[0] == kind).count()
    }

    pub(crate) fn heartbeat() -> Vec<u8> {
        packet(b'H', &[])
    }

    /// Not authorized (SoupBinTCP 3.00, 2.2.3).
    pub(crate) fn login_rejected() -> Vec<u8> {
        packet(b'J', b"A")
    }

    /// The end of the session (SoupBinTCP 3.00, 2.2.6).
    pub(crate) fn end_of_session() -> Vec<u8> {
        packet(b'Z', &[])
    }

    /// Takes bytes of the connection, gives the answers.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.inbox.extend_from_slice(bytes);
        let mut out = Vec::new();
        while self.inbox.len() >= 2 {
            let length = usize::from(u16::from_be_bytes([self.inbox[0], self.inbox[1]]));
            if self.inbox.len() < 2 + length {
                break;
            }
            let packet: Vec<u8> = self.inbox.drain(..2 + length).skip(2).collect();
            self.packet(&packet, &mut out);
        }
        out
    }

    fn packet(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match bytes[0] {
            b'L' => {
                self.logins += 1;
                let wanted: String = String::from_utf8_lossy(&bytes[27..47]).into();
                // 0 asks for the most recently generated message (SoupBinTCP 3.00, 2.3.1).
                let from = match wanted.trim().parse::<usize>().expect("a sequence number") {
                    0 => self.log.len().max(1),
                    from => from,
                };
                out.extend(packet(b'A', format!("{:>10}{from:>20}", "S1").as_bytes()));
                for message in &self.log[from - 1..] {
                    out.extend(packet(b'S', message));
                }
            }
            b'O' => self.logouts += 1,
            b'U' => self.order(&bytes[1..], out),
            _ => {}
        }
    }

    fn say(&mut self, message: Vec<u8>, out: &mut Vec<u8>) {
        out.extend(packet(b'S', &message));
        self.log.push(message);
    }

    fn order(&mut self, message: &[u8], out: &mut Vec<u8>) {
        if message[0] == b'Q' {
            let next = self.next_order.to_be_bytes();
            return self.say([&b"Q"[..], &STAMP, &next].concat(), out);
        }
        self.orders.push(message.to_vec());
        let reference = u32_at(message, 1);
        match message[0] {
            b'O' => self.enter(reference, message, out),
            b'U' => {
                let new = u32_at(message, 5);
                self.next_order = self.next_order.max(new + 1);
                let Some(mut open) = self.open.remove(&reference) else { return };
                open.shares = u32_at(message, 9);
                open.price = message[13..21].try_into().expect("eight bytes");
                let replaced = [
                    &b"U"[..],
                    &STAMP,
                    &message[1..9],
                    &[open.side],
                    &message[9..13],
                    &open.symbol,
                    &open.price,
                    &message[21..23],
                    &u64::from(new).to_be_bytes(),
                    b"P",
                    &message[23..24],
                    b"NL",
                    &message[24..38],
                    &[0, 0],
                ];
                let replaced = replaced.concat();
                self.open.insert(new, open);
                self.say(replaced, out);
            }
            b'X' => {
                let Some(open) = self.open.remove(&reference) else { return };
                let canceled = [&b"C"[..], &STAMP, &message[1..5], &open.shares.to_be_bytes(), b"U"].concat();
                self.say(canceled, out);
            }
            _ => {}
        }
    }

    fn enter(&mut self, reference: u32, message: &[u8], out: &mut Vec<u8>) {
        self.next_order = self.next_order.max(reference + 1);
        let answer = (self.answer)(reference);
        if answer == Answer::Reject {
            let rejected = [&b"J"[..], &STAMP, &message[1..5], &[0, 1], &message[31..45], &[0, 0]].concat();
            return self.say(rejected, out);
        }
        let shares = u32_at(message, 6);
        let accepted = [
            &b"A"[..],
            &STAMP,
            &message[1..28],
            &u64::from(reference).to_be_bytes(),
            &message[28..31],
            b"L",
            &message[31..45],
            &[0, 0],
        ];
        self.say(accepted.concat(), out);
        let open = Open {
            shares,
            side: message[5],
            symbol: message[10..18].try_into().expect("eight bytes"),
            price: message[18..26].try_into().expect("eight bytes"),
        };
        if answer == Answer::AcceptAndFill {
            let number = self.next_match.to_be_bytes();
            self.next_match += 1;
            let executed =
                [&b"E"[..], &STAMP, &message[1..5], &message[6..10], &message[18..26], b"A", &number, &[0, 0]];
            self.say(executed.concat(), out);
        } else {
            self.open.insert(reference, open);
        }
    }
}

/// The feed: numbered messages in datagrams.
pub(crate) struct FeedWriter {
    next: u64,
    reference: u64,
}

impl Default for FeedWriter {
    fn default() -> Self {
        Self { next: 1, reference: 1 }
    }
}

fn header(kind: u8, locate: u16) -> Vec<u8> {
    [&[kind][..], &locate.to_be_bytes(), &[0, 0], &[0x1f, 0x1a, 0xd4, 0x2b, 0x89, 0x15]].concat()
}

fn stock(locate: u16) -> [u8; 8] {
    let mut symbol = [b' '; 8];
    symbol[..5].copy_from_slice(format!("S{locate:04}").as_bytes());
    symbol
}

impl FeedWriter {
    /// One MoldUDP64 packet with these messages.
    pub(crate) fn datagram(&mut self, messages: &[Vec<u8>]) -> Vec<u8> {
        let count = messages.len() as u16;
        let mut bytes = [&b"S1        "[..], &self.next.to_be_bytes(), &count.to_be_bytes()].concat();
        for message in messages {
            bytes.extend((message.len() as u16).to_be_bytes());
            bytes.extend(message);
        }
        self.next += u64::from(count);
        bytes
    }

    /// Messages that introduce a stock and let it trade.
    pub(crate) fn open(&self, locate: u16) -> [Vec<u8>; 2] {
        let directory =
            [&header(b'R', locate)[..], &stock(locate), b"QN", &100_u32.to_be_bytes(), b"NCZ PN 1N", &[0; 4], b"N"];
        let trading = [&header(b'H', locate)[..], &stock(locate), b"T", b" ", b"    "];
        [directory.concat(), trading.concat()]
    }

    /// An add; gives its reference.
    pub(crate) fn add(&mut self, locate: u16, side: u8, shares: u32, price: u32) -> (u64, Vec<u8>) {
        let reference = self.reference;
        self.reference += 1;
        let parts = [
            &header(b'A', locate)[..],
            &reference.to_be_bytes(),
            &[side],
            &shares.to_be_bytes(),
            &stock(locate),
            &price.to_be_bytes(),
        ];
        (reference, parts.concat())
    }

    /// A delete.
    pub(crate) fn delete(&self, locate: u16, reference: u64) -> Vec<u8> {
        [&header(b'D', locate)[..], &reference.to_be_bytes()].concat()
    }
}
