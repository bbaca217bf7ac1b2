//! Heartbeats, silence, the end of a session, and bytes that are none of it.

use super::*;

#[test]
fn heartbeats_are_sent_when_nothing_else_was() {
    let mut line = Line::logged_in();
    assert_eq!(line.session.next_deadline(), START.plus(HEARTBEAT_NS));
    line.timer(HEARTBEAT_NS - 1);
    assert_eq!(line.sent(), []);
    line.timer(1);
    assert_eq!(line.sent(), hex("0001 'R'"));
    assert_eq!(line.session.next_deadline(), START.plus(2 * HEARTBEAT_NS));

    line.now = line.now.plus(HEARTBEAT_NS / 2);
    line.session.on_sent(line.now);
    assert_eq!(line.session.next_deadline(), line.now.plus(HEARTBEAT_NS), "orders are signs of life");
    line.timer(HEARTBEAT_NS / 2);
    assert_eq!(line.sent(), []);
    assert_eq!(line.counter(SessionCounter::HeartbeatsOut), 1);
}

#[test]
fn a_silent_venue_is_dropped() {
    for mut line in [Line::connected(), Line::ready()] {
        line.timer(SILENCE_NS - 1);
        assert_eq!(line.control.take_drop(), None);
        line.take(&hex(HEARTBEAT));
        line.timer(SILENCE_NS - 1);
        assert_eq!(line.control.take_drop(), None, "any byte is a sign of life");
        line.timer(1);
        assert_eq!(line.control.take_drop(), Some(DropReason::Silence));
        assert_eq!(line.counter(SessionCounter::Silence), 1);
        assert!(!line.session.is_ready());
    }
}

#[test]
fn other_deadlines_are_held_over_a_reconnect_too() {
    let mut line = Line::logged_in();
    line.session = OuchSession::new(config()).with_deadlines(200, 500);
    for _ in 0..2 {
        line.session.on_connected(line.now, &mut line.control);
        assert_eq!(line.session.next_deadline(), line.now.plus(500));
        line.timer(499);
        assert_eq!(line.control.take_drop(), None);
        line.timer(1);
        assert_eq!(line.control.take_drop(), Some(DropReason::Silence));
        line.session.on_disconnected(line.now);
    }
}

#[test]
fn a_logout_waits_for_the_venue_to_close_but_not_for_ever() {
    let mut line = Line::ready();
    line.session.log_out(line.now, &mut line.control);
    assert_eq!(line.sent(), hex("0001 'O'"));
    assert!(!line.session.is_ready());
    assert_eq!(encoded(&mut line, &new(1)), Err(EncodeError::NotLoggedIn));
    line.take(&executed(7, 1));
    assert_eq!(line.kinds(), [VenueEventKind::Executed], "what was on its way still counts");
    line.timer(999_999_999);
    assert_eq!(line.control.take_drop(), None);
    line.timer(1);
    assert_eq!(line.control.take_drop(), Some(DropReason::EndOfSession));
}

#[test]
fn bytes_that_are_no_packet_drop_the_session() {
    let cases = [
        (Line::ready as fn() -> Line, hex("0000")), // no type
        (Line::ready, hex("ffff 'S'")),             // longer than any packet of the protocol
        (Line::ready, hex("0002 'U' 'Q'")),         // a client's packet
        (Line::ready, accepted("S1", 3)),           // a second login
        (Line::connected, executed(7, 1)),          // before the login
        (Line::connected, hex("0005 'A' '  S1'")),  // a login cut short
        (Line::connected, hex("001f 'A' '        S1' '                   x'")), // no number
        (Line::connected, accepted("S1", 0)),       // numbers start at 1
    ];
    for (line, bytes) in cases {
        let mut line = line();
        line.take(&bytes);
        assert_eq!(line.control.take_drop(), Some(DropReason::BadPacket), "{bytes:?}");
        assert_eq!(line.counter(SessionCounter::BadPackets), 1);
        line.take(&executed(7, 1));
        assert_eq!(line.kinds(), [], "nothing more is read");
        line.reconnect();
        line.take(&accepted("S1", 1));
        assert_eq!(line.kinds(), [VenueEventKind::LoggedIn], "a new connection is a new start");
    }
}

#[test]
fn the_password_stays_out_of_logs() {
    let line = Line::connected();
    assert!(!format!("{:?} {:?}", config(), line.session).contains("secret"));
    assert_eq!(ouch::AccountQuery::NEW.as_bytes(), b"Q");
}
