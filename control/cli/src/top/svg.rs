//! A screen as a picture: a rectangle for each run of cells with a background, a text for each with a colour.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Of a cell, pixels.
const WIDTH: u32 = 9;
const HEIGHT: u32 = 18;
const MARGIN: u32 = 10;
const FOREGROUND: &str = "#d8dee9";
const BACKGROUND: &str = "#14181f";

/// The picture, complete.
pub(super) fn svg(buffer: &Buffer) -> String {
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
    let (x, y, width) = (MARGIN + column * WIDTH, MARGIN + line * HEIGHT, run.len() as u32 * WIDTH);
    if let Some(behind) = behind {
        let _ = writeln!(text, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"{behind}\"/>");
    }
    let letters: String = run.iter().map(|cell| cell.symbol()).collect();
    if letters.trim().is_empty() {
        return;
    }
    let weight = if is_bold { " font-weight=\"bold\"" } else { "" };
    let escaped = letters.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // The length holds the columns together, whatever font is there.
    let _ = writeln!(
        text,
        "<text x=\"{x}\" y=\"{}\" fill=\"{colour}\"{weight} textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\">{escaped}</text>",
        y + 14
    );
}
