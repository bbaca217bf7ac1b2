//! `tern top`: how an instance does, on a terminal. It reads what `tern status` reads, and only while it is open.

mod draw;
mod model;
mod state;
#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::control;
use crate::outcome::{Failure, Outcome, exit};
use crate::svg;
use crate::target::Target;
use draw::{Look, draw};
use model::Snapshot;
use state::{App, Do, Key, Over};

/// Longest time between a signal and the end, and between a key and what it does.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a kill waits for the loop, as `tern kill` by default.
const KILL_TIMEOUT_MS: u64 = 2000;
/// Columns and lines of what is not drawn on a terminal.
const USUAL: (u16, u16) = (80, 24);

/// How it is shown.
pub(crate) struct Options<'o> {
    pub(crate) interval: Duration,
    pub(crate) once: bool,
    pub(crate) svg: Option<&'o Path>,
    pub(crate) size: Option<(u16, u16)>,
    pub(crate) json: bool,
}

/// Shows it until it is ended; `Ok(None)` when it drew by itself.
///
/// # Errors
/// Exit code 1: the terminal does not do what it should, or the picture cannot be written.
pub(crate) fn top(target: &Target, options: &Options<'_>) -> Result<Option<Outcome>, Failure> {
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    if let Some(path) = options.svg {
        let snapshot = twice(target, options.interval);
        let picture = svg::svg(&picture(&App::default(), &snapshot, options.size, Look { colour: true, utf8: true })?);
        fs::write(path, picture).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        let text = format!("{}\n", path.display());
        return Ok(Some(outcome(&snapshot, text)));
    }
    if options.once || options.json || !is_terminal {
        let snapshot = twice(target, options.interval);
        let look = Look { colour: false, utf8: is_utf8(|name| env::var(name).ok()) };
        let text = plain(&picture(&App::default(), &snapshot, options.size, look)?);
        return Ok(Some(outcome(&snapshot, text)));
    }
    let stop = tern_hw::signal::stop_flag().map_err(Failure::failed)?;
    if env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty()) {
        return dumb(target, options, stop).map(|()| None);
    }
    let look = Look {
        colour: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        utf8: is_utf8(|name| env::var(name).ok()),
    };
    // Also when what is below panics or fails: the terminal belongs to the shell.
    let mut terminal = ratatui::try_init().map_err(|error| Failure::failed(format!("the terminal: {error}")))?;
    let guard = Restore;
    let shown = interact(target, options, look, &mut terminal, stop);
    drop(guard);
    shown.map(|()| None).map_err(|error| Failure::failed(format!("the terminal: {error}")))
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        // There is nobody to tell, and nothing else to try.
        let _ = ratatui::try_restore();
    }
}

fn interact<B: ratatui::backend::Backend<Error = io::Error>>(
    target: &Target,
    options: &Options<'_>,
    look: Look,
    terminal: &mut Terminal<B>,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut app = App::default();
    let mut before = None;
    let mut snapshot = Snapshot::take(target, &mut before);
    let mut collected = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        app.tick(Instant::now());
        if !app.paused && collected.elapsed() >= options.interval {
            snapshot = Snapshot::take(target, &mut before);
            collected = Instant::now();
        }
        terminal.draw(|frame| draw(frame, &app, &snapshot, look))?;
        let wait = options.interval.saturating_sub(collected.elapsed()).clamp(Duration::from_millis(10), PATIENCE);
        if !event::poll(wait)? {
            continue;
        }
        let Event::Key(pressed) = event::read()? else { continue };
        match key_of(pressed).and_then(|key| app.key(key, Instant::now())) {
            Some(Do::Quit) => return Ok(()),
            Some(Do::Kill) => {
                app.over = Over::Said(kill(target));
                snapshot = Snapshot::take(target, &mut before);
            }
            Some(Do::Refresh) => snapshot = Snapshot::take(target, &mut before),
            None => {}
        }
    }
    Ok(())
}

/// By the path of `tern kill`.
fn kill(target: &Target) -> String {
    match control::kill(target, KILL_TIMEOUT_MS) {
        Ok(outcome) if outcome.code == exit::OK => outcome.text,
        Ok(outcome) => format!("{}exit code {}: not all orders are known to be cancelled", outcome.text, outcome.code),
        Err(failure) => format!("NOT KILLED: {}", failure.message),
    }
}

const fn key_of(pressed: KeyEvent) -> Option<Key> {
    if matches!(pressed.kind, KeyEventKind::Release) {
        return None;
    }
    match pressed.code {
        KeyCode::Char(letter) if pressed.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Ctrl(letter)),
        KeyCode::Char(letter) => Some(Key::Char(letter)),
        KeyCode::Esc => Some(Key::Esc),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        _ => None,
    }
}

/// A terminal that can only print: a screen after another, in plain text, until it is ended.
fn dumb(target: &Target, options: &Options<'_>, stop: &AtomicBool) -> Result<(), Failure> {
    let look = Look { colour: false, utf8: false };
    let mut before = None;
    while !stop.load(Ordering::Relaxed) {
        let snapshot = Snapshot::take(target, &mut before);
        let text = plain(&picture(&App::default(), &snapshot, options.size, look)?);
        writeln!(io::stdout(), "{text}").map_err(Failure::failed)?;
        let began = Instant::now();
        while began.elapsed() < options.interval && !stop.load(Ordering::Relaxed) {
            sleep(PATIENCE.min(options.interval));
        }
    }
    Ok(())
}

/// Collects twice, so that there are rates.
fn twice(target: &Target, interval: Duration) -> Snapshot {
    let mut before = None;
    let first = Snapshot::take(target, &mut before);
    if before.is_none() {
        return first;
    }
    sleep(interval);
    Snapshot::take(target, &mut before)
}

fn outcome(snapshot: &Snapshot, text: String) -> Outcome {
    let code = if snapshot.stale.is_some() { exit::UNHEALTHY } else { exit::OK };
    Outcome { text, json: snapshot.json(), code }
}

/// One screen, drawn without a terminal.
fn picture(app: &App, snapshot: &Snapshot, size: Option<(u16, u16)>, look: Look) -> Result<Buffer, Failure> {
    let (columns, lines) = size.unwrap_or(USUAL);
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).map_err(Failure::failed)?;
    terminal.draw(|frame| draw(frame, app, snapshot, look)).map_err(Failure::failed)?;
    Ok(terminal.backend().buffer().clone())
}

/// A screen as lines of text.
fn plain(buffer: &Buffer) -> String {
    let mut text = String::new();
    for line in 0..buffer.area.height {
        let cells = (0..buffer.area.width).filter_map(|column| buffer.cell((column, line)));
        let line: String = cells.map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Whether the locale says so: the first of these that is set counts (POSIX, 8.2).
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// `COLUMNSxLINES`, as the command line has it.
///
/// # Errors
/// In words, with what would be right.
pub(crate) fn size(text: &str) -> Result<(u16, u16), String> {
    let parts = text.split_once('x').and_then(|(columns, lines)| Some((columns.parse().ok()?, lines.parse().ok()?)));
    match parts {
        Some((columns @ 40..=400, lines @ 10..=200)) => Ok((columns, lines)),
        _ => Err(format!("`{text}` is no size from 40x10 to 400x200, such as 120x40")),
    }
}
