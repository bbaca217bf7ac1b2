//! The messages of a recorded datagram, as text: what the strategy was told when it acted.

use serde_json::{Value, json};
use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::itch::{Message, Side};
use tern_venues::itch_ouch::wire::mold::{Downstream, Kind};

use crate::table::{grouped, money};

/// Most messages of a datagram that are told one by one.
const MESSAGES_MAX: usize = 12;

/// A MoldUDP64 datagram of ITCH 5.0 messages; one that is none is said to be so, with its length.
pub(crate) fn told(payload: &[u8]) -> Value {
    let Ok(packet) = Downstream::parse(payload) else {
        return json!({ "unreadable_bytes": payload.len() });
    };
    let count = match packet.header.kind() {
        Kind::Messages(count) => count,
        Kind::Heartbeat | Kind::EndOfSession => 0,
    };
    let messages: Vec<String> = packet.blocks().take(MESSAGES_MAX).map(|block| block.map_or_else(cut, text)).collect();
    json!({ "session": name(&packet.header.session), "sequence": packet.header.sequence_number.get(), "messages": count,
        "told": messages })
}

fn cut(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn name<const N: usize>(text: &Alpha<N>) -> String {
    String::from_utf8_lossy(&text.0).trim_end().to_owned()
}

fn side(side: Option<Side>) -> &'static str {
    match side {
        Some(Side::Buy) => "buy",
        Some(Side::Sell) => "sell",
        None => "?",
    }
}

/// One message: its type letter, then what it says.
fn text(bytes: &[u8]) -> String {
    let message = match Message::decode(bytes) {
        Ok(message) => message,
        Err(error) => return error.to_string(),
    };
    let letter = char::from(message.header().kind);
    let locate = message.header().stock_locate.get();
    let price = |price: u32| money(i64::from(price));
    match message {
        Message::AddOrder(m) => format!(
            "A order {} {} {} {} at {}",
            m.order_reference_number,
            side(m.side()),
            grouped(m.shares.get()),
            name(&m.stock),
            price(m.price.get())
        ),
        Message::AddOrderMpid(m) => format!(
            "F order {} {} {} {} at {} by {}",
            m.order_reference_number,
            side(m.side()),
            grouped(m.shares.get()),
            name(&m.stock),
            price(m.price.get()),
            name(&m.attribution)
        ),
        Message::OrderExecuted(m) => {
            format!("E order {} executed {}, match {}", m.order_reference_number, m.executed_shares, m.match_number)
        }
        Message::OrderExecutedWithPrice(m) => format!(
            "C order {} executed {} at {}, match {}",
            m.order_reference_number,
            m.executed_shares,
            price(m.execution_price.get()),
            m.match_number
        ),
        Message::OrderCancel(m) => format!("X order {} less {}", m.order_reference_number, m.cancelled_shares),
        Message::OrderDelete(m) => format!("D order {}", m.order_reference_number),
        Message::OrderReplace(m) => format!(
            "U order {} becomes {}, {} at {}",
            m.original_order_reference_number,
            m.new_order_reference_number,
            grouped(m.shares.get()),
            price(m.price.get())
        ),
        Message::Trade(m) => format!(
            "P {} {} traded at {}, match {}",
            grouped(m.shares.get()),
            name(&m.stock),
            price(m.price.get()),
            m.match_number
        ),
        Message::CrossTrade(m) => format!(
            "Q {} {} crossed at {}, match {}",
            grouped(m.shares.get()),
            name(&m.stock),
            price(m.cross_price.get()),
            m.match_number
        ),
        _ => format!("{letter} locate {locate}"),
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
        let delete = |kind: u8| {
            let mut bytes = vec![0_u8; 19];
            bytes[0] = kind;
            bytes[2] = 7;
            bytes[18] = 9;
            bytes
        };
        let mut packet = b"TERN000001".to_vec();
        packet.extend(5_u64.to_be_bytes());
        packet.extend(4_u16.to_be_bytes());
        for message in [delete(b'D'), delete(b'z'), vec![b'A'; 3]] {
            packet.extend((message.len() as u16).to_be_bytes());
            packet.extend(message);
        }
        let said = told(&packet);
        assert_eq!((said["session"].as_str(), said["sequence"].as_u64()), (Some("TERN000001"), Some(5)));
        let told: Vec<&str> = said["told"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!((told.len(), told[0]), (4, "D order 9"), "{said}");
        assert!(told[1].contains("unknown") && told[2].contains("A") && told[3].contains("missing"), "{said}");
    }
}
