//! How it looks. At 80x24 all panels have a place; larger screens show more lines of each.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::model::{Mood, Panel, Snapshot};
use super::state::{App, Over};

/// Borders of a terminal that shows ASCII alone.
const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) colour: bool,
    pub(crate) utf8: bool,
}

impl Look {
    fn style(self, mood: Mood) -> Style {
        let style = Style::default();
        match (mood, self.colour) {
            (Mood::Plain, _) => style,
            (Mood::Heading, _) => style.add_modifier(Modifier::BOLD),
            (Mood::Good, true) => style.fg(Color::Green),
            (Mood::Warn, true) => style.fg(Color::Yellow),
            (Mood::Bad, true) => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Mood::Good | Mood::Warn, false) => style,
            (Mood::Bad, false) => style.add_modifier(Modifier::BOLD),
        }
    }

    /// Text without what the terminal cannot show, cut at `width` with a mark.
    fn fit(self, text: &str, width: usize) -> String {
        let clean: String = text
            .chars()
            .map(|letter| match letter {
                '…' if !self.utf8 => '~',
                letter if letter.is_control() => ' ',
                letter if self.utf8 || letter.is_ascii() => letter,
                _ => '?',
            })
            .collect();
        if clean.chars().count() <= width {
            return clean;
        }
        let mark = if self.utf8 { '…' } else { '~' };
        clean.chars().take(width.saturating_sub(1)).chain(std::iter::once(mark)).take(width).collect()
    }
}

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App, snapshot: &Snapshot, look: Look) {
    let area = frame.area();
    let [head, stale, body, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(u16::from(snapshot.stale.is_some())),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_head(frame, head, app, snapshot, look);
    if let Some(why) = &snapshot.stale {
        let text = look.fit(&format!("STALE: {why}: no figure below is of now"), stale.width.into());
        let style = look.style(Mood::Bad).add_modifier(Modifier::REVERSED);
        frame.render_widget(Paragraph::new(text).style(style), stale);
    }
    match app.zoomed.and_then(|index| Some((index, snapshot.panels.get(index)?))) {
        Some((index, panel)) => draw_panel(frame, body, index, panel, app.scroll, snapshot, look),
        None => draw_all(frame, body, snapshot, look),
    }
    let text = "q quit  K kill  1-8 zoom  0 all  j/k scroll  p pause  r refresh  ? help";
    frame.render_widget(Paragraph::new(look.fit(text, keys.width.into())), keys);
    draw_over(frame, area, &app.over, snapshot, look);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, app: &App, snapshot: &Snapshot, look: Look) {
    let width = usize::from(area.width);
    let paused = if app.paused { "PAUSED " } else { "" };
    let right = format!("{paused}{}", snapshot.at);
    let left = format!("{}  ", snapshot.instance);
    let room = width.saturating_sub(left.chars().count() + right.chars().count() + 1);
    // Nothing is looked at while it is paused: what is shown was so.
    let (mood, state) = match app.paused {
        true => (Mood::Plain, format!("was {}", snapshot.state.1)),
        false => (snapshot.state.0, snapshot.state.1.clone()),
    };
    let state = look.fit(&state, room);
    let gap = " ".repeat(width.saturating_sub(left.chars().count() + state.chars().count() + right.chars().count()));
    let first = Line::from(vec![
        Span::styled(look.fit(&left, width), look.style(Mood::Heading)),
        Span::styled(state, look.style(mood)),
        Span::raw(gap),
        Span::raw(right),
    ]);
    let (mood, processes) = &snapshot.processes;
    let second = Line::styled(look.fit(processes, width), look.style(*mood));
    frame.render_widget(Paragraph::new(vec![first, second]), area);
}

/// All panels: four rows of two, the last for what has long lines.
fn draw_all(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, look: Look) {
    let rows = Layout::vertical([
        Constraint::Ratio(1, 4),
        Constraint::Ratio(1, 4),
        Constraint::Ratio(1, 4),
        Constraint::Ratio(1, 4),
    ])
    .split(area);
    for (row, pair) in rows.iter().zip(snapshot.panels.chunks(2).enumerate()) {
        let (number, panels) = pair;
        let halves = Layout::horizontal([Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)]).split(*row);
        for (side, (half, panel)) in halves.iter().zip(panels).enumerate() {
            draw_panel(frame, *half, number * 2 + side, panel, 0, snapshot, look);
        }
    }
}

fn draw_panel(
    frame: &mut Frame<'_>,
    area: Rect,
    index: usize,
    panel: &Panel,
    scroll: usize,
    snapshot: &Snapshot,
    look: Look,
) {
    let is_stale = panel.is_live && snapshot.stale.is_some();
    let (rows, width) = (usize::from(area.height.saturating_sub(2)), usize::from(area.width.saturating_sub(2)));
    let lines = if is_stale {
        // What a dead loop said last is no news, and must not be taken for it.
        vec![Line::styled(look.fit("nothing is known of now", width), look.style(Mood::Bad))]
    } else {
        let first = scroll.min(panel.lines.len().saturating_sub(rows));
        (panel.lines.iter().skip(first).take(rows))
            .map(|(mood, line)| Line::styled(look.fit(line, width), look.style(*mood)))
            .collect()
    };
    let hidden = panel.lines.len().saturating_sub(rows);
    let more = if hidden > 0 && !is_stale { format!(" +{hidden}") } else { String::new() };
    let title = look.fit(&format!(" {} {}{more} ", index + 1, panel.title), width);
    let block = Block::bordered().border_set(if look.utf8 { border::PLAIN } else { ASCII }).title(title);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_over(frame: &mut Frame<'_>, area: Rect, over: &Over, snapshot: &Snapshot, look: Look) {
    let (mood, text) = match over {
        Over::Nothing => return,
        Over::Help => (
            Mood::Plain,
            "1 feeds  2 books  3 strategies  4 orders and positions\n5 risk  6 latency  7 counters  8 alerts and problems\n\
             0 or Esc: all panels; j, k: scroll the one that is shown\np: nothing is collected until p; r: collect now\n\
             K, then y: `tern kill`: stops trading, cancels every open order\nq: ends"
                .to_owned(),
        ),
        Over::ConfirmKill(_) => (
            Mood::Bad,
            format!(
                "KILL `{}`?\nStops trading and cancels every open order.\nOnly `tern resume` lets it trade again.\n\n\
                 y: kill      any other key: no",
                snapshot.instance
            ),
        ),
        Over::Said(said) => (Mood::Bad, format!("{said}\n\nany key: on")),
    };
    let width = area.width.min(70);
    let inner = usize::from(width.saturating_sub(4)).max(1);
    let lines: usize = text.lines().map(|line| line.chars().count().div_ceil(inner).max(1)).sum();
    let height = area.height.min(lines as u16 + 2);
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    let text: Vec<Line<'_>> = text.lines().map(|line| Line::raw(look.fit(line, 4096))).collect();
    let block = Block::bordered().border_set(if look.utf8 { border::PLAIN } else { ASCII });
    frame.render_widget(Clear, place);
    let shown = Paragraph::new(text).style(look.style(mood)).wrap(Wrap { trim: false }).block(block);
    frame.render_widget(shown, place);
}
