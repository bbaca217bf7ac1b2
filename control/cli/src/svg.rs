//! A screen as a picture: a rectangle for each run of cells with a background, a text for each with a colour.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// Of a cell, pixels.
const WIDTH: u32 = 9;
const HEIGHT: u32 = 18;
const MARGIN: u32 = 10;
const FOREGROUND: &str = "#d8dee9";
const BACKGROUND: &str = "#14181f";

/// What a terminal of so many columns would show of a text: longer lines are cut. A line that begins with a verdict has its colour.
pub(crate) fn of_text(text: &str, columns: u16) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, height));
    for (row, line) in (0..height).zip(lines) {
        let colour = match line.split_whitespace().next() {
            Some("CAUSE" | "PROBLEM") => Color::Red,
            Some("odd" | "unknown") => Color::Yellow,
            Some("ok") => Color::Green,
            _ => Color::Reset,
        };
        let is_long = line.chars().count() > usize::from(columns);
        let kept = line.chars().take(usize::from(columns) - usize::from(is_long)).chain(is_long.then_some('…'));
        buffer.set_string(0, row, kept.collect::<String>(), Style::default().fg(colour));
    }
    svg(&buffer)
}

/// The picture, complete.
pub(crate) fn svg(buffer: &Buffer) -> String {
    let (columns, lines) = (u32::from(buffer.area.width), u32::from(buffer.area.height));
    let (width, height) = (columns * WIDTH + 2 * MARGIN, lines * HEIGHT + 2 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\" xml:space=\"preserve\">\n"
    );
    for line in 0..buffer.area.height {
        let cells: Vec<&Cell> = (0..buffer.area.width).filter_map(|column| buffer.cell((column, line))).collect();
        let mut column = 0;
        for run in cells.chunk_by(|one, other| look(one) == look(other)) {
            run_of_cells(&mut text, run, column, line.into());
            column += run.len() as u32;
        }
    }
    text.push_str("</g>\n</svg>\n");
    text
}

/// Colours and weight of a cell.
fn look(cell: &Cell) -> (&'static str, Option<&'static str>, bool) {
    let colour = match cell.fg {
        Color::Green => "#8fd18f",
        Color::Yellow => "#ebcb6b",
        Color::Red => "#ff7a80",
        _ => FOREGROUND,
    };
    let is_bold = cell.modifier.contains(Modifier::BOLD);
    match cell.modifier.contains(Modifier::REVERSED) {
        true => (BACKGROUND, Some(colour), is_bold),
        false => (colour, None, is_bold),
    }
}

fn run_of_cells(text: &mut String, run: &[&Cell], column: u32, line: u32) {
    let Some(first) = run.first() else { return };
    let (colour, behind, is_bold) = look(first);
    let (mut x, y, mut width) = (MARGIN + column * WIDTH, MARGIN + line * HEIGHT, run.len() as u32 * WIDTH);
    if let Some(behind) = behind {
        let _ = writeln!(text, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"{behind}\"/>");
    }
    let letters: String = run.iter().map(|cell| cell.symbol()).collect();
    let letters = letters.trim_end_matches(' ');
    if letters.is_empty() {
        return;
    }
    let before = letters.len() - letters.trim_start_matches(' ').len();
    x += before as u32 * WIDTH;
    width -= (before + run.len() - letters.chars().count()) as u32 * WIDTH;
    // Browsers make one of several spaces, whatever the picture says of it.
    let letters = letters.trim_start_matches(' ').replace(' ', "\u{a0}");
    let weight = if is_bold { " font-weight=\"bold\"" } else { "" };
    let escaped = letters.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // The length holds the columns together, whatever font is there.
    let _ = writeln!(
        text,
        "<text x=\"{x}\" y=\"{}\" fill=\"{colour}\"{weight} textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\">{escaped}</text>",
        y + 14
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_drawn_as_a_terminal_shows_it() {
        let picture = of_text("ok  <1>\nCAUSE it is longer than the screen\n\nrest\n", 20);
        assert!(picture.starts_with("<svg ") && picture.contains("height=\"92\""), "{picture}");
        assert!(picture.contains(">ok\u{a0}\u{a0}&lt;1&gt;") && picture.contains("longer\u{a0}…"), "{picture}");
        assert!(picture.contains("fill=\"#ff7a80\"") && picture.contains("fill=\"#8fd18f\""), "{picture}");
    }
}
