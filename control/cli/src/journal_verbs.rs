//! `tern journal cat` and `stats`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;
use tern_abi::record::Kind;
use tern_config::facts::Names;

use crate::fold::Fold;
use crate::history::{damage_note, kind_name, kinds};
use crate::outcome::{Failure, Outcome, exit};
use crate::record_text;
use crate::records;
use crate::table::{Align, Table, grouped, tai_time};

/// Prints records as they are read, so that a day's journal needs no memory.
///
/// # Errors
/// Exit code 2 for an unknown kind; 1 when the journal cannot be opened; 4 where it is damaged.
pub(crate) fn cat(
    folder: &Path,
    wanted: &[String],
    from_seq: u64,
    limit: Option<u64>,
    payload_bytes_max: usize,
    json: bool,
) -> Result<(), Failure> {
    let mut kinds = Vec::with_capacity(wanted.len());
    for name in wanted {
        match Kind::ALL.iter().find(|kind| kind.name() == name) {
            Some(kind) => kinds.push(*kind as u16),
            None => {
                let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                return Err(Failure::usage(format!("no kind `{name}`; there are: {}", known.join(", "))));
            }
        }
    }
    let mut names = Names::default();
    let mut left = limit.unwrap_or(u64::MAX);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut wrong = None;
    let damage = records::for_each(folder, from_seq, |header, body| {
        if let Some(of_this_run) = record_text::names_of_start(header, body) {
            names = of_this_run;
        }
        if left == 0 {
            return false;
        }
        if !kinds.is_empty() && !kinds.contains(&header.kind) {
            return true;
        }
        left -= 1;
        let record = record_text::to_json(header, body, &names, payload_bytes_max);
        let line = if json { record.to_string() } else { record_text::to_line(&record) };
        wrong = writeln!(out, "{line}").err();
        wrong.is_none()
    })?;
    let flushed = out.flush();
    match wrong.or(flushed.err()) {
        // Whoever read has seen enough.
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Some(error) => return Err(Failure::failed(error)),
        None => {}
    }
    match damage {
        Some(damage) => Err(Failure { message: damage.to_string(), code: exit::DAMAGED }),
        None => Ok(()),
    }
}

/// Counts records by kind.
///
/// # Errors
/// When the journal cannot be opened.
pub(crate) fn stats(folder: &Path) -> Result<Outcome, Failure> {
    let mut fold = Fold::default();
    let mut bytes = BTreeMap::<u16, u64>::new();
    let damage = records::for_each(folder, 0, |header, body| {
        *bytes.entry(header.kind).or_default() += (size_of_val(header) + body.len()) as u64;
        fold.apply(header, body);
        true
    })?;
    let mut table = Table::new(&[("kind", Align::Left), ("records", Align::Right), ("bytes", Align::Right)]);
    for (kind, count) in &fold.kinds {
        table.row(vec![kind_name(*kind), grouped(*count), grouped(bytes.get(kind).copied().unwrap_or(0))]);
    }
    let seconds = fold.last_ns.saturating_sub(fold.first_ns) as f64 / 1e9;
    let mut text = format!(
        "{}{} records in {} runs\n{} to {} ({seconds:.1} s)\n",
        table.render(),
        grouped(fold.records),
        fold.runs,
        tai_time(fold.first_ns),
        tai_time(fold.last_ns),
    );
    let code = damage_note(damage.as_ref(), &mut text);
    let json = json!({ "records": fold.records, "bytes": bytes.values().sum::<u64>(), "runs": fold.runs,
        "by_kind": kinds(&fold), "first_seq": fold.first_seq, "last_seq": fold.last_seq,
        "first_tai_ns": fold.first_ns, "last_tai_ns": fold.last_ns });
    Ok(Outcome { text, json, code })
}
