//! Alerts: a thread that looks ten times a second at what [`AlertKind`] lists, journals what is raised and cleared, shows it in
//! `<run>/alerts.json` and delivers it to a command. Nothing here waits for anybody: not for the loop, not for the command.

mod delivery;
mod look;

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use tern_abi::ring::commands::Ticket;
use tern_config::alerts::{ALERTS_VERSION, AlertEvent, AlertKind, AlertsFacts};
use tern_config::facts::write;

use crate::clock;
use crate::shared::Shared;
use delivery::Delivery;
use look::Look;

/// Pause between two looks; RTS 6 Article 16(5) gives five seconds from the event to the alert.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause between two looks at the deliveries under way.
const DELIVERY_PAUSE: Duration = Duration::from_millis(20);
/// What is over for so long is cleared.
const CLEAR_AFTER: Duration = Duration::from_secs(1);
/// Events that are kept for who looks later.
const EVENTS_KEPT: usize = 256;
/// Alerts in the command ring at once: a loop that is stuck must still find room for an operator's commands.
const IN_RING_MAX: usize = 4;

/// Where an alert is.
#[derive(Clone, Debug, Default)]
struct State {
    /// When it was first and last seen to be so; `None`: it is not.
    seen: Option<(Instant, Instant)>,
    /// What was said when it was raised; `None`: it was not.
    raised: Option<AlertEvent>,
}

/// What comes of a look at one alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Raise,
    Clear,
}

impl State {
    /// `is_so` now. What is over comes again as the same alert if it comes soon.
    fn step(&mut self, is_so: bool, hold: Duration, now: Instant) -> Step {
        self.seen = match (self.seen, is_so) {
            (Some((first, _)), true) => Some((first, now)),
            (None, true) => Some((now, now)),
            (seen, false) => seen,
        };
        let Some((first, last)) = self.seen else { return Step::Nothing };
        if !is_so && (self.raised.is_none() || now.duration_since(last) >= CLEAR_AFTER) {
            self.seen = None;
            return if self.raised.is_some() { Step::Clear } else { Step::Nothing };
        }
        match self.raised.is_none() && now.duration_since(first) >= hold {
            true => Step::Raise,
            false => Step::Nothing,
        }
    }
}

/// How long it has to be so before it is raised: what mends itself at once is none.
const fn hold(kind: AlertKind) -> Duration {
    match kind {
        AlertKind::SessionDown | AlertKind::FeedUntrusted => Duration::from_millis(1000),
        AlertKind::TradingStopped | AlertKind::DataPlaneDown => Duration::from_millis(200),
        _ => Duration::ZERO,
    }
}

/// The thread's work.
pub(crate) struct Alerts<'a> {
    shared: &'a Shared<'a>,
    look: Look,
    states: [State; AlertKind::COUNT],
    events: VecDeque<AlertEvent>,
    number: u64,
    /// Not journaled yet, and those of which the loop has not taken the command.
    to_journal: VecDeque<AlertEvent>,
    in_ring: Vec<Ticket>,
    delivery: Delivery,
    shown: AlertsFacts,
}

impl<'a> Alerts<'a> {
    pub(crate) fn new(shared: &'a Shared<'a>) -> Self {
        Self {
            shared,
            look: Look::new(shared.config),
            states: std::array::from_fn(|_| State::default()),
            events: VecDeque::new(),
            number: 0,
            to_journal: VecDeque::new(),
            in_ring: Vec::new(),
            delivery: Delivery::new(&shared.config.alerts),
            shown: AlertsFacts::default(),
        }
    }

    /// Until the daemon serves no more.
    pub(crate) fn run(mut self) {
        let mut due = Instant::now();
        while self.shared.serving() {
            if Instant::now() >= due {
                due = Instant::now() + PAUSE;
                self.turn(Instant::now());
            }
            self.delivery.poll();
            self.show();
            thread::sleep(DELIVERY_PAUSE);
        }
        self.delivery.finish();
        self.show();
    }

    fn turn(&mut self, now: Instant) {
        let found = self.look.look(self.shared, now);
        for kind in AlertKind::ALL {
            let detail = &found[kind.index()];
            match self.states[kind.index()].step(detail.is_some(), hold(*kind), now) {
                Step::Nothing => {}
                Step::Raise => {
                    let event = self.event(*kind, "raised", clock::tai_ns(), detail.clone().unwrap_or_default());
                    tracing::warn!(
                        alert = kind.name(),
                        severity = kind.severity().name(),
                        detail = event.detail,
                        "raised"
                    );
                    self.states[kind.index()].raised = Some(event.clone());
                    self.say(event);
                }
                Step::Clear => {
                    let Some(raised) = self.states[kind.index()].raised.take() else { continue };
                    tracing::info!(alert = kind.name(), "cleared");
                    let event = self.event(*kind, "cleared", raised.since_ns, raised.detail);
                    self.say(event);
                }
            }
        }
        self.journal();
    }

    fn event(&mut self, kind: AlertKind, event: &str, since_ns: u64, detail: String) -> AlertEvent {
        self.number += 1;
        AlertEvent {
            version: ALERTS_VERSION,
            number: self.number,
            instance: self.shared.config.instance.name.clone(),
            event: event.into(),
            alert: kind.name().into(),
            severity: kind.severity(),
            since_ns,
            at_ns: clock::tai_ns(),
            detail,
            help: kind.help().into(),
            todo: kind.todo().into(),
        }
    }

    fn say(&mut self, event: AlertEvent) {
        self.delivery.deliver(&event);
        self.to_journal.push_back(event.clone());
        self.events.push_back(event);
        while self.events.len() > EVENTS_KEPT {
            self.events.pop_front();
        }
    }

    /// Has the loop write them into the journal, as commands that change nothing. What a loop that does not turn has not taken
    /// waits, in the ring and here.
    fn journal(&mut self) {
        let shared = self.shared;
        self.in_ring.retain(|ticket| !shared.is_taken(*ticket));
        while self.in_ring.len() < IN_RING_MAX
            && let Some(event) = self.to_journal.front()
        {
            let kind = AlertKind::ALL.iter().find(|kind| kind.name() == event.alert);
            let number = kind.map_or(u32::MAX, |kind| kind.index() as u32);
            match shared.send_alert(number, event.event == "raised", event.since_ns) {
                Ok(ticket) => self.in_ring.push(ticket),
                Err(_) => return,
            }
            self.to_journal.pop_front();
        }
    }

    fn show(&mut self) {
        let mut active: Vec<AlertEvent> = self.states.iter().filter_map(|state| state.raised.clone()).collect();
        active.sort_by_key(|event| (std::cmp::Reverse(event.severity), event.since_ns));
        let facts = AlertsFacts {
            version: ALERTS_VERSION,
            active,
            events: self.events.iter().cloned().collect(),
            delivery: self.delivery.facts(),
        };
        if facts != self.shown {
            let path = self.shared.config.paths.alerts_facts();
            match write(&path, &facts) {
                Ok(()) => self.shown = facts,
                Err(error) => tracing::warn!("{}: cannot be written: {error}", path.display()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_raised_once_after_its_hold_and_cleared_when_it_stays_away() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut state, hold) = (State::default(), Duration::from_millis(200));
        assert_eq!(state.step(true, hold, at(0)), Step::Nothing);
        assert_eq!(state.step(false, hold, at(100)), Step::Nothing, "it mended itself");
        assert_eq!(state.step(true, hold, at(250)), Step::Nothing, "another one");
        assert_eq!(state.step(true, hold, at(450)), Step::Raise);
        state.raised = Some(AlertEvent::default());
        assert_eq!(state.step(true, hold, at(500)), Step::Nothing, "once");
        assert_eq!(state.step(false, hold, at(1400)), Step::Nothing, "not for long enough");
        assert_eq!(state.step(true, hold, at(1450)), Step::Nothing, "the same one");
        assert_eq!(state.step(false, hold, at(2450)), Step::Clear);
        state.raised = None;
        assert_eq!(state.step(true, Duration::ZERO, at(2500)), Step::Raise);
    }

    #[test]
    fn no_alert_is_held_back_for_as_long_as_the_rule_gives() {
        let rest = PAUSE + DELIVERY_PAUSE;
        assert!(AlertKind::ALL.iter().all(|kind| hold(*kind) + rest < Duration::from_secs(2)));
    }
}
