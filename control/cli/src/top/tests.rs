//! Screens, drawn without a terminal.

use super::*;
use model::{Mood, Panel};

fn panel(title: &'static str, is_live: bool, lines: &[&str]) -> Panel {
    Panel { title, is_live, lines: lines.iter().map(|line| (Mood::Plain, (*line).to_owned())).collect() }
}

fn snapshot() -> Snapshot {
    let many: Vec<String> = (0..30).map(|number| format!("counter {number}")).collect();
    Snapshot {
        instance: "demo".into(),
        at: "12:00:01 TAI".into(),
        state: (Mood::Good, "TRADING".into()),
        processes: (Mood::Plain, "ternd 10 beat 1.00 ms   data plane 11 beat 20 ns   run 3".into()),
        stale: None,
        panels: vec![
            panel("feeds", true, &["12_000/s datagrams", "1  trusted  239.77.1.1:26400"]),
            panel("books", true, &["8 symbols"]),
            panel("strategies", true, &["taker running"]),
            panel("orders and positions", true, &["5 open", "session 0 ready"]),
            panel("risk", true, &["daily_loss_max 12 %"]),
            panel("latency", false, &["tick_to_order 2.00 us…"]),
            panel("counters", true, &many.iter().map(String::as_str).collect::<Vec<_>>()),
            panel("alerts and problems", false, &["none"]),
        ],
    }
}

fn screen(app: &App, snapshot: &Snapshot, size: (u16, u16), look: Look) -> Vec<String> {
    let text = plain(&picture(app, snapshot, Some(size), look).expect("drawn"));
    text.lines().map(str::to_owned).collect()
}

const UTF8: Look = Look { colour: true, utf8: true };
const ASCII: Look = Look { colour: false, utf8: false };

#[test]
fn at_80x24_every_panel_has_a_place() {
    let lines = screen(&App::default(), &snapshot(), (80, 24), UTF8);
    assert_eq!(lines.len(), 24);
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    assert_eq!(lines[0], format!("{:<68}{}", "demo  TRADING", "12:00:01 TAI"));
    assert!(lines[1].starts_with("ternd 10 beat"), "{lines:#?}");
    assert!(lines[2].starts_with("┌ 1 feeds ───") && lines[2].contains("┌ 2 books ──"), "{lines:#?}");
    assert!(lines[3].starts_with("│12_000/s datagrams"), "{lines:#?}");
    let all = lines.join("\n");
    for part in ["5 open", "session 0 ready", "taker running", "daily_loss_max 12 %", "8 alerts", "7 counters +27"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(lines[23].starts_with("q quit  K kill"), "{lines:#?}");
}

#[test]
fn what_is_paused_says_what_was_and_not_what_is() {
    let app = App { paused: true, ..App::default() };
    let lines = screen(&app, &snapshot(), (80, 24), UTF8);
    assert!(lines[0].starts_with("demo  was TRADING") && lines[0].contains("PAUSED"), "{lines:#?}");
}

#[test]
fn a_larger_screen_shows_more_and_a_panel_can_have_all_of_it() {
    let lines = screen(&App::default(), &snapshot(), (120, 60), UTF8);
    assert!(lines.join("\n").contains("counter 10"), "{lines:#?}");
    let mut app = App { zoomed: Some(6), scroll: 25, ..App::default() };
    let lines = screen(&app, &snapshot(), (80, 24), UTF8);
    assert!(lines[2].contains("7 counters") && lines[3].contains("counter 11"), "the last page: {lines:#?}");
    assert!(!lines.join("\n").contains("feeds"), "{lines:#?}");
    app.zoomed = Some(70);
    screen(&app, &snapshot(), (40, 10), UTF8);
}

#[test]
fn without_utf8_and_colour_there_is_ascii_alone() {
    let buffer = picture(&App::default(), &snapshot(), None, ASCII).expect("drawn");
    let text = plain(&buffer);
    assert!(text.is_ascii() && text.contains("+ 1 feeds ---") && text.contains("2.00 us~"), "{text}");
    let colours = buffer.content().iter().filter(|cell| cell.fg != ratatui::style::Color::Reset).count();
    assert_eq!(colours, 0);
    let coloured = picture(&App::default(), &snapshot(), None, UTF8).expect("drawn");
    assert!(coloured.content().iter().any(|cell| cell.fg == ratatui::style::Color::Green));
}

#[test]
fn figures_of_a_dead_data_plane_are_not_shown() {
    let stale = Snapshot { stale: Some("the data plane does not run".into()), ..snapshot() };
    let text = screen(&App::default(), &stale, (80, 24), ASCII).join("\n");
    assert!(text.contains("STALE: the data plane does not run: no figure below is of now"), "{text}");
    for gone in ["12_000/s", "5 open", "8 symbols", "counter 1", "daily_loss_max"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert!(text.contains("none") && text.contains("tick_to_order"), "alerts and past latency stay: {text}");
}

#[test]
fn a_kill_is_asked_for_once_more_and_says_what_it_does() {
    let mut app = App::default();
    app.key(Key::Char('K'), Instant::now());
    let text = screen(&app, &snapshot(), (80, 24), ASCII).join("\n");
    assert!(text.contains("KILL `demo`?") && text.contains("y: kill"), "{text}");
    app.over = Over::Said("killed: the kill word is set".into());
    let text = screen(&app, &snapshot(), (40, 10), UTF8).join("\n");
    assert!(text.contains("killed: the kill word"), "{text}");
}

#[test]
fn a_picture_is_well_formed_and_escapes() {
    let mut odd = snapshot();
    odd.panels[1].lines[0].1 = "a<b & \"c\"\u{1b}[31m".into();
    let text = svg::svg(&picture(&App::default(), &odd, None, UTF8).expect("drawn"));
    assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    assert!(text.contains("a&lt;b\u{a0}&amp;\u{a0}") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("#8fd18f"), "TRADING is green");
}

#[test]
fn the_locale_says_whether_there_is_utf8() {
    let says = |set: &[(&str, &str)]| {
        is_utf8(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    };
    assert!(says(&[("LANG", "de_DE.UTF-8")]) && says(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
    assert!(!says(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), "the first counts");
    assert!(says(&[("LC_ALL", ""), ("LANG", "C.UTF-8")]), "an empty one is not set");
    assert!(!says(&[]) && !says(&[("LANG", "POSIX")]));
}

#[test]
fn sizes_are_read_and_wrong_ones_named() {
    assert_eq!(size("120x40"), Ok((120, 40)));
    for wrong in ["", "x", "10x10", "80", "80x", "9999x24", "-1x24"] {
        assert!(size(wrong).is_err_and(|why| why.contains("120x40")), "{wrong}");
    }
}
