//! What keys do: a machine that knows no terminal.

use std::time::{Duration, Instant};

/// A kill that was asked for and not confirmed is forgotten after so long: the next one who sits down must not confirm it.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);
/// Panels that have a number.
const PANELS: usize = 8;

/// A key, whatever the terminal calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Esc,
    Up,
    Down,
    /// Ctrl and this letter.
    Ctrl(char),
}

/// What lies over the panels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Over {
    #[default]
    Nothing,
    /// The keys.
    Help,
    /// A kill was asked for then, and waits for `y`.
    ConfirmKill(Instant),
    /// What came of it.
    Said(String),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    Quit,
    /// By the path of `tern kill`.
    Kill,
    /// Collects at once.
    Refresh,
}

/// The dashboard's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct App {
    /// The panel that has the screen for itself.
    pub(crate) zoomed: Option<usize>,
    /// First line that is shown of it.
    pub(crate) scroll: usize,
    pub(crate) over: Over,
    /// Nothing is collected.
    pub(crate) paused: bool,
}

impl App {
    /// What this key does at this moment.
    pub(crate) fn key(&mut self, key: Key, now: Instant) -> Option<Do> {
        self.tick(now);
        if key == Key::Ctrl('c') {
            return Some(Do::Quit);
        }
        match (std::mem::take(&mut self.over), key) {
            (Over::ConfirmKill(_), Key::Char('y')) => return Some(Do::Kill),
            // Whatever else is pressed takes it back, and does nothing besides.
            (Over::ConfirmKill(_) | Over::Help | Over::Said(_), _) => return None,
            (Over::Nothing, _) => {}
        }
        match key {
            Key::Char('q') => return Some(Do::Quit),
            Key::Char('K') => self.over = Over::ConfirmKill(now),
            Key::Char('?' | 'h') => self.over = Over::Help,
            Key::Char('p') => self.paused = !self.paused,
            Key::Char('r') => return Some(Do::Refresh),
            Key::Char(digit @ '1'..='8') => {
                let panel = digit as usize - '1' as usize;
                self.zoomed = (self.zoomed != Some(panel)).then_some(panel.min(PANELS - 1));
                self.scroll = 0;
            }
            Key::Esc | Key::Char('0') => (self.zoomed, self.scroll) = (None, 0),
            Key::Down | Key::Char('j') if self.zoomed.is_some() => self.scroll = self.scroll.saturating_add(1),
            Key::Up | Key::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            _ => {}
        }
        None
    }

    /// Time goes by.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let Over::ConfirmKill(since) = self.over
            && now.saturating_duration_since(since) > CONFIRM_WITHIN
        {
            self.over = Over::Nothing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_takes_two_keys_and_any_other_takes_it_back() {
        let now = Instant::now();
        let mut app = App::default();
        assert_eq!(app.key(Key::Char('y'), now), None, "y alone is nothing");
        assert_eq!(app.key(Key::Char('k'), now), None, "a small k scrolls");
        assert_eq!((app.key(Key::Char('K'), now), app.key(Key::Char('y'), now)), (None, Some(Do::Kill)));
        for other in [Key::Char('n'), Key::Char('K'), Key::Char('q'), Key::Char('Y'), Key::Esc, Key::Down] {
            assert_eq!((app.key(Key::Char('K'), now), app.key(other, now)), (None, None), "{other:?}");
            assert_eq!(app.key(Key::Char('y'), now), None, "{other:?} took it back");
        }
        app.key(Key::Char('K'), now);
        let late = now + CONFIRM_WITHIN + Duration::from_millis(1);
        assert_eq!(app.key(Key::Char('y'), late), None, "somebody else may sit there by now");
        app.key(Key::Char('K'), now);
        app.tick(late);
        assert_eq!(app.over, Over::Nothing);
        app.key(Key::Char('K'), now);
        assert_eq!(app.key(Key::Ctrl('c'), now), Some(Do::Quit), "no way out is closed");
    }

    #[test]
    fn a_digit_gives_a_panel_the_screen_and_takes_it_again() {
        let now = Instant::now();
        let mut app = App::default();
        app.key(Key::Down, now);
        assert_eq!(app.scroll, 0, "there is nothing to scroll");
        app.key(Key::Char('3'), now);
        app.key(Key::Down, now);
        app.key(Key::Char('j'), now);
        app.key(Key::Up, now);
        assert_eq!((app.zoomed, app.scroll), (Some(2), 1));
        app.key(Key::Char('8'), now);
        assert_eq!((app.zoomed, app.scroll), (Some(7), 0));
        app.key(Key::Char('8'), now);
        assert_eq!(app.zoomed, None);
        app.key(Key::Char('2'), now);
        app.key(Key::Esc, now);
        assert_eq!(app.zoomed, None);
        app.key(Key::Char('9'), now);
        assert_eq!(app, App::default(), "a key without a meaning has none");
        app.key(Key::Char('?'), now);
        assert_eq!((app.key(Key::Char('q'), now), app.over.clone()), (None, Over::Nothing), "it closes the help");
        assert_eq!((app.key(Key::Char('p'), now), app.paused), (None, true));
        assert_eq!((app.key(Key::Char('r'), now), app.key(Key::Char('q'), now)), (Some(Do::Refresh), Some(Do::Quit)));
    }
}
