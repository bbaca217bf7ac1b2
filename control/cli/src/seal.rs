//! `tern journal seal` and `accept`.

use std::path::Path;

use serde_json::{Value, json};
use tern_journal::{GivenUp, Head, Seal, hex};

use crate::outcome::{Failure, Outcome, exit};
use crate::table::{grouped, tai_time};

/// A head, as `tern status` and `tern journal` show it.
pub(crate) fn head_json(head: &Head) -> Value {
    json!({ "segment": head.segment, "bytes": head.bytes, "records": head.records, "last_seq": head.last_seq,
        "last_tai_ns": head.last_tai_ns, "chain": hex(&head.chain) })
}

fn head_text(head: &Head) -> String {
    format!(
        "segment {}, byte {}, {} records up to seq {}, {}\nchain {}\n",
        head.segment,
        grouped(head.bytes),
        grouped(head.records),
        head.last_seq,
        tai_time(head.last_tai_ns),
        hex(&head.chain)
    )
}

/// Writes a seal of the last day.
///
/// # Errors
/// When the journal cannot be read, has no record on the disk, or the seal cannot be written.
pub(crate) fn seal(folder: &Path, to: Option<&Path>) -> Result<Outcome, Failure> {
    let seal = tern_journal::seal(folder).map_err(Failure::failed)?;
    let Some(seal) = seal else {
        return Err(Failure::failed(format!("{}: no record is on the disk yet: nothing to seal", folder.display())));
    };
    let path = match to {
        Some(path) => {
            seal.write(path).map_err(Failure::failed)?;
            path.to_owned()
        }
        None => seal.keep(folder).map_err(Failure::failed)?,
    };
    let Seal { instance, day, head, records, first_seq, first_tai_ns, build } = &seal;
    let text = format!(
        "{}: day {day} of {instance}, {} records from seq {first_seq}, {}\n{}",
        path.display(),
        grouped(*records),
        tai_time(*first_tai_ns),
        head_text(head)
    );
    let json = json!({ "file": path, "instance": instance, "day": day, "records": records, "first_seq": first_seq,
        "first_tai_ns": first_tai_ns, "build": build, "head": head_json(head) });
    Ok(Outcome { text, json, code: exit::OK })
}

/// Takes the journal as it is for the whole of it.
///
/// # Errors
/// When somebody writes the journal, or it cannot be read.
pub(crate) fn accept(folder: &Path) -> Result<Outcome, Failure> {
    if !folder.is_dir() {
        return Err(Failure::failed(format!("{}: there is no journal", folder.display())));
    }
    let accepted = tern_journal::accept(folder).map_err(Failure::failed)?;
    let before = accepted.before.map_or(0, |head| head.last_seq);
    let mut text = format!("the journal ends with {}", head_text(&accepted.head));
    if before > accepted.head.last_seq {
        text.push_str(&format!("GIVEN UP: seq {} to {before}\n", accepted.head.last_seq + 1));
    }
    if let Some(GivenUp { segment, offset, bytes, kept }) = &accepted.given_up {
        text.push_str(&format!(
            "GIVEN UP: {} bytes of {} from byte {} on, kept: {}\n",
            grouped(*bytes),
            segment.display(),
            grouped(*offset),
            kept.display()
        ));
    }
    if let Some(kept) = &accepted.kept {
        text.push_str(&format!("the head before is kept: {}\n", kept.display()));
    }
    let given_up = accepted.given_up.as_ref().map(|given_up| {
        let GivenUp { segment, offset, bytes, kept } = given_up;
        json!({ "segment": segment, "offset": offset, "bytes": bytes, "kept": kept })
    });
    let json = json!({ "head": head_json(&accepted.head), "before": accepted.before.as_ref().map(head_json),
        "kept": accepted.kept, "given_up": given_up });
    Ok(Outcome { text, json, code: exit::OK })
}
