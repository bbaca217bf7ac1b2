//! ITCH 5.0: bytes written by hand from the tables of the specification, real captures, and bad input.

mod common;

use common::{hex, pcap_payloads, shared_bytes, shared_data};
use proptest::prelude::*;
use tern_venues::itch_ouch::itch_file::{FileErrorKind, ItchFile};
use tern_venues::itch_ouch::wire::itch::*;
use tern_venues::itch_ouch::wire::{Alpha, mold};
use zerocopy::IntoBytes;

/// Locate 0x0102, tracking 0x0304, time 34,200,123,456,789 ns (09:30:00.123456789) behind the type byte.
const HEAD: &str = "0102 0304 1f1ad42b8915";
const TIME_NS: u64 = 0x1f1a_d42b_8915;

/// One vector for each type, fields in the order of its table.
fn vectors() -> Vec<Vec<u8>> {
    [
        "'S' HEAD 'Q'",
        "'R' HEAD 'AAPL    ' 'Q' 'N' 00000064 'N' 'C' 'Z ' 'P' 'N' 'Z' '1' 'N' 00000003 'Y'",
        "'H' HEAD 'IBM     ' 'P' ' ' 'LUDP'",
        "'Y' HEAD 'TSLA    ' '1'",
        "'L' HEAD 'GSCO' 'MSFT    ' 'Y' 'P' 'W'",
        "'V' HEAD 0000000100000002 0000000300000004 0000000500000006",
        "'W' HEAD '2'",
        "'K' HEAD 'NEWCO   ' 00008ca0 'A' 00030d40",
        "'J' HEAD 'LULD    ' 000186a0 0001adb0 00015f90 00000002",
        "'h' HEAD 'HALT    ' 'Q' 'H'",
        "'A' HEAD 0000000000abcdef 'B' 000000c8 'GOOG    ' 0010c8e0",
        "'F' HEAD 0000000000abcdf0 'S' 0000012c 'GOOG    ' 0010c9a8 'NSDQ'",
        "'E' HEAD 0000000000abcdef 00000032 0000000011223344",
        "'C' HEAD 0000000000abcdef 00000033 0000000011223345 'N' 0010c844",
        "'X' HEAD 0000000000abcdef 00000019",
        "'D' HEAD 0000000000abcdef",
        "'U' HEAD 0000000000abcdef 0000000000abd000 00000190 0010c8f4",
        "'P' HEAD 0000000000000000 'B' 00000007 'GOOG    ' 0010c900 0000000011223346",
        "'Q' HEAD 0000000100000000 'GOOG    ' 0010c910 0000000011223347 'O'",
        "'B' HEAD 0000000011223345",
        "'I' HEAD 0000000000002710 0000000000000bb8 'S' 'GOOG    ' 0010c920 0010c930 0010c940 'C' 'L'",
        "'N' HEAD 'BIZD    ' 'A'",
        "'O' HEAD 'DLCR    ' 'Y' 00013880 0002bf20 000186a0 00001f1ad42b8915 00015f90 0001adb0",
    ]
    .iter()
    .map(|text| hex(&text.replace("HEAD", HEAD)))
    .collect()
}

fn vector(kind: u8) -> Vec<u8> {
    vectors().into_iter().find(|bytes| bytes[0] == kind).expect("a vector for each type")
}

macro_rules! decoded {
    ($bytes:expr, $name:ident) => {
        match Message::decode($bytes) {
            Ok(Message::$name(message)) => *message,
            other => panic!("expected {}, got {other:?}", stringify!($name)),
        }
    };
}

#[test]
fn every_type_of_the_specification_has_a_vector_of_its_length() {
    let lengths: Vec<(u8, usize)> = vectors().iter().map(|bytes| (bytes[0], bytes.len())).collect();
    // Last offset plus last length of each table, sections 1.1 to 1.8.
    let table = [
        (b'S', 12),
        (b'R', 39),
        (b'H', 25),
        (b'Y', 20),
        (b'L', 26),
        (b'V', 35),
        (b'W', 12),
        (b'K', 28),
        (b'J', 35),
        (b'h', 21),
        (b'A', 36),
        (b'F', 40),
        (b'E', 31),
        (b'C', 36),
        (b'X', 23),
        (b'D', 19),
        (b'U', 35),
        (b'P', 44),
        (b'Q', 40),
        (b'B', 19),
        (b'I', 50),
        (b'N', 20),
        (b'O', 48),
    ];
    assert_eq!(lengths, table);
    assert_eq!(TYPES, table.map(|(kind, _)| kind));
    for kind in 0..=u8::MAX {
        let listed = table.iter().find(|(listed, _)| *listed == kind).map(|(_, length)| *length);
        assert_eq!(length_of(kind), listed, "type {kind}");
    }
}

#[test]
fn every_vector_decodes_to_its_type_and_encodes_back() {
    for bytes in vectors() {
        let message = Message::decode(&bytes).expect("vector");
        assert_eq!(message.as_bytes(), bytes);
        assert_eq!(message.len_bytes(), bytes.len());
        let head = message.header();
        assert_eq!(head.kind, bytes[0]);
        assert_eq!(head.stock_locate.get(), 0x0102);
        assert_eq!(head.tracking_number.get(), 0x0304);
        assert_eq!(head.timestamp.get(), TIME_NS);
    }
}

#[test]
fn fields_of_system_and_stock_messages() {
    assert_eq!(decoded!(&vector(b'S'), SystemEvent).event(), Some(EventCode::StartOfMarketHours));

    let directory = decoded!(&vector(b'R'), StockDirectory);
    assert_eq!(directory.stock.trimmed(), b"AAPL");
    assert_eq!(directory.category(), Some(MarketCategory::NasdaqGlobalSelect));
    assert_eq!(directory.financial_status_indicator, b'N');
    assert_eq!(directory.round_lot_size.get(), 100);
    assert_eq!(directory.round_lots_only, b'N');
    assert_eq!(directory.issue_classification, b'C');
    assert_eq!(directory.issue_sub_type, Alpha(*b"Z "));
    assert_eq!(directory.authenticity, b'P');
    assert_eq!(directory.short_sale_threshold_indicator, b'N');
    assert_eq!(directory.ipo_flag, b'Z');
    assert_eq!(directory.luld_reference_price_tier, b'1');
    assert_eq!(directory.etp_flag, b'N');
    assert_eq!(directory.etp_leverage_factor.get(), 3);
    assert_eq!(directory.inverse_indicator, b'Y');

    let action = decoded!(&vector(b'H'), StockTradingAction);
    assert_eq!(
        (action.stock.trimmed(), action.state(), action.reason),
        (&b"IBM"[..], Some(TradingState::Paused), Alpha(*b"LUDP"))
    );
    let short_sale = decoded!(&vector(b'Y'), RegShoRestriction);
    assert_eq!((short_sale.stock.trimmed(), short_sale.action()), (&b"TSLA"[..], Some(RegShoAction::IntradayDrop)));

    let position = decoded!(&vector(b'L'), MarketParticipantPosition);
    assert_eq!((position.mpid, position.stock.trimmed()), (Alpha(*b"GSCO"), &b"MSFT"[..]));
    assert_eq!([position.primary_market_maker, position.market_maker_mode, position.market_participant_state], *b"YPW");

    let levels = decoded!(&vector(b'V'), MwcbDeclineLevel);
    assert_eq!(
        [levels.level_1.get(), levels.level_2.get(), levels.level_3.get()],
        [0x1_0000_0002, 0x3_0000_0004, 0x5_0000_0006]
    );
    assert_eq!(decoded!(&vector(b'W'), MwcbStatus).breached_level, b'2');

    let ipo = decoded!(&vector(b'K'), IpoQuotingPeriodUpdate);
    assert_eq!(ipo.stock.trimmed(), b"NEWCO");
    assert_eq!(ipo.ipo_quotation_release_time.get(), 36_000);
    assert_eq!(ipo.ipo_quotation_release_qualifier, b'A');
    assert_eq!(ipo.ipo_price.get(), 20 * PRICE_UNITS_PER_DOLLAR);

    let collar = decoded!(&vector(b'J'), LuldAuctionCollar);
    assert_eq!(
        [
            collar.auction_collar_reference_price.get(),
            collar.upper_auction_collar_price.get(),
            collar.lower_auction_collar_price.get(),
            collar.auction_collar_extension.get()
        ],
        [100_000, 110_000, 90_000, 2]
    );
    let halt = decoded!(&vector(b'h'), OperationalHalt);
    assert_eq!((halt.market_code, halt.action()), (b'Q', Some(OperationalHaltAction::Halted)));
}

#[test]
fn fields_of_order_messages() {
    let add = decoded!(&vector(b'A'), AddOrder);
    assert_eq!(add.order_reference_number.get(), 0xabcdef);
    assert_eq!((add.side(), add.shares.get()), (Some(Side::Buy), 200));
    assert_eq!((add.stock.trimmed(), add.price.get()), (&b"GOOG"[..], 1_100_000));

    let add = decoded!(&vector(b'F'), AddOrderMpid);
    assert_eq!(add.order_reference_number.get(), 0xabcdf0);
    assert_eq!((add.side(), add.shares.get()), (Some(Side::Sell), 300));
    assert_eq!((add.price.get(), add.attribution), (1_100_200, Alpha(*b"NSDQ")));

    let executed = decoded!(&vector(b'E'), OrderExecuted);
    assert_eq!(executed.order_reference_number.get(), 0xabcdef);
    assert_eq!((executed.executed_shares.get(), executed.match_number.get()), (50, 0x1122_3344));

    let executed = decoded!(&vector(b'C'), OrderExecutedWithPrice);
    assert_eq!((executed.executed_shares.get(), executed.match_number.get()), (51, 0x1122_3345));
    assert_eq!((executed.is_printable(), executed.execution_price.get()), (false, 1_099_844));

    let cancel = decoded!(&vector(b'X'), OrderCancel);
    assert_eq!((cancel.order_reference_number.get(), cancel.cancelled_shares.get()), (0xabcdef, 25));
    assert_eq!(decoded!(&vector(b'D'), OrderDelete).order_reference_number.get(), 0xabcdef);

    let replace = decoded!(&vector(b'U'), OrderReplace);
    assert_eq!(replace.original_order_reference_number.get(), 0xabcdef);
    assert_eq!(replace.new_order_reference_number.get(), 0xabd000);
    assert_eq!((replace.shares.get(), replace.price.get()), (400, 1_100_020));
}

#[test]
fn fields_of_trade_and_auction_messages() {
    let trade = decoded!(&vector(b'P'), Trade);
    assert_eq!((trade.order_reference_number.get(), trade.side(), trade.shares.get()), (0, Some(Side::Buy), 7));
    assert_eq!((trade.price.get(), trade.match_number.get()), (1_100_032, 0x1122_3346));

    let cross = decoded!(&vector(b'Q'), CrossTrade);
    assert_eq!((cross.shares.get(), cross.cross_price.get()), (0x1_0000_0000, 1_100_048));
    assert_eq!((cross.match_number.get(), cross.cross()), (0x1122_3347, Some(CrossType::Opening)));
    assert_eq!(decoded!(&vector(b'B'), BrokenTrade).match_number.get(), 0x1122_3345);

    let imbalance = decoded!(&vector(b'I'), NetOrderImbalance);
    assert_eq!((imbalance.paired_shares.get(), imbalance.imbalance_shares.get()), (10_000, 3_000));
    assert_eq!(imbalance.direction(), Some(ImbalanceDirection::Sell));
    assert_eq!(
        [imbalance.far_price.get(), imbalance.near_price.get(), imbalance.current_reference_price.get()],
        [1_100_064, 1_100_080, 1_100_096]
    );
    assert_eq!((imbalance.cross(), imbalance.price_variation_indicator), (Some(CrossType::Closing), b'L'));
    assert_eq!(decoded!(&vector(b'N'), RetailInterest).interest(), Some(InterestFlag::Both));

    let listing = decoded!(&vector(b'O'), DirectListingPriceDiscovery);
    assert_eq!(listing.open_eligibility_status, b'Y');
    assert_eq!(
        [
            listing.minimum_allowable_price.get(),
            listing.maximum_allowable_price.get(),
            listing.near_execution_price.get(),
            listing.lower_price_range_collar.get(),
            listing.upper_price_range_collar.get()
        ],
        [80_000, 180_000, 100_000, 90_000, 110_000]
    );
    assert_eq!(listing.near_execution_time.get(), TIME_NS);
}

#[test]
fn a_built_message_has_the_bytes_of_the_table() {
    let add = AddOrder {
        head: AddOrder::header(0x0102, 0x0304, TIME_NS),
        order_reference_number: 0xabcdef.into(),
        buy_sell_indicator: Side::Buy.byte(),
        shares: 200.into(),
        stock: Alpha::new(b"GOOG"),
        price: 1_100_000.into(),
    };
    assert_eq!(add.as_bytes(), vector(b'A'));
}

#[test]
fn short_of_any_number_of_bytes_is_truncated_and_more_is_accepted() {
    for bytes in vectors() {
        for have in 1..bytes.len() {
            assert_eq!(
                Message::decode(&bytes[..have]),
                Err(DecodeError::Truncated { kind: bytes[0], need_bytes: bytes.len() as u16, have_bytes: have as u16 })
            );
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"later version");
        assert_eq!(Message::decode(&longer).expect("trailing bytes").as_bytes(), bytes);
    }
    assert_eq!(Message::decode(&[]), Err(DecodeError::Empty));
    assert_eq!(Message::decode(b"zzz"), Err(DecodeError::Unknown { kind: b'z' }));
}

#[test]
fn codes_convert_both_ways_and_unknown_ones_are_none() {
    for &code in EventCode::ALL {
        assert_eq!(EventCode::from_byte(code.byte()), Some(code));
    }
    assert_eq!(EventCode::ALL.len(), 6);
    assert_eq!(TradingState::from_byte(b'?'), None);
}

proptest! {
    #[test]
    fn any_bytes_decode_or_have_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        match Message::decode(&bytes) {
            Ok(message) => prop_assert_eq!(message.as_bytes(), &bytes[..message.len_bytes()]),
            Err(DecodeError::Empty) => prop_assert!(bytes.is_empty()),
            Err(DecodeError::Unknown { kind }) => prop_assert_eq!(length_of(kind), None),
            Err(DecodeError::Truncated { kind, .. }) => {
                prop_assert!(bytes.len() < length_of(kind).unwrap_or_default());
            }
        }
    }

    #[test]
    fn any_file_ends(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let mut taken = 0;
        for message in ItchFile::new(&bytes) {
            taken += 2 + message.map_or(0, <[u8]>::len);
        }
        prop_assert!(taken <= bytes.len() + 2);
    }
}

fn census(path: &str) -> Option<std::collections::BTreeMap<char, usize>> {
    let bytes = shared_bytes(path)?;
    let mut counts = std::collections::BTreeMap::new();
    for message in ItchFile::new(&bytes) {
        let message = message.expect("whole file");
        let decoded = Message::decode(message).expect("known and whole");
        assert_eq!(decoded.len_bytes(), message.len(), "trailing bytes");
        *counts.entry(char::from(message[0])).or_default() += 1;
    }
    Some(counts)
}

#[test]
fn real_length_prefixed_files() {
    if let Some(counts) = census("itch/nasdaq-20191230-first-500-book-messages.itch") {
        assert_eq!(counts, [('A', 495), ('D', 4), ('U', 1)].into());
    }
    if let Some(counts) = census("itch/nasdaq-start-of-day-1000.itch") {
        assert_eq!(counts, [('R', 993), ('H', 3), ('Y', 3), ('S', 1)].into());
    }
}

#[test]
fn real_zero_prefixed_file() {
    if let Some(counts) = census("itch/bx-20191230-sampled-3-symbols.itch") {
        assert_eq!(counts.values().sum::<usize>(), 12_012);
        assert_eq!([counts[&'P'], counts[&'A'], counts[&'D'], counts[&'E']], [5_000, 4_997, 1_745, 198]);
    }
}

#[test]
fn real_packets() {
    let Some(folder) = shared_data("itch/pcap") else { return };
    let mut files = 0;
    let mut messages = 0;
    let mut kinds = std::collections::BTreeSet::new();
    for set in std::fs::read_dir(folder).expect("folder") {
        let set = set.expect("entry").path();
        if !set.to_string_lossy().contains("TotalView") {
            continue; // other protocols: BBO, last sale
        }
        for file in std::fs::read_dir(&set).expect("folder") {
            let file = file.expect("entry").path();
            files += 1;
            for datagram in pcap_payloads(&std::fs::read(&file).expect("readable")) {
                let packet = mold::Downstream::parse(&datagram).expect("MoldUDP64");
                let mut blocks = packet.blocks();
                for block in &mut blocks {
                    let block = block.expect("whole block");
                    let message = Message::decode(block).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                    assert_eq!(message.as_bytes(), block, "{}", file.display());
                    kinds.insert(char::from(block[0]));
                    messages += 1;
                }
                assert!(blocks.rest().is_empty(), "{}", file.display());
            }
        }
    }
    assert!(files >= 35 && messages >= files, "{files} files, {messages} messages");
    for kind in "ACDEFHIJLNPQSUXY".chars() {
        assert!(kinds.contains(&kind), "no real packet of type {kind}: {kinds:?}");
    }
}

#[test]
fn one_real_packet_by_its_fields() {
    let Some(file) = shared_bytes("itch/pcap/Nasdaq.Equities.TotalView.Itch.v5.0/OrderDeleteMessage.pcap") else {
        return;
    };
    let datagrams = pcap_payloads(&file);
    let packet = mold::Downstream::parse(&datagrams[0]).expect("MoldUDP64");
    assert_eq!(packet.header.session.trimmed(), b"000010059B");
    assert_eq!(packet.header.kind(), mold::Kind::Messages(1));
    let block = packet.blocks().next().expect("one").expect("whole");
    let delete = decoded!(block, OrderDelete);
    assert_eq!(delete.head.timestamp.get() / 3_600_000_000_000, 9, "in the tenth hour of the day");
    assert!(delete.order_reference_number.get() > 0);
}

#[test]
fn a_file_cut_anywhere_is_truncated_there() {
    let whole: Vec<u8> = [&[0, 19][..], &vector(b'D'), &[0, 0], &vector(b'X')].concat();
    assert_eq!(ItchFile::new(&whole).map(|message| message.expect("whole")[0]).collect::<Vec<_>>(), b"DX");
    for cut in 0..whole.len() {
        let last = ItchFile::new(&whole[..cut]).last();
        match cut {
            0 => assert_eq!(last, None),
            // Whole messages, and a zero length at the end, which ends a file.
            21 | 23 => assert_eq!(last.expect("message").expect("whole")[0], b'D'),
            _ => {
                let error = last.expect("error").expect_err("cut");
                assert_eq!(error.kind, FileErrorKind::Truncated);
                assert_eq!(error.offset_bytes, if cut < 21 { 0 } else { 21 });
            }
        }
    }
    let unknown = ItchFile::new(b"\0\0zzz").last().expect("error").expect_err("unknown");
    assert_eq!(unknown.kind, FileErrorKind::UnknownLength { kind: b'z' });
    assert!(ItchFile::new(b"\0\x03zzz").next().expect("message").is_ok(), "a length is enough to step over a type");
}
