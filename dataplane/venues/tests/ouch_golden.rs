//! OUCH 5.0: bytes written by hand from the tables of the specification, real captures, and bad input.

mod common;

use common::{hex, pcap_payloads, shared_bytes};
use proptest::prelude::*;
use tern_venues::itch_ouch::wire::BufferTooSmall;
use tern_venues::itch_ouch::wire::ouch::*;

const TIME: &str = "00001f1ad42b8915";
const TIME_NS: u64 = 0x1f1a_d42b_8915;

fn inbound() -> Vec<Vec<u8>> {
    [
        "'O' 00000007 'T' 000000c8 'GOOG    ' 000000000010c8e0 '3' 'N' 'P' 'N' 'N' 'ORDER 7       ' 0003 02 0c 'P'",
        "'U' 00000007 00000008 000001f4 'PRICE8' '5' 'A' 'Y' 'ORDER 8       ' 0000",
        "'X' 00000008 00000064",
        "'M' 00000008 'E' 00000032",
        "'Q'",
    ]
    .iter()
    .map(|text| hex(&text.replace("'PRICE8'", "000000007fffffff")))
    .collect()
}

fn outbound() -> Vec<Vec<u8>> {
    [
        "'S' TIME 'E'",
        "'A' TIME 00000007 'B' 000000c8 'GOOG    ' 000000000010c8e0 '0' 'Z' 0000000000abcdef 'A' 'N' 'O' 'D' \
         'ORDER 7       ' 000c 05 02 'FIRM' 05 0f 0001517f",
        "'U' TIME 00000007 00000008 'S' 00000190 'GOOG    ' 000000000010c8e4 '6' 'Y' 0000000000abcdf0 'R' 'Y' 'N' 'L' \
         'ORDER 8       ' 0000",
        "'C' TIME 00000008 00000032 'U'",
        "'D' TIME 00000008 00000021 'Q' 00000022 000000000010c8e5 'R' 'D'",
        "'E' TIME 00000008 00000033 000000000010c8e6 'A' 0000000011223344 0000",
        "'B' TIME 00000008 0000000011223344 'E' 'ORDER 8       '",
        "'J' TIME 00000009 0029 'ORDER 9       '",
        "'P' TIME 00000008",
        "'I' TIME 00000008",
        "'T' TIME 00000008 000000000010c8e7 'Y' 0000000000abcdf1",
        "'M' TIME 00000008 'T' 0000000c",
        "'R' TIME 00000008 'P' 0014 09 17 000000000010c8e8 09 01 0000000000abcdf2",
        "'Q' TIME 0000000a",
    ]
    .iter()
    .map(|text| hex(&text.replace("TIME", TIME)))
    .collect()
}

fn in_vector(kind: u8) -> Vec<u8> {
    inbound().into_iter().find(|bytes| bytes[0] == kind).expect("a vector for each type")
}

fn out_vector(kind: u8) -> Vec<u8> {
    outbound().into_iter().find(|bytes| bytes[0] == kind).expect("a vector for each type")
}

macro_rules! decoded {
    ($direction:ident, $bytes:expr, $name:ident => $message:ident) => {
        let bytes = $bytes;
        let $message = match $direction::decode(&bytes) {
            Ok(($direction::$name($message), 0)) => $message,
            other => panic!("expected {}, got {other:?}", stringify!($name)),
        };
    };
    ($direction:ident, $bytes:expr, $name:ident => $message:ident, $appendage:ident) => {
        let bytes = $bytes;
        let ($message, $appendage) = match $direction::decode(&bytes) {
            Ok(($direction::$name($message, $appendage), 0)) => ($message, $appendage),
            other => panic!("expected {}, got {other:?}", stringify!($name)),
        };
    };
}

#[test]
fn every_type_has_a_vector_in_the_order_of_the_specification() {
    let kinds = |vectors: Vec<Vec<u8>>| vectors.iter().map(|bytes| bytes[0]).collect::<Vec<_>>();
    assert_eq!(kinds(inbound()), b"OUXMQ");
    assert_eq!(kinds(inbound()), Inbound::TYPES);
    assert_eq!(kinds(outbound()), b"SAUCDEBJPITMRQ");
    assert_eq!(kinds(outbound()), Outbound::TYPES);
}

#[test]
fn every_vector_decodes_and_encodes_back() {
    let mut buf = [0; 128];
    for bytes in inbound() {
        let (message, trailing) = Inbound::decode(&bytes).expect("vector");
        assert_eq!((message.write(&mut buf), trailing), (Ok(bytes.len()), 0));
        assert_eq!(buf[..bytes.len()], bytes);
        let small = BufferTooSmall { need_bytes: bytes.len(), have_bytes: bytes.len() - 1 };
        assert_eq!(message.write(&mut buf[..bytes.len() - 1]), Err(small));
    }
    for bytes in outbound() {
        let (message, trailing) = Outbound::decode(&bytes).expect("vector");
        assert_eq!((message.write(&mut buf), trailing), (Ok(bytes.len()), 0));
        assert_eq!(buf[..bytes.len()], bytes);
    }
}

#[test]
fn tables_have_the_lengths_of_the_specification() {
    // Length without the appendage and its length field, sections 2.1 to 3.14.
    assert_eq!(size_of::<EnterOrder>() + 2, 47);
    assert_eq!(size_of::<ReplaceOrder>() + 2, 40);
    assert_eq!([size_of::<CancelOrder>(), size_of::<ModifyOrder>(), size_of::<AccountQuery>()], [9, 10, 1]);
    assert_eq!(size_of::<OrderAccepted>() + 2, 64);
    assert_eq!(size_of::<OrderReplaced>() + 2, 68);
    assert_eq!(size_of::<OrderExecuted>() + 2, 36);
    assert_eq!(size_of::<OrderRestated>() + 2, 16);
}

#[test]
fn fields_of_inbound_messages() {
    decoded!(Inbound, in_vector(b'O'), EnterOrder => message, appendage);
    assert_eq!((message.user_ref_num.get(), message.quantity.get()), (7, 200));
    assert_eq!(Side::from_byte(message.side), Some(Side::SellShort));
    assert_eq!((message.symbol.trimmed(), message.price.get()), (&b"GOOG"[..], 1_100_000));
    assert_eq!(TimeInForce::from_byte(message.time_in_force), Some(TimeInForce::Ioc));
    assert_eq!(Display::from_byte(message.display), Some(Display::Hidden));
    assert_eq!(Capacity::from_byte(message.capacity), Some(Capacity::Principal));
    assert_eq!(message.intermarket_sweep_eligibility, b'N');
    assert_eq!(CrossType::from_byte(message.cross_type), Some(CrossType::Continuous));
    assert_eq!(message.cl_ord_id.trimmed(), b"ORDER 7");
    assert_eq!(appendage.get(OptionTag::PostOnly).and_then(|option| option.character()), Some(b'P'));
    assert_eq!(appendage.iter().count(), 1);

    decoded!(Inbound, in_vector(b'U'), ReplaceOrder => message, appendage);
    assert_eq!((message.orig_user_ref_num.get(), message.user_ref_num.get()), (7, 8));
    assert_eq!(message.quantity.get(), 500);
    assert_eq!(PriceMeaning::of(message.price.get()), PriceMeaning::Market);
    assert_eq!([message.time_in_force, message.display, message.intermarket_sweep_eligibility], *b"5AY");
    assert_eq!(message.cl_ord_id.trimmed(), b"ORDER 8");
    assert!(appendage.is_empty());

    decoded!(Inbound, in_vector(b'X'), CancelOrder => message);
    assert_eq!(*message, CancelOrder::new(8, 100));
    decoded!(Inbound, in_vector(b'M'), ModifyOrder => message);
    assert_eq!((message.user_ref_num.get(), message.side, message.quantity.get()), (8, b'E', 50));
    assert!(matches!(Inbound::decode(b"Q"), Ok((Inbound::AccountQuery(_), 0))));
}

#[test]
fn fields_of_acknowledgements() {
    decoded!(Outbound, out_vector(b'A'), OrderAccepted => message, appendage);
    assert_eq!((message.timestamp.get(), message.user_ref_num.get()), (TIME_NS, 7));
    assert_eq!((message.side, message.quantity.get()), (b'B', 200));
    assert_eq!((message.symbol.trimmed(), message.price.get()), (&b"GOOG"[..], 1_100_000));
    assert_eq!([message.time_in_force, message.display], *b"0Z");
    assert_eq!(message.order_reference_number.get(), 0xabcdef);
    assert_eq!([message.capacity, message.intermarket_sweep_eligibility, message.cross_type], *b"ANO");
    assert_eq!(OrderState::from_byte(message.order_state), Some(OrderState::Dead));
    assert_eq!(message.cl_ord_id.trimmed(), b"ORDER 7");
    assert_eq!(appendage.get(OptionTag::Firm).map(|option| option.value), Some(&b"FIRM"[..]));
    assert_eq!(appendage.get(OptionTag::ExpireTime).and_then(|option| option.number()), Some(86_399));

    decoded!(Outbound, out_vector(b'U'), OrderReplaced => message, appendage);
    assert_eq!((message.orig_user_ref_num.get(), message.user_ref_num.get()), (7, 8));
    assert_eq!((message.side, message.quantity.get()), (b'S', 400));
    assert_eq!((message.symbol.trimmed(), message.price.get()), (&b"GOOG"[..], 1_100_004));
    assert_eq!([message.time_in_force, message.display], *b"6Y");
    assert_eq!(message.order_reference_number.get(), 0xabcdf0);
    assert_eq!([message.capacity, message.intermarket_sweep_eligibility, message.cross_type], *b"RYN");
    assert_eq!(OrderState::from_byte(message.order_state), Some(OrderState::Live));
    assert_eq!(message.cl_ord_id.trimmed(), b"ORDER 8");
    assert!(appendage.is_empty());

    decoded!(Outbound, out_vector(b'J'), Rejected => message);
    assert_eq!(RejectReason(message.reason.get()), RejectReason::RISK_PORT_MESSAGE_RATE);
    assert_eq!((message.user_ref_num.get(), message.cl_ord_id.trimmed()), (9, &b"ORDER 9"[..]));
    decoded!(Outbound, out_vector(b'Q'), AccountQueryResponse => message);
    assert_eq!(message.next_user_ref_num.get(), 10);
    decoded!(Outbound, out_vector(b'S'), SystemEvent => message);
    assert_eq!(SystemEventCode::from_byte(message.event_code), Some(SystemEventCode::EndOfDay));
}

#[test]
fn fields_of_executions_and_cancels() {
    decoded!(Outbound, out_vector(b'C'), OrderCanceled => message);
    assert_eq!((message.user_ref_num.get(), message.quantity.get()), (8, 50));
    assert_eq!(CancelReason::from_byte(message.reason), Some(CancelReason::UserRequested));

    decoded!(Outbound, out_vector(b'D'), AiqCanceled => message);
    assert_eq!((message.user_ref_num.get(), message.decrement_shares.get()), (8, 33));
    assert_eq!(CancelReason::from_byte(message.reason), Some(CancelReason::SelfMatchPrevention));
    assert_eq!(message.quantity_prevented_from_trading.get(), 34);
    assert_eq!(message.execution_price.get(), 1_100_005);
    assert_eq!([message.liquidity_flag, message.aiq_strategy], *b"RD");

    decoded!(Outbound, out_vector(b'E'), OrderExecuted => message, appendage);
    assert_eq!((message.quantity.get(), message.price.get()), (51, 1_100_006));
    assert_eq!((message.liquidity_flag, message.match_number.get()), (b'A', 0x1122_3344));
    assert!(appendage.is_empty());

    decoded!(Outbound, out_vector(b'B'), BrokenTrade => message);
    assert_eq!((message.match_number.get(), message.cl_ord_id.trimmed()), (0x1122_3344, &b"ORDER 8"[..]));
    assert_eq!(BrokenTradeReason::from_byte(message.reason), Some(BrokenTradeReason::Erroneous));
}

#[test]
fn fields_of_changes_by_the_venue() {
    decoded!(Outbound, out_vector(b'P'), CancelPending => message);
    assert_eq!(message.user_ref_num.get(), 8);
    decoded!(Outbound, out_vector(b'I'), CancelReject => message);
    assert_eq!(message.user_ref_num.get(), 8);

    decoded!(Outbound, out_vector(b'T'), OrderPriorityUpdate => message);
    assert_eq!((message.price.get(), message.display), (1_100_007, b'Y'));
    assert_eq!(message.order_reference_number.get(), 0xabcdf1);

    decoded!(Outbound, out_vector(b'M'), OrderModified => message);
    assert_eq!((message.side, message.quantity.get()), (b'T', 12));

    decoded!(Outbound, out_vector(b'R'), OrderRestated => message, appendage);
    assert_eq!(RestatedReason::from_byte(message.reason), Some(RestatedReason::DisplayedPrice));
    assert_eq!(appendage.get(OptionTag::DisplayPrice).and_then(|option| option.number()), Some(1_100_008));
    assert_eq!(appendage.get(OptionTag::SecondaryOrdRefNum).and_then(|option| option.number()), Some(0xabcdf2));
}

#[test]
fn prices_mean_limit_market_or_nothing() {
    assert_eq!(PriceMeaning::of(1_999_999_900), PriceMeaning::Limit(1_999_999_900));
    assert_eq!(PriceMeaning::of(0x7735_939C), PriceMeaning::Limit(LIMIT_PRICE_MAX));
    assert_eq!(PriceMeaning::of(2_000_000_000), PriceMeaning::Market);
    assert_eq!(PriceMeaning::of(2_147_483_647), PriceMeaning::Market);
    assert_eq!(PriceMeaning::of(1_999_999_901), PriceMeaning::Invalid);
    assert_eq!(PriceMeaning::of(0x7FFF_FFFF_0000_0000), PriceMeaning::Invalid);
}

#[test]
fn short_of_any_number_of_bytes_has_a_reason() {
    let bodies = |kind: u8, inbound: bool| match (kind, inbound) {
        (b'O', true) => Some(45),
        (b'U', true) => Some(38),
        (b'A', false) => Some(62),
        (b'U', false) => Some(66),
        (b'E', false) => Some(34),
        (b'R', false) => Some(14),
        _ => None,
    };
    let directions = [(true, inbound()), (false, outbound())];
    for (is_inbound, vectors) in directions {
        for bytes in vectors {
            let kind = bytes[0];
            let body = bodies(kind, is_inbound).unwrap_or(bytes.len());
            for have in 1..bytes.len() {
                let error = if is_inbound {
                    Inbound::decode(&bytes[..have]).map(|_| ())
                } else {
                    Outbound::decode(&bytes[..have]).map(|_| ())
                };
                let expected = match have {
                    _ if have < body => {
                        Err(DecodeError::Truncated { kind, need_bytes: body as u16, have_bytes: have as u16 })
                    }
                    // Without its appendage a message is whole.
                    _ if have == body => Ok(()),
                    _ => Err(DecodeError::Appendage { kind }),
                };
                assert_eq!(error, expected, "'{}' with {have} bytes", char::from(kind));
            }
        }
    }
    assert_eq!(Inbound::decode(&[]), Err(DecodeError::Empty));
    assert_eq!(Inbound::decode(b"A"), Err(DecodeError::Unknown { kind: b'A' }));
    assert_eq!(Outbound::decode(b"O"), Err(DecodeError::Unknown { kind: b'O' }));
}

#[test]
fn trailing_bytes_are_counted_and_elements_must_fill_the_appendage() {
    let mut longer = out_vector(b'E');
    longer.extend_from_slice(b"new");
    assert!(matches!(Outbound::decode(&longer), Ok((Outbound::OrderExecuted(..), 3))));

    let mut broken = out_vector(b'E');
    broken.truncate(34);
    broken.extend(hex("0002 02 0c"));
    assert_eq!(Outbound::decode(&broken), Err(DecodeError::Appendage { kind: b'E' }));
    // An element without a tag cannot be stepped over in a way that makes sense.
    broken.truncate(34);
    broken.extend(hex("0001 00"));
    assert_eq!(Outbound::decode(&broken), Err(DecodeError::Appendage { kind: b'E' }));
}

#[test]
fn every_option_is_written_and_read() {
    let mut buf = [0; 256];
    let mut writer = AppendageWriter::new(&mut buf);
    for &option in OptionTag::ALL {
        writer.push(option, &[b'1'; 8][..option.value_bytes()]).expect("fits");
        let wrong = ValueLengthWrong::Length { option, have_bytes: 3 };
        assert_eq!(writer.push(option, b"123"), Err(wrong));
    }
    let appendage = writer.finish();
    let tags: Vec<u8> = appendage.iter().map(|element| element.tag).collect();
    assert_eq!(tags, [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 22, 23, 24, 25]);
    for element in &appendage {
        assert_eq!(element.option().map(OptionTag::value_bytes), Some(element.value.len()));
    }
    let mut small = [0; 5];
    let full = AppendageWriter::new(&mut small).push(OptionTag::MinQty, &[0; 4]);
    assert_eq!(full, Err(ValueLengthWrong::Full(BufferTooSmall { need_bytes: 6, have_bytes: 5 })));
}

#[test]
fn option_values_are_read_by_their_type() {
    let value = |bytes: &'static [u8]| TagValue { tag: 7, value: bytes };
    assert_eq!(value(&[0xff, 0xff, 0xff, 0x9c]).signed_price(), Some(-100));
    assert_eq!(value(&[1]).signed_price(), None);
    assert_eq!(value(&[0, 1]).number(), Some(1));
    assert_eq!(value(&[]).number(), None);
    assert_eq!(value(&[0; 9]).number(), None);
    assert_eq!(value(b"xy").character(), None);
    assert_eq!(TagValue { tag: 8, value: b"" }.option(), None);
}

#[test]
fn reject_reasons_are_numbered_as_in_the_appendix() {
    let numbers: Vec<u16> = RejectReason::ALL.iter().map(|reason| reason.0).collect();
    assert_eq!(numbers, (1..=0x2A).collect::<Vec<u16>>());
    assert_eq!(RejectReason(0x1D).text(), Some("Invalid Price"));
    assert_eq!(RejectReason(0x2B).text(), None);
}

proptest! {
    #[test]
    fn any_bytes_decode_or_have_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Ok((message, trailing)) = Inbound::decode(&bytes) {
            let mut buf = [0; 128];
            let written = message.write(&mut buf).expect("room");
            prop_assert!(written + trailing == bytes.len() || written == bytes.len() + 2);
        }
        let _ = Outbound::decode(&bytes);
    }

    #[test]
    fn any_outbound_body_encodes_back(
        kind in prop::sample::select(Outbound::TYPES),
        mut bytes in prop::collection::vec(any::<u8>(), 80..81),
    ) {
        bytes[0] = kind;
        // Random bytes rarely are a whole appendage: only what decodes must come back.
        if let Ok((message, trailing)) = Outbound::decode(&bytes) {
            let mut buf = [0; 128];
            let written = message.write(&mut buf).expect("room");
            prop_assert_eq!(&buf[..written], &bytes[..bytes.len() - trailing]);
        }
    }
}

fn real(name: &str) -> Option<Vec<u8>> {
    let file = shared_bytes(&format!("ouch/Nasdaq.Nsm.Ouch.v5.0/{name}.pcap"))?;
    let payload = pcap_payloads(&file).remove(0);
    // Length and type of SoupBinTCP in front.
    assert_eq!(usize::from(u16::from_be_bytes([payload[0], payload[1]])) + 2, payload.len());
    Some(payload[3..].to_vec())
}

#[test]
fn real_messages() {
    let Some(bytes) = real("EnterOrderMessage") else { return };
    decoded!(Inbound, bytes, EnterOrder => message, appendage);
    assert_eq!((message.symbol.trimmed(), message.side), (&b"CVLT"[..], b'T'));
    assert_eq!((message.quantity.get(), message.price.get()), (225, 630_200));
    assert_eq!(message.cl_ord_id.trimmed(), b"H8FUB8IV");
    assert_eq!(appendage.get(OptionTag::Firm).map(|option| option.value), Some(&b"LIME"[..]));

    decoded!(Inbound, real("CancelOrderMessage").expect("beside the others"), CancelOrder => message);
    assert_eq!((message.user_ref_num.get(), message.quantity.get()), (0x0075_2e71, 0));

    decoded!(Outbound, real("OrderAcceptedMessage").expect("beside the others"), OrderAccepted => message, appendage);
    assert_eq!((message.symbol.trimmed(), message.quantity.get()), (&b"ADBE"[..], 40));
    assert_eq!((message.price.get(), message.order_state), (4_777_800, b'L'));
    assert_eq!(appendage.get(OptionTag::Firm).map(|option| option.value), Some(&b"MLRO"[..]));
    assert_eq!(appendage.get(OptionTag::BboWeightIndicator).and_then(|option| option.character()), Some(b'0'));

    decoded!(Outbound, real("CanceledMessage").expect("beside the others"), OrderCanceled => message);
    assert_eq!((message.user_ref_num.get(), message.quantity.get()), (0x0075_3a8d, 40));
    assert_eq!(CancelReason::from_byte(message.reason), Some(CancelReason::UserRequested));
}
