//! `tern journal verify`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tern_journal::{Seal, Stretch};

use crate::outcome::{Failure, Outcome, exit};
use crate::table::{grouped, tai_time};
use crate::{retention, seal};

/// Reads and checks every bit.
///
/// # Errors
/// When the journal or a seal cannot be read.
pub(crate) fn verify(folder: &Path, seals: &[PathBuf]) -> Result<Outcome, Failure> {
    if !folder.is_dir() {
        return Err(Failure::failed(format!("{}: there is no journal", folder.display())));
    }
    let seals: Vec<Seal> =
        seals.iter().map(|path| Seal::read(path)).collect::<Result<_, _>>().map_err(Failure::failed)?;
    let found = tern_journal::verify_with(folder, &seals).map_err(Failure::failed)?;
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
    found.deletions.iter().rev().for_each(|deletion| text.push_str(&retention::deletion_text(deletion)));
    if found.leftovers > 0 {
        text.push_str(&format!("{} segments of deleted days are still there, and not read\n", found.leftovers));
    }
    found.of_deleted.iter().for_each(|seal| text.push_str(&format!("{seal}\n")));
    if found.is_whole() {
        text.push_str("every checksum and the chain are right\n");
    }
    for damage in &found.damages {
        let after =
            damage.after.map_or_else(String::new, |after| format!("; last sound record {}", tai_time(after.tai_ns)));
        text.push_str(&format!("DAMAGED: {damage}{after}\n"));
    }
    found.stretches.iter().for_each(|stretch| text.push_str(&stretch_text(stretch)));
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
        "stretches": found.stretches.iter().map(stretch_json).collect::<Vec<_>>(),
        "deletions": found.deletions.iter().rev().map(retention::deletion_json).collect::<Vec<_>>(),
        "leftovers": found.leftovers, "seals_of_deleted": found.of_deleted,
        "head": found.head.as_ref().map(seal::head_json),
    });
    Ok(Outcome { text, json, code: if sound { exit::OK } else { exit::DAMAGED } })
}

fn stretch_text(stretch: &Stretch) -> String {
    let proof = match &stretch.proven_by {
        Some(by) => format!("PROVEN by {by}"),
        None => "holds together; nothing outside of the segments says that it was not made anew".to_owned(),
    };
    format!(
        "seq {} to {}, {} to {}: {proof}\n",
        stretch.first_seq,
        stretch.last_seq,
        tai_time(stretch.first_tai_ns),
        tai_time(stretch.last_tai_ns)
    )
}

fn stretch_json(stretch: &Stretch) -> Value {
    json!({ "first_seq": stretch.first_seq, "last_seq": stretch.last_seq, "first_tai_ns": stretch.first_tai_ns,
        "last_tai_ns": stretch.last_tai_ns, "proven_by": stretch.proven_by })
}
