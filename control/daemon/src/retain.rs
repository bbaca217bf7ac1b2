//! Deletes the days of the journal that are not to be kept (`journal.retain_days`), as the keeper's last step: what cannot be deleted
//! costs no record, and is told.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tern_config::Config;
use tern_config::facts::RetentionFact;
use tern_journal::retention::{self, Hold, Plan};
use tern_journal::{JournalError, hex};

use crate::clock;
use crate::keeper::say;

/// How often it is asked whether a day may go.
const LOOK_EVERY: Duration = Duration::from_secs(60);

pub(crate) struct Retain {
    folder: PathBuf,
    retain_days: u32,
    due: Instant,
    /// What is shown of it.
    shown: Arc<Mutex<Option<RetentionFact>>>,
    /// What was said last.
    trouble: String,
    held: String,
}

/// Why it is held back, for people.
pub(crate) fn text_of(hold: &Hold) -> String {
    match hold {
        Hold::Follower(follower) => format!("follower {} ({})", follower.name, follower.who),
        Hold::Damage(damage) => damage.to_string(),
        Hold::NoEnd => "a day without an end: it has no seal, or its run goes on into the next day".into(),
    }
}

impl Retain {
    pub(crate) fn new(config: &Config, shown: Arc<Mutex<Option<RetentionFact>>>) -> Self {
        Self {
            folder: config.paths.journal.clone(),
            retain_days: config.journal.retain_days,
            due: Instant::now(),
            shown,
            trouble: String::new(),
            held: String::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn look_now(&mut self) {
        self.due = Instant::now();
    }

    /// Looks, once a minute, and deletes what may go.
    pub(crate) fn turn(&mut self) {
        if Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + LOOK_EVERY;
        let outcome = self.look();
        let trouble = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        if trouble.is_empty() {
            self.trouble.clear();
        } else {
            say(&mut self.trouble, format!("the first days of the journal are not deleted: {trouble}"));
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(Some(fact)) => *shown = Some(fact),
            Ok(None) => *shown = None,
            Err(_) => shown.get_or_insert_default().trouble = trouble,
        }
    }

    fn look(&mut self) -> Result<Option<RetentionFact>, JournalError> {
        // What was cut when a daemon ended goes first, whether more is to be deleted or not.
        let removed = retention::settle(&self.folder)?;
        if removed > 0 {
            tracing::info!(segments = removed, "ended a deletion that was cut");
        }
        if self.retain_days == 0 && tern_journal::beginning(&self.folder)?.deletion.is_none() {
            return Ok(None);
        }
        let mut plan = retention::plan(&self.folder, self.retain_days)?;
        if let Some(deletion) = retention::delete(&self.folder, &plan, clock::tai_ns())? {
            // Where logs go, this is out of reach of whoever can write the journal.
            tracing::info!(
                from_segment = deletion.first_segment,
                segment = deletion.seal.head.segment,
                from_seq = deletion.first_seq,
                seq = deletion.seal.head.last_seq,
                day = deletion.seal.day,
                bytes = plan.bytes,
                chain = %hex(&deletion.seal.head.chain),
                record = %deletion.file_name(),
                "days of the journal are deleted"
            );
            plan = retention::plan(&self.folder, self.retain_days)?;
        }
        Ok(Some(self.fact(&plan)))
    }

    fn fact(&mut self, plan: &Plan) -> RetentionFact {
        let held_by: Vec<String> = plan.held_by.iter().map(text_of).collect();
        let held_days = if held_by.is_empty() { 0 } else { plan.due_days.len() as u64 };
        if held_by.is_empty() {
            self.held.clear();
        } else {
            say(
                &mut self.held,
                format!("{held_days} days of the journal are to be deleted and held back: {}", held_by.join("; ")),
            );
        }
        let deletion = plan.beginning.deletion.as_ref();
        RetentionFact {
            first_segment: plan.beginning.segment,
            first_seq: plan.first.0,
            first_tai_ns: plan.first.1,
            held_days,
            held_by,
            deleted_tai_ns: deletion.map_or(0, |deletion| deletion.at_tai_ns),
            deleted_seq: plan.beginning.last_seq(),
            trouble: String::new(),
        }
    }
}
