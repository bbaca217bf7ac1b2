//! `tern incident`: everything that whoever looks into an incident asks for, in one folder with a manifest. It needs neither `ternd` nor a
//! data plane, and passes over what cannot be had, with the reason.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tern_abi::ABI_VERSION;
use tern_abi::record::Kind;
use tern_config::{Config, Secret};
use tern_journal::{JOURNAL_VERSION, SegmentFacts, segment_facts, sha256_of};

use crate::args::{ConfigVerb, DayVerb, Which};
use crate::outcome::{Failure, JSON_VERSION, Outcome};
use crate::record_text::{names_of_start, to_json};
use crate::status::{self, tai_ns};
use crate::table::{grouped, tai_time};
use crate::target::Target;
use crate::{alerts, config, day, live, records, risk};

/// The end of a log, bytes.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Records as text; the segments have the others.
const RECORDS_MAX: u64 = 200_000;
/// A password that is shorter is too likely to be a part of other words.
const SECRET_BYTES_MIN: usize = 4;
/// What of the host may matter.
const HOST: [&str; 10] = [
    "/proc/version",
    "/proc/cmdline",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/interrupts",
    "/proc/net/dev",
    "/proc/mounts",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
];

/// The folder that is filled.
struct Bundle {
    folder: PathBuf,
    /// What may be in no text of it.
    secrets: Vec<String>,
    files: Vec<Value>,
    missing: Vec<Value>,
}

impl Bundle {
    fn new(folder: &Path, secrets: Vec<String>) -> Result<Self, Failure> {
        let made = DirBuilder::new().mode(0o700).create(folder);
        made.map_err(|error| {
            Failure::failed(format!("{}: cannot be made: {error}; name a folder that is not there", folder.display()))
        })?;
        Ok(Self { folder: folder.to_owned(), secrets, files: Vec::new(), missing: Vec::new() })
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            DirBuilder::new().mode(0o700).recursive(true).create(parent)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    /// Notes what came of a file: its size and hash, or why it is not there.
    fn note(&mut self, name: &str, written: io::Result<()>) {
        let path = self.folder.join(name);
        let noted = written.and_then(|()| Ok((fs::metadata(&path)?.len(), sha256_of(&path)?)));
        match noted {
            Ok((bytes, sha256)) => self.files.push(json!({ "file": name, "bytes": bytes, "sha256": sha256 })),
            Err(error) => self.lacks(name, &error.to_string()),
        }
    }

    fn lacks(&mut self, what: &str, why: &str) {
        let why = self.hidden(why);
        self.missing.push(json!({ "what": what, "why": why }));
    }

    /// The text without passwords.
    fn hidden(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, Secret::HIDDEN))
    }

    fn text(&mut self, name: &str, text: &str) {
        let text = self.hidden(text);
        let written = self.create(name).and_then(|mut file| file.write_all(text.as_bytes()));
        self.note(name, written);
    }

    /// What a command says, as text and for programs.
    fn outcome(&mut self, name: &str, outcome: Result<Outcome, Failure>) {
        match outcome {
            Ok(outcome) => {
                self.text(&format!("{name}.txt"), &outcome.text);
                self.text(&format!("{name}.json"), &format!("{:#}\n", outcome.versioned()));
            }
            Err(failure) => self.lacks(name, &failure.message),
        }
    }

    /// The end of a file of text.
    fn copy_text(&mut self, name: &str, from: &Path) {
        let read = || {
            let mut file = File::open(from)?;
            let bytes = file.metadata()?.len();
            file.seek(SeekFrom::Start(bytes.saturating_sub(LOG_BYTES_MAX)))?;
            let mut text = Vec::new();
            file.take(LOG_BYTES_MAX).read_to_end(&mut text)?;
            Ok::<_, io::Error>(String::from_utf8_lossy(&text).into_owned())
        };
        match read() {
            Ok(text) => self.text(name, &text),
            Err(error) => self.lacks(name, &format!("{}: {error}", from.display())),
        }
    }

    /// A file byte for byte, as it is now.
    fn copy(&mut self, name: &str, from: &Path) {
        let copied = File::open(from).and_then(|mut from| io::copy(&mut from, &mut self.create(name)?)).map(|_| ());
        self.note(name, copied);
    }
}

/// Collects it in the new folder `to`: of the `minutes` before `around` (now, if it is not given) and as many after it.
///
/// # Errors
/// Exit code 2 for a time that is none and for a wrong configuration, 1 when the folder is there or cannot be written.
pub(crate) fn collect(which: &Which, to: &Path, minutes: u32, around: Option<&str>) -> Result<Outcome, Failure> {
    let target = Target::find(which)?;
    let now_ns = tai_ns();
    let middle_ns = match around {
        None => now_ns,
        Some(text) => crate::table::tai_ns(text).ok_or_else(|| {
            Failure::usage(format!("`{text}` is no time: give it as 2026-11-22T13:42:33.5 (TAI), or in nanoseconds"))
        })?,
    };
    let span_ns = u64::from(minutes) * 60_000_000_000;
    let (from_ns, until_ns) = (middle_ns.saturating_sub(span_ns), middle_ns.saturating_add(span_ns));
    // It was loaded a moment ago.
    let loaded = which.config.as_ref().and_then(|file| Config::load(file).ok());
    let mut bundle = Bundle::new(to, loaded.as_ref().map(secrets).unwrap_or_default())?;
    match &loaded {
        Some(config) => bundle.text("config/effective.toml", &config.effective_toml()),
        None => bundle
            .lacks("config/effective.toml", "no --config was given: config/running.txt has that of the last start"),
    }
    bundle.outcome("config/running", config::run(which, &ConfigVerb::Show { effective: false }));
    bundle.outcome("config/history", config::run(which, &ConfigVerb::History));
    bundle.outcome("status", status::status(&target));
    bundle.outcome("counters", live::counters(&target, true));
    bundle.outcome("alerts", alerts::show(&target));
    bundle.outcome("risk", risk::show(&target));
    bundle.outcome("day", day::run(&target, &DayVerb::Status { all: true }));
    facts_and_logs(&mut bundle, &target, minutes);
    for file in HOST {
        bundle.copy_text(&format!("host{file}"), Path::new(file));
    }
    let segments = slice(&mut bundle, &target.paths.journal, from_ns, until_ns);
    let read = lines(&mut bundle, &target.paths.journal, from_ns, until_ns);
    if let Err(why) = read {
        bundle.lacks("the rest of records.jsonl", &why);
    }
    let manifest = json!({
        "version": JSON_VERSION, "tern": env!("CARGO_PKG_VERSION"), "abi_version": ABI_VERSION, "journal_version": JOURNAL_VERSION,
        "instance": target.name, "collected_ns": now_ns, "from_ns": from_ns, "until_ns": until_ns,
        "segments": segments, "files": bundle.files, "missing": bundle.missing,
    });
    let written = bundle.create("manifest.json").and_then(|mut file| writeln!(file, "{manifest:#}"));
    written.map_err(|error| Failure::failed(format!("{}: {error}", to.display())))?;
    let hash =
        sha256_of(&to.join("manifest.json")).map_err(|error| Failure::failed(format!("{}: {error}", to.display())))?;
    let mut text = format!(
        "{}: {} files of {} to {}; manifest.json has their hashes, its own is\n{hash}\n",
        to.display(),
        bundle.files.len(),
        tai_time(from_ns),
        tai_time(until_ns.min(now_ns))
    );
    for lacks in &bundle.missing {
        text.push_str(&format!(
            "not there: {}: {}\n",
            lacks["what"].as_str().unwrap_or(""),
            lacks["why"].as_str().unwrap_or("")
        ));
    }
    let json = json!({ "folder": to, "manifest_sha256": hash, "files": bundle.files.len(), "missing": bundle.missing });
    Ok(Outcome::ok(text, json))
}

/// The passwords of a configuration.
fn secrets(config: &Config) -> Vec<String> {
    let session = config.session.iter().map(|session| &session.password);
    let all = session.chain(config.drop_copy.iter().map(|copy| &copy.password));
    all.map(|secret| secret.reveal().to_owned()).filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect()
}

fn facts_and_logs(bundle: &mut Bundle, target: &Target, minutes: u32) {
    for file in ["daemon.json", "dataplane.json", "audit.json", "alerts.json", "latency.json"] {
        bundle.copy_text(&format!("run/{file}"), &target.paths.run.join(file));
    }
    for file in ["dataplane.log", "audit.log", "metrics.log", "audit.jsonl", "drop_copy.jsonl"] {
        bundle.copy_text(&format!("logs/{file}"), &target.paths.run.join(file));
    }
    let since = format!("-{minutes}min");
    let arguments = ["--no-pager", "--output=short-iso-precise", "--since", &since, "_COMM=ternd"];
    let said = Command::new("journalctl").args(arguments).stdin(Stdio::null()).output();
    match said {
        Ok(said) if said.status.success() => bundle.text("logs/ternd.log", &String::from_utf8_lossy(&said.stdout)),
        Ok(said) => bundle.lacks("logs/ternd.log", String::from_utf8_lossy(&said.stderr).trim()),
        Err(error) => bundle
            .lacks("logs/ternd.log", &format!("journalctl: {error}; ternd's log is where its standard error went")),
    }
}

/// Copies every segment that may have records of the time, whole and as it is, with the head and the seals: by those it can be
/// proven later that these are the bytes that were written.
fn slice(bundle: &mut Bundle, journal: &Path, from_ns: u64, until_ns: u64) -> Vec<Value> {
    let mut found: Vec<(u64, Option<SegmentFacts>)> = Vec::new();
    let listed = fs::read_dir(journal).map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>());
    let number = |name: &str| name.strip_suffix(".journal").and_then(|stem| stem.parse::<u64>().ok());
    match listed {
        Ok(entries) => {
            let names = entries.iter().filter_map(|entry| number(&entry.file_name().to_string_lossy()));
            // A header that cannot be read says nothing of the time: then the segment belongs to it.
            found.extend(names.map(|number| (number, segment_facts(journal, number).ok().flatten())));
        }
        Err(error) => bundle.lacks("journal", &format!("{}: {error}", journal.display())),
    }
    found.sort_by_key(|(number, _)| *number);
    let begins = |at: usize| found.get(at).and_then(|(_, facts)| facts.as_ref()).map(|facts| facts.first_tai_ns);
    let mut segments = Vec::new();
    let mut wanted = Vec::new();
    for (at, (number, facts)) in found.iter().enumerate() {
        let is_before = at + 1 < found.len() && begins(at + 1).is_some_and(|next_ns| next_ns < from_ns);
        if is_before || begins(at).is_some_and(|first_ns| first_ns > until_ns) {
            continue;
        }
        wanted.push(*number);
        segments.push(match facts {
            Some(facts) => json!({ "segment": number, "first_seq": facts.first_seq, "first_tai_ns": facts.first_tai_ns,
                "previous_chain": tern_journal::hex(&facts.previous), "chain": facts.end.map(|chain| tern_journal::hex(&chain)) }),
            None => json!({ "segment": number, "damaged": true }),
        });
    }
    // The head first: what it speaks of is in the segments then.
    bundle.copy("journal/head", &journal.join("head"));
    for number in wanted {
        let file = format!("{number:08}.journal");
        bundle.copy(&format!("journal/{file}"), &journal.join(&file));
    }
    for entry in fs::read_dir(journal.join("seals")).into_iter().flatten().filter_map(Result::ok) {
        bundle.copy(&format!("journal/seals/{}", entry.file_name().to_string_lossy()), &entry.path());
    }
    segments
}

/// The records of the time as objects, a line each, but for market data, measurements and raw bytes.
fn lines(bundle: &mut Bundle, journal: &Path, from_ns: u64, until_ns: u64) -> Result<(), String> {
    let left_out =
        [Kind::Datagram, Kind::Stages, Kind::SessionBytes, Kind::Timer, Kind::Counters].map(|kind| kind as u16);
    let (mut names, mut text, mut count) = (Default::default(), String::new(), 0);
    let begins = tern_journal::index::last_day_begins(journal).unwrap_or(0);
    let read = records::for_each(journal, begins, |header, body| {
        names = names_of_start(header, body).unwrap_or_else(|| std::mem::take(&mut names));
        if (from_ns..=until_ns).contains(&header.tai_ns) && !left_out.contains(&header.kind) {
            text.push_str(&format!("{}\n", to_json(header, body, &names, 0)));
            count += 1;
        }
        count < RECORDS_MAX
    });
    bundle.text("records.jsonl", &text);
    match read {
        Ok(None) if count >= RECORDS_MAX => {
            Err(format!("more than {} records: the segments have them", grouped(RECORDS_MAX)))
        }
        Ok(None) => Ok(()),
        Ok(Some(damage)) => Err(damage.to_string()),
        Err(failure) => Err(failure.message),
    }
}
