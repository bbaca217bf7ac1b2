//! `tern journal cat`, `verify` and `stats`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
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

/// Reads and checks every bit.
///
/// # Errors
/// When the journal cannot be opened.
pub(crate) fn verify(folder: &Path) -> Result<Outcome, Failure> {
    if !folder.is_dir() {
        return Err(Failure::failed(format!("{}: there is no journal", folder.display())));
    }
    let found = tern_journal::verify(folder).map_err(Failure::failed)?;
    let sound = found.is_whole() && found.unexplained() == 0;
    let mut text = format!(
        "{}: {} records, seq {} to {}, {} segments, {} bytes\n",
        folder.display(),
        grouped(found.records),
        found.first_seq,
        found.last_seq,
        found.segments,
        grouped(found.bytes)
    );
    if found.is_whole() {
        text.push_str("every checksum and the chain of the segments are right\n");
    }
    for damage in &found.damages {
        let after =
            damage.after.map_or_else(String::new, |after| format!("; last sound record {}", tai_time(after.tai_ns)));
        text.push_str(&format!("DAMAGED: {damage}{after}\n"));
    }
    if found.torn_bytes > 0 {
        text.push_str(&format!("it ends in {} bytes of a record that is or was being written\n", found.torn_bytes));
    }
    text.push_str(&match found.missing {
        0 => "no sequence number is missing\n".to_owned(),
        missing => format!(
            "{missing} sequence numbers are missing: {} shed, {} at restarts, {} LOST\n",
            found.shed_datagrams,
            found.missing_at_start,
            found.unexplained()
        ),
    });
    let damages: Vec<Value> = (found.damages.iter())
        .map(|damage| {
            json!({ "file": damage.path, "offset": damage.offset, "what": damage.what,
                "after_seq": damage.after.map(|after| after.seq),
                "after_tai_ns": damage.after.map(|after| after.tai_ns),
                "after_time": damage.after.map(|after| tai_time(after.tai_ns)) })
        })
        .collect();
    let json = json!({
        "sound": sound, "records": found.records, "segments": found.segments, "bytes": found.bytes,
        "first_seq": found.first_seq, "last_seq": found.last_seq, "torn_bytes": found.torn_bytes,
        "missing": found.missing, "shed": found.shed_datagrams, "missing_at_restart": found.missing_at_start,
        "unexplained": found.unexplained(), "damages": damages,
    });
    Ok(Outcome { text, json, code: if sound { exit::OK } else { exit::DAMAGED } })
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
