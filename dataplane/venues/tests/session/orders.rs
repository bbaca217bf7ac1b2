//! Orders as bytes.

use super::*;

#[test]
fn orders_have_the_bytes_of_the_tables() {
    let mut line = Line::ready();
    let enter = "0030 'U' 'O' 00000007 'B' 000000c8 'GOOG    ' 000000000010c8e0 '0' 'Y' 'P' 'N' 'N' \
                 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &new(7)), Ok(hex(enter)));

    let short = OrderView { side: Side::Sell, short: true, time_in_force: TimeInForce::Ioc, ..new(7) };
    let enter = "0030 'U' 'O' 00000007 'T' 000000c8 'GOOG    ' 000000000010c8e0 '3' 'Y' 'P' 'N' 'N' \
                 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &short), Ok(hex(enter)));

    let post_only = OrderView { side: Side::Sell, post_only: true, ..new(7) };
    let enter = "0033 'U' 'O' 00000007 'S' 000000c8 'GOOG    ' 000000000010c8e0 '0' 'Y' 'P' 'N' 'N' \
                 'TERN010012BEEF' 0003 02 0c 'P'";
    assert_eq!(encoded(&mut line, &post_only), Ok(hex(enter)));

    let replace = view(OrderAction::Replace { previous: OrderId(7), order: OrderId(8) });
    let bytes = "0029 'U' 'U' 00000007 00000008 000000c8 000000000010c8e0 '0' 'Y' 'N' 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &replace), Ok(hex(bytes)));
    let bytes = "002c 'U' 'U' 00000007 00000008 000000c8 000000000010c8e0 '0' 'Y' 'N' 'TERN010012BEEF' 0003 02 0c 'P'";
    assert_eq!(encoded(&mut line, &OrderView { post_only: true, ..replace }), Ok(hex(bytes)));

    let cancel = OrderView { quantity: 0, ..view(OrderAction::Cancel { order: OrderId(8) }) };
    assert_eq!(encoded(&mut line, &cancel), Ok(hex("000a 'U' 'X' 00000008 00000000")));
    let reduce = OrderView { quantity: 120, ..view(OrderAction::Reduce { order: OrderId(8) }) };
    assert_eq!(encoded(&mut line, &reduce), Ok(hex("000a 'U' 'X' 00000008 00000078")));
}

#[test]
fn orders_for_crosses_and_with_a_minimum_have_the_bytes_of_the_tables() {
    let mut line = Line::ready();
    let on_open = OrderView { price: Price::MARKET, time_in_force: TimeInForce::OnOpen, ..new(7) };
    let enter = "0030 'U' 'O' 00000007 'B' 000000c8 'GOOG    ' 000000007fffffff '0' 'Y' 'P' 'N' 'O' \
                 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &on_open), Ok(hex(enter)));
    let on_close = OrderView { time_in_force: TimeInForce::OnClose, ..new(7) };
    let enter = "0030 'U' 'O' 00000007 'B' 000000c8 'GOOG    ' 000000000010c8e0 '0' 'Y' 'P' 'N' 'C' \
                 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &on_close), Ok(hex(enter)));
    // Appendix B: tag 3, four bytes.
    let minimum = OrderView { time_in_force: TimeInForce::Ioc, min_quantity: 100, ..new(7) };
    let enter = "0036 'U' 'O' 00000007 'B' 000000c8 'GOOG    ' 000000000010c8e0 '3' 'Y' 'P' 'N' 'N' \
                 'TERN010012BEEF' 0006 05 03 00000064";
    assert_eq!(encoded(&mut line, &minimum), Ok(hex(enter)));
    for wrong in [OrderView { min_quantity: 201, ..minimum }, OrderView { post_only: true, ..minimum }] {
        assert_eq!(encoded(&mut line, &wrong), Err(EncodeError::Quantity));
    }
}

#[test]
fn what_the_venue_has_no_field_for_is_refused() {
    let mut line = Line::ready();
    for price in [i64::MIN, -1, 0, 1_999_999_901, 0x7FFF_FFFF, i64::MAX] {
        assert_eq!(encoded(&mut line, &OrderView { price: Price(price), ..new(1) }), Err(EncodeError::Price));
    }
    for price in [1, 1_999_999_900] {
        assert!(encoded(&mut line, &OrderView { price: Price(price), ..new(1) }).is_ok());
    }
    for quantity in [0, 1_000_000, u32::MAX] {
        assert_eq!(encoded(&mut line, &OrderView { quantity, ..new(1) }), Err(EncodeError::Quantity));
    }
    let cancel = OrderView { quantity: 1_000_000, ..view(OrderAction::Cancel { order: OrderId(8) }) };
    assert_eq!(encoded(&mut line, &cancel), Err(EncodeError::Quantity));
    for order in [new(1), OrderView { post_only: true, ..new(1) }, cancel] {
        let order = OrderView { quantity: 1, ..order };
        let length = encoded(&mut line, &order).expect("fits").len();
        for room in 0..length {
            let mut buf = vec![0; room];
            assert_eq!(line.session.encode(&order, &mut buf), Err(EncodeError::NoRoom), "{room} of {length} bytes");
        }
    }
}

#[test]
fn the_control_path_takes_no_order() {
    let mut line = Line::ready();
    let mut replace =
        encoded(&mut line, &view(OrderAction::Replace { previous: OrderId(1), order: OrderId(2) })).unwrap();
    let enter = encoded(&mut line, &new(1)).unwrap();
    let cancel = encoded(&mut line, &view(OrderAction::Cancel { order: OrderId(1) })).unwrap();
    let modify = hex("000b 'U' 'M' 00000008 'E' 00000032");
    for packet in [&enter, &replace, &cancel, &modify] {
        assert_eq!(line.control.send(packet), Err(ControlError::OrderMessage));
    }
    // Nor bytes that only begin harmlessly, or that are no whole packet.
    let smuggled = [hex(QUERY), enter.clone()].concat();
    let padded = hex("0003 'U' 'QO'");
    let foreign = hex("0001 'S'");
    replace.truncate(9);
    for packet in [&smuggled[..], &padded, &foreign, &replace, b"", b"\0", b"\0\0"] {
        assert_eq!(line.control.send(packet), Err(ControlError::OrderMessage), "{packet:?}");
    }
    assert_eq!(line.control.pending(), b"");
    for packet in [SURVEY, QUERY, "0001 'R'", "0001 'O'", "0003 '+' 'hi'"] {
        assert_eq!(line.control.send(&hex(packet)), Ok(()));
    }
}
