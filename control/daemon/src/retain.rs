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
        tern_journal::make_followers(&self.folder)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use tern_abi::record::{Kind, RecordHeader, StartRecord};
    use tern_journal::{Follower, Options, Reader, Writer, beginning, seal_through};
    use zerocopy::IntoBytes;

    /// A journal of three sealed days and an open one, a segment of one record each.
    fn journal(folder: &Path) {
        let (mut writer, _) = Writer::open(folder, Options::new("retain")).expect("an empty folder");
        for seq in 1..=4 {
            let body = [StartRecord::default().as_bytes(), format!("#run day={}\n", 20_000 + seq).as_bytes()].concat();
            let body_bytes = body.len() as u32;
            let header = RecordHeader { seq, tai_ns: 10 * seq, kind: Kind::Start as u16, flags: 0, body_bytes };
            writer.append(&header, &body).expect("room");
            if seq < 4 {
                writer.seal().expect("a disk");
                seal_through(folder, seq).expect("whole").expect("a record").keep(folder).expect("room");
            }
        }
        writer.sync().expect("a disk");
    }

    #[test]
    fn days_go_once_nobody_holds_them_back_and_what_holds_is_told() {
        let folder = std::env::temp_dir().join(format!("tern-retain-{}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        journal(&folder);
        let text = "[instance]\nname = \"retain\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n[journal]\nretain_days = 1\n";
        let mut config = Config::parse(&folder.join("c.toml"), text).unwrap_or_else(|problems| panic!("{problems}"));
        config.paths.journal.clone_from(&folder);
        let shown: Arc<Mutex<Option<RetentionFact>>> = Arc::default();
        let mut retain = Retain::new(&config, Arc::clone(&shown));
        let mut turn = || {
            retain.look_now();
            retain.turn();
            shown.lock().expect("not poisoned").clone().expect("something is to be deleted")
        };
        let mut follower = Follower { name: "slow".into(), needs_seq: 1, ..Follower::default() };
        follower.tell(&folder).expect("room");
        let fact = turn();
        assert_eq!((fact.first_segment, fact.first_seq, fact.first_tai_ns, fact.held_days), (1, 1, 10, 2));
        assert!(fact.held_by.len() == 1 && fact.held_by[0].starts_with("follower slow"), "{fact:?}");
        follower.needs_seq = 2;
        follower.tell(&folder).expect("room");
        let fact = turn();
        assert_eq!((fact.first_segment, fact.held_days, fact.deleted_seq), (2, 1, 1));
        follower.needs_seq = 4;
        follower.tell(&folder).expect("room");
        let fact = turn();
        assert_eq!((fact.first_segment, fact.first_seq, fact.held_days, fact.deleted_seq), (3, 3, 0, 2));
        assert!(fact.deleted_tai_ns > 0 && fact.held_by.is_empty() && fact.trouble.is_empty(), "{fact:?}");
        let mut reader = Reader::open(&folder).expect("whole");
        assert_eq!(reader.next().expect("whole").map(|record| record.header.seq), Some(3));

        // What cannot be deleted is told, nothing else is touched, and the next look goes on.
        std::fs::write(folder.join("beginning"), "half").expect("ours");
        let fact = turn();
        assert!(fact.trouble.contains("beginning is damaged"), "{fact:?}");
        assert!(beginning(&folder).is_err());
        std::fs::remove_dir_all(&folder).ok();
    }
}
