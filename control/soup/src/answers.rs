//! The venue's answers, read from the bytes received: SoupBinTCP 3.00 packets and OUCH 5.0 section 3, by offset.
//!
//! Written from the specifications and not from the data plane's decoder, so that a mistake there is seen here.

/// Longest run of bytes that is kept while a packet is incomplete: a length field cannot ask for more.
const PACKET_BYTES_MAX: usize = 2 + u16::MAX as usize;

/// Something that the venue said. Sequenced messages carry their number in the venue's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Login accepted (SoupBinTCP 2.2.1).
    Login {
        /// The session, as the venue pads it.
        session: [u8; 10],
        /// Number of the next sequenced message.
        next_seq: u64,
    },
    /// Login refused (2.2.2), with the venue's letter.
    Refused(u8),
    /// A sequenced message; those that say nothing of an order are counted all the same.
    Message {
        /// Its number in the venue's log.
        seq: u64,
        /// What it says of an order.
        said: Option<Said>,
    },
    /// The venue ended the session (2.2.5).
    End,
}

/// Shares, price and place of an order as the venue has it (OUCH 5.0, 3.2 and 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Our order id.
    pub order: u32,
    /// Whether it buys; anything but `B` sells.
    pub is_buy: bool,
    /// Accepted: shares in all. Replaced: shares open.
    pub shares: u32,
    /// Symbol, space padded.
    pub symbol: [u8; 8],
    /// Price, 1/10000.
    pub price: u64,
    /// The cross that it is for (OUCH 5.0, appendix A), as the venue echoes it.
    pub cross: u8,
    /// Whether it is live after the message.
    pub is_live: bool,
}

/// What a message says of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// 3.2.
    Accepted(Echo),
    /// 3.3.
    Replaced {
        /// The order that ended.
        previous: u32,
        /// What is in its place.
        echo: Echo,
    },
    /// 3.4 and 3.5.
    Canceled {
        /// Our order id.
        order: u32,
        /// Shares taken off.
        shares: u32,
    },
    /// 3.6.
    Executed {
        /// Our order id.
        order: u32,
        /// Shares traded.
        shares: u32,
        /// Price, 1/10000.
        price: u64,
        /// Liquidity flag (appendix E).
        liquidity: u8,
        /// The venue's number of the trade.
        match_number: u64,
    },
    /// 3.7.
    Broken {
        /// Our order id, as it was called at the trade.
        order: u32,
        /// The venue's number of the trade.
        match_number: u64,
    },
    /// 3.8.
    Rejected {
        /// Our order id, of a replace the replacement's.
        order: u32,
    },
    /// 3.12.
    Modified {
        /// Our order id.
        order: u32,
        /// Shares open.
        shares: u32,
    },
    /// Anything else that names an order.
    Other {
        /// Our order id.
        order: u32,
    },
    /// Answer to the account query: the venue's log of the day has been told.
    Query,
}

impl Said {
    /// The order it is about, by the name that it had.
    pub fn order(&self) -> Option<u32> {
        match *self {
            Self::Accepted(echo) => Some(echo.order),
            Self::Replaced { previous, .. } => Some(previous),
            Self::Canceled { order, .. }
            | Self::Executed { order, .. }
            | Self::Broken { order, .. }
            | Self::Rejected { order }
            | Self::Modified { order, .. }
            | Self::Other { order } => Some(order),
            Self::Query => None,
        }
    }
}

/// The packets of one connection, as their bytes come.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    bytes: Vec<u8>,
    next_seq: u64,
    /// What came was no packet; nothing more is read of this connection.
    broken: bool,
}

impl Answers {
    /// Whether what came was no packet: nothing more is read.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Takes what was received and appends what it says.
    pub fn take(&mut self, received: &[u8], said: &mut Vec<Answer>) {
        if self.broken {
            return;
        }
        self.bytes.extend_from_slice(received);
        let mut from = 0;
        while let Some(head) = self.bytes.get(from..from + 2) {
            let length = usize::from(u16::from_be_bytes([head[0], head[1]]));
            let Some(packet) = self.bytes.get(from + 2..from + 2 + length) else { break };
            from += 2 + length;
            match packet.split_first() {
                None => {
                    self.broken = true;
                    break;
                }
                Some((b'A', body)) => match login(body) {
                    Some((session, next_seq)) => {
                        self.next_seq = next_seq;
                        said.push(Answer::Login { session, next_seq });
                    }
                    None => self.broken = true,
                },
                Some((b'J', body)) => said.push(Answer::Refused(body.first().copied().unwrap_or(0))),
                Some((b'Z', _)) => said.push(Answer::End),
                Some((b'S', body)) => {
                    said.push(Answer::Message { seq: self.next_seq, said: message(body) });
                    self.next_seq = self.next_seq.saturating_add(1);
                }
                Some(_) => {}
            }
        }
        self.bytes.drain(..from);
        debug_assert!(self.bytes.len() <= PACKET_BYTES_MAX || self.broken);
    }
}

fn login(body: &[u8]) -> Option<([u8; 10], u64)> {
    let session = body.get(..10)?.try_into().ok()?;
    let number = std::str::from_utf8(body.get(10..30)?).ok()?;
    Some((session, number.trim().parse().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Side, shares, symbol and price lie in one row from `at` on; the state of the order `state` bytes into the message.
fn echo(bytes: &[u8], order: u32, at: usize, state: usize) -> Option<Echo> {
    Some(Echo {
        order,
        is_buy: *bytes.get(at)? == b'B',
        shares: u32_at(bytes, at + 1)?,
        symbol: bytes.get(at + 5..at + 13)?.try_into().ok()?,
        price: u64_at(bytes, at + 13)?,
        cross: *bytes.get(state - 1)?,
        is_live: *bytes.get(state)? != b'D',
    })
}

/// OUCH 5.0, 3.2 to 3.14.
fn message(bytes: &[u8]) -> Option<Said> {
    let order = u32_at(bytes, 9);
    Some(match *bytes.first()? {
        b'A' => Said::Accepted(echo(bytes, order?, 13, 47)?),
        b'U' => Said::Replaced { previous: order?, echo: echo(bytes, u32_at(bytes, 13)?, 17, 51)? },
        b'C' | b'D' => Said::Canceled { order: order?, shares: u32_at(bytes, 13)? },
        b'E' => Said::Executed {
            order: order?,
            shares: u32_at(bytes, 13)?,
            price: u64_at(bytes, 17)?,
            liquidity: *bytes.get(25)?,
            match_number: u64_at(bytes, 26)?,
        },
        b'B' => Said::Broken { order: order?, match_number: u64_at(bytes, 13)? },
        b'J' => Said::Rejected { order: order? },
        b'M' => Said::Modified { order: order?, shares: u32_at(bytes, 14)? },
        b'P' | b'I' | b'T' | b'R' => Said::Other { order: order? },
        b'Q' => Said::Query,
        _ => return None,
    })
}
