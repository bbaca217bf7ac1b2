//! Logging in: the survey, the log read to its end, and what another connection begins with.

use super::*;

#[test]
fn on_an_empty_log_the_survey_is_the_login() {
    let mut line = Line::connected();
    assert_eq!(line.sent(), login("", 0));
    assert!(!line.session.is_ready());
    assert_eq!(encoded(&mut line, &new(1)), Err(EncodeError::NotLoggedIn));

    line.take(&accepted("S1", 1));
    assert_eq!(line.kinds(), [VenueEventKind::LoggedIn]);
    assert_eq!(line.sent(), hex(QUERY).repeat(2), "message 1 may be an answer of before");
    assert!(!line.session.is_ready());
    assert!(encoded(&mut line, &view(OrderAction::Cancel { order: OrderId(7) })).is_ok(), "cancels are possible");

    line.take(&answer(77));
    let events = line.events();
    assert_eq!((events[0].kind, events[0].order, events[0].session_seq), (VenueEventKind::NextOrderId, OrderId(77), 1));
    line.take(&hex(HEARTBEAT));
    assert!(!line.session.is_ready(), "it may be the answer to an earlier process");
    line.take(&answer(77));
    assert_eq!(line.kinds(), [VenueEventKind::NextOrderId, VenueEventKind::CaughtUp]);
    assert!(line.session.is_ready());
    assert_eq!(line.control.take_drop(), None);
    assert_eq!(line.counter(SessionCounter::Logins), 1);
}

/// A venue that keeps a log as the specification has it: what it sends is in the log, answers to queries too.
struct Venue {
    log: Vec<Vec<u8>>,
    /// Reads a request for message 0 as one for the last message, not for the next.
    from_last: bool,
}

impl Venue {
    /// A log of `messages` executions; each of `answers` is the number of an old answer instead.
    fn new(messages: u64, answers: &[u64], from_last: bool) -> Self {
        let message = |number| if answers.contains(&number) { answer(7) } else { executed(number as u32, 1) };
        Self { log: (1..=messages).map(message).collect(), from_last }
    }

    /// What the venue sends in answer to a login.
    fn log_in(&self, wanted: u64) -> Vec<u8> {
        let end = self.log.len() as u64;
        let first = match wanted {
            0 if self.from_last => end.max(1),
            0 => end + 1,
            wanted => wanted,
        };
        [accepted("S1", first), self.log[first as usize - 1..].concat()].concat()
    }

    /// Answers the queries among `sent`, which holds nothing else.
    fn answer(&mut self, sent: &[u8]) -> Vec<u8> {
        assert_eq!(sent, hex(QUERY).repeat(sent.len() / 4), "only queries");
        let answers = vec![answer(7); sent.len() / 4];
        self.log.extend_from_slice(&answers);
        answers.concat()
    }
}

#[test]
fn old_answers_in_a_long_log_never_end_the_replay() {
    const MESSAGES: u64 = 10_000;
    for from_last in [false, true] {
        // Old answers everywhere, at the very end too, and more of them than any login asks for.
        let old: Vec<u64> = (1..50).chain([5000, 5001, MESSAGES - 1, MESSAGES]).collect();
        let mut venue = Venue::new(MESSAGES, &old, from_last);
        let mut line = Line::connected();
        assert_eq!(line.sent(), login("", 0));
        line.take(&venue.log_in(0));
        assert_eq!(line.control.take_drop(), Some(DropReason::Surveyed));
        assert_eq!((line.kinds(), line.session.next_seq()), (Vec::new(), 1), "nothing is taken out of its place");

        line.reconnect();
        assert_eq!(line.sent(), login("S1", 1));
        for chunk in venue.log_in(1).chunks(1447) {
            line.take(chunk);
            assert!(!line.session.is_ready());
        }
        line.take(&hex(HEARTBEAT));
        assert!(!line.session.is_ready(), "nor does a venue that pauses");
        assert_eq!(line.session.next_seq(), MESSAGES + 1);
        let answers = venue.answer(&line.sent());
        line.take(&answers);
        assert!(line.session.is_ready(), "with the last of our answers");
        assert_eq!(line.kinds().iter().filter(|kind| **kind == VenueEventKind::CaughtUp).count(), 1);
        assert_eq!((line.counter(SessionCounter::Surveys), line.counter(SessionCounter::Logins)), (1, 1));
    }
}

#[test]
fn answers_to_queries_of_lost_connections_do_not_count() {
    let mut line = Line::ready();
    let mut venue = Venue::new(2, &[1, 2], false);
    for lost in 1..4 {
        line.reconnect();
        assert_eq!(line.sent(), login("S1", 3));
        line.take(&venue.log_in(3));
        // The connection goes before the venue's answers come, but it got the queries.
        assert_eq!(line.sent(), hex(QUERY).repeat(1 << lost));
    }
    let late = [venue.answer(&hex(QUERY).repeat(14)), executed(7, 1)].concat();
    venue.log.push(executed(7, 1));
    line.reconnect();
    line.sent();
    line.take(&accepted("S1", 3));
    line.take(&late);
    assert!(!line.session.is_ready(), "fourteen answers, all of before");
    let answers = venue.answer(&line.sent());
    let (rest, last) = answers.split_at(answers.len() - answer(7).len());
    line.take(rest);
    line.take(last);
    assert!(line.session.is_ready());
    line.reconnect();
    assert!(line.sent() == login("S1", venue.log.len() as u64 + 1), "what was answered need not be counted again");
}

#[test]
fn when_too_many_answers_are_open_the_end_of_the_log_is_asked_for_again() {
    let mut line = Line::ready();
    let mut sent = Vec::new();
    for _ in 0..10 {
        line.reconnect();
        sent = line.sent();
        if sent == login("S1", 0) {
            break;
        }
        line.take(&accepted("S1", 3));
        assert!(line.sent().len() <= 4 * 32 + 4);
    }
    assert_eq!(sent, login("S1", 0));
    line.take(&accepted("S1", 3));
    assert_eq!((line.control.take_drop(), line.sent()), (None, hex(QUERY).repeat(2)), "nothing to replay: it goes on");
    line.take(&[answer(1), answer(1)].concat());
    assert!(line.session.is_ready());
}

#[test]
fn after_a_reconnect_the_log_must_be_caught_up_again() {
    let mut line = Line::ready();
    line.reconnect();
    assert!(!line.session.is_ready());
    line.take(&accepted("S1", 3));
    line.take(&hex(HEARTBEAT));
    assert!(!line.session.is_ready());
    line.take(&[executed(7, 1), answer(8), answer(8)].concat());
    use VenueEventKind::{CaughtUp, Executed, LoggedIn, NextOrderId};
    assert_eq!(line.kinds(), [LoggedIn, Executed, NextOrderId, NextOrderId, CaughtUp]);
    assert!(line.session.is_ready());
}

#[test]
fn a_venue_that_repeats_its_log_is_not_believed_twice() {
    let mut line = Line::ready();
    line.take(&executed(7, 1));
    line.events();
    line.reconnect();
    line.take(&[accepted("S1", 1), answer(1), answer(1), executed(7, 1)].concat());
    assert_eq!(line.kinds(), [VenueEventKind::LoggedIn]);
    assert_eq!(line.counter(SessionCounter::Replayed), 3);
    assert!(!line.session.is_ready(), "an answer of before does not count");
    line.take(&[answer(8), answer(8)].concat());
    assert!(line.session.is_ready());
}

#[test]
fn a_log_that_starts_behind_what_we_know_is_refused() {
    let mut line = Line::ready();
    line.reconnect();
    line.take(&accepted("S1", 4));
    assert_eq!(line.control.take_drop(), Some(DropReason::LogUnlike));
    assert_eq!(line.counter(SessionCounter::BadPackets), 1);
    assert!(!line.session.is_ready());
}

#[test]
fn a_log_that_ends_before_what_we_know_is_refused() {
    let mut line = Line::ready();
    line.take(&[executed(7, 1), executed(7, 2)].concat());
    line.reconnect();
    // A venue that lost the end of its log: what it says now bears numbers that we have seen.
    line.take(&[accepted("S1", 1), answer(1), hex(HEARTBEAT)].concat());
    assert_eq!(line.control.take_drop(), Some(DropReason::LogUnlike));
    assert!(!line.session.is_ready());
}

#[test]
fn a_new_session_of_the_venue_starts_from_one() {
    for name in ["S2", "S1"] {
        let mut line = Line::ready();
        line.take(&hex("0001 'Z'"));
        assert_eq!(line.kinds(), [VenueEventKind::EndOfSession]);
        assert_eq!(line.control.take_drop(), Some(DropReason::EndOfSession));
        assert!(!line.session.is_ready());
        assert_eq!(line.session.next_deadline(), TaiNs::NEVER);

        line.reconnect();
        assert_eq!(line.sent(), login("", 0));
        line.take(&accepted(name, 1));
        line.take(&executed(7, 1));
        let events = line.events();
        assert_eq!((events[0].kind, events[0].live), (VenueEventKind::LoggedIn, false));
        assert_eq!(events[1].session_seq, 1);
    }
}

#[test]
fn another_session_than_asked_for_is_surveyed_and_read_from_its_start() {
    let mut line = Line::ready();
    line.reconnect();
    line.sent();
    line.take(&accepted("S2", 9));
    assert_eq!((line.control.take_drop(), line.kinds()), (Some(DropReason::Surveyed), Vec::new()));
    line.reconnect();
    assert_eq!(line.sent(), login("S2", 0));
    line.take(&accepted("S2", 9));
    assert_eq!(line.control.take_drop(), Some(DropReason::Surveyed));
    line.reconnect();
    assert_eq!(line.sent(), login("S2", 1));
    line.take(&accepted("S2", 1));
    let events = line.events();
    assert_eq!((events[0].kind, events[0].live), (VenueEventKind::LoggedIn, false), "it is another log");
    line.reconnect();
    line.take(&accepted("S2", 1));
    assert!(line.events()[0].live, "and the same one from then on");
}

#[test]
fn a_refused_login_says_why_and_drops() {
    let mut line = Line::connected();
    line.take(&hex("0002 'J' 'S'"));
    let events = line.events();
    assert_eq!((events[0].kind, events[0].reason), (VenueEventKind::LoginRejected, b'S'));
    assert_eq!(line.control.take_drop(), Some(DropReason::LoginRejected));
    assert_eq!(line.counter(SessionCounter::LoginRejects), 1);
}
