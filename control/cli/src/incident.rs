//! `tern incident`: everything that whoever looks into an incident asks for, in one folder with a manifest. It needs neither `ternd` nor a
//! data plane, and passes over what cannot be had, with the reason.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tern_abi::ABI_VERSION;
use tern_abi::record::Kind;
use tern_config::Config;
use tern_journal::{JOURNAL_VERSION, Reader, SegmentFacts, segment_facts, sha256_of};

use crate::args::{ConfigVerb, DayVerb, Which};
use crate::outcome::{Failure, JSON_VERSION, Outcome, exit};
use crate::record_text::{names_of_start, to_json};
use crate::secrets::Secrets;
use crate::status::{self, tai_ns};
use crate::table::{grouped, tai_time};
use crate::target::Target;
use crate::{alerts, config, day, live, records, risk};

/// The end of a log, bytes.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Records as text; the segments have the others.
const RECORDS_MAX: u64 = 200_000;
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

/// A segment by its number; nothing more is known of one whose header cannot be read.
type Listed = (u64, Option<SegmentFacts>);

/// The folder that is filled.
struct Bundle {
    folder: PathBuf,
    /// What may be in no text of it.
    secrets: Secrets,
    files: Vec<Value>,
    missing: Vec<Value>,
}

impl Bundle {
    fn new(folder: &Path, secrets: Secrets) -> Result<Self, Failure> {
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
        self.secrets.hide(text)
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
    // It was loaded a moment ago. An instance that is only named has its configuration where the units look for it.
    let usual = || which.instance.as_ref().map(|name| PathBuf::from(format!("/etc/tern/{name}.toml")));
    let loaded = which.config.clone().or_else(usual).and_then(|file| Config::load(&file).ok());
    let mut bundle = Bundle::new(to, loaded.as_ref().map(Secrets::of).unwrap_or_default())?;
    if loaded.is_none() {
        bundle.lacks("passwords", "the configuration is not known (--config), so they were looked for in no text: look before it leaves the host");
    }
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
    facts_and_logs(&mut bundle, &target, now_ns, (from_ns, until_ns));
    for file in HOST {
        bundle.copy_text(&format!("host{file}"), Path::new(file));
    }
    let journal = &target.paths.journal;
    let found = listed(&mut bundle, journal);
    let segments = slice(&mut bundle, journal, &found, (from_ns, until_ns));
    let span = lines(&mut bundle, journal, &found, (from_ns, until_ns));
    if span.is_cut {
        let why = format!("more than {} records: the segments have them", grouped(RECORDS_MAX));
        bundle.lacks("the rest of records.jsonl", &why);
    }
    for damage in &span.damages {
        bundle.lacks("records.jsonl is not whole", damage);
    }
    if span.count == 0 {
        bundle.lacks("records", &span.outside(&found));
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
    let code = match span {
        Span { damages, .. } if !damages.is_empty() => exit::DAMAGED,
        Span { count: 0, .. } => exit::UNHEALTHY,
        _ => exit::OK,
    };
    Ok(Outcome { text, json, code })
}

fn facts_and_logs(bundle: &mut Bundle, target: &Target, now_ns: u64, (from_ns, until_ns): (u64, u64)) {
    for file in ["daemon.json", "dataplane.json", "audit.json", "alerts.json", "latency.json"] {
        bundle.copy_text(&format!("run/{file}"), &target.paths.run.join(file));
    }
    for file in ["dataplane.log", "audit.log", "metrics.log", "audit.jsonl", "drop_copy.jsonl"] {
        bundle.copy_text(&format!("logs/{file}"), &target.paths.run.join(file));
    }
    // What the unit said, and what systemd said of it, in the time of the records. systemd counts in the time of the wall.
    let wall_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let wall = |at_ns: u64| match at_ns.checked_sub(now_ns) {
        Some(later_ns) => format!("@{}", wall_s.saturating_add(later_ns / 1_000_000_000)),
        None => format!("@{}", wall_s.saturating_sub((now_ns - at_ns).div_ceil(1_000_000_000))),
    };
    let unit = format!("ternd@{}.service", target.name);
    let said = Command::new("journalctl")
        .args(["--no-pager", "--output=short-iso-precise", "--since", &wall(from_ns), "--until", &wall(until_ns)])
        .args([&format!("_SYSTEMD_UNIT={unit}"), "+", &format!("UNIT={unit}")])
        .stdin(Stdio::null())
        .output();
    match said {
        Ok(said) if said.status.success() => bundle.text("logs/ternd.log", &String::from_utf8_lossy(&said.stdout)),
        Ok(said) => bundle.lacks("logs/ternd.log", String::from_utf8_lossy(&said.stderr).trim()),
        Err(error) => bundle
            .lacks("logs/ternd.log", &format!("journalctl: {error}; ternd's log is where its standard error went")),
    }
}

/// The segments that are there, in order, with what their headers say.
fn listed(bundle: &mut Bundle, journal: &Path) -> Vec<Listed> {
    let mut found: Vec<Listed> = Vec::new();
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
    found
}

/// `seq` of the start record of the run that `at_ns` falls into, or of the first there is; 0 if no header says anything. Each run begins a
/// segment of its own.
fn start_before(journal: &Path, found: &[Listed], at_ns: u64) -> u64 {
    let facts: Vec<&SegmentFacts> = found.iter().filter_map(|(_, facts)| facts.as_ref()).collect();
    let first = facts.first().map_or(0, |facts| facts.first_seq);
    let begins_with_start = |facts: &&&SegmentFacts| {
        let opened = Reader::open_near(journal, facts.first_seq).ok();
        opened.is_some_and(|mut reader| {
            matches!(reader.next(), Ok(Some(record)) if record.kind() == Some(Kind::Start) && record.header.seq >= facts.first_seq)
        })
    };
    let before = facts.iter().rev().filter(|facts| facts.first_tai_ns <= at_ns);
    before.clone().find(begins_with_start).map_or(first, |facts| facts.first_seq)
}

/// Copies every segment that may have records of the time, whole and as it is, with the head and the seals: by those it can be
/// proven later that these are the bytes that were written.
fn slice(bundle: &mut Bundle, journal: &Path, found: &[Listed], (from_ns, until_ns): (u64, u64)) -> Vec<Value> {
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

/// What was found of the time.
#[derive(Clone, Debug, Default)]
struct Span {
    /// Records in it, of whatever kind.
    count: u64,
    /// Time of the first record that was read, and of the last.
    first_ns: Option<u64>,
    last_ns: u64,
    /// There were more than are written down.
    is_cut: bool,
    /// Where the journal could not be read on; behind each the next segment was read.
    damages: Vec<String>,
}

impl Span {
    /// Says what there is when nothing of the time is there.
    fn outside(&self, found: &[Listed]) -> String {
        let first = found.iter().find_map(|(_, facts)| facts.as_ref()).map(|facts| facts.first_tai_ns);
        match (first.or(self.first_ns), self.last_ns) {
            (None, _) => "the journal has no records".into(),
            (Some(first_ns), 0) => {
                format!("none is of the time that was asked for: the journal begins {}", tai_time(first_ns))
            }
            (Some(first_ns), last_ns) => format!(
                "none is of the time that was asked for: the journal begins {}; the last one before it, or of all, is of {}",
                tai_time(first_ns),
                tai_time(last_ns)
            ),
        }
    }
}

/// The records of the time as objects, a line each, but for market data, measurements and raw bytes. Behind damage it goes on with the
/// next segment.
fn lines(bundle: &mut Bundle, journal: &Path, found: &[Listed], (from_ns, until_ns): (u64, u64)) -> Span {
    let left_out =
        [Kind::Datagram, Kind::Stages, Kind::SessionBytes, Kind::Timer, Kind::Counters].map(|kind| kind as u16);
    let (mut names, mut text, mut count, mut span) = (Default::default(), String::new(), 0, Span::default());
    let mut begins = start_before(journal, found, from_ns);
    loop {
        let (mut reached, mut is_past) = (begins, false);
        let read = records::for_each(journal, begins, |header, body| {
            reached = reached.max(header.seq);
            names = names_of_start(header, body).unwrap_or_else(|| std::mem::take(&mut names));
            is_past = header.tai_ns > until_ns;
            if is_past {
                return false;
            }
            span.first_ns = span.first_ns.or(Some(header.tai_ns));
            span.last_ns = header.tai_ns;
            if header.tai_ns >= from_ns {
                span.count += 1;
                if !left_out.contains(&header.kind) {
                    text.push_str(&format!("{}\n", to_json(header, body, &names, 0)));
                    count += 1;
                }
            }
            count < RECORDS_MAX
        });
        span.is_cut = count >= RECORDS_MAX;
        match read {
            Ok(None) => break,
            Ok(Some(damage)) => span.damages.push(damage.to_string()),
            Err(failure) => span.damages.push(failure.message),
        }
        let behind = found.iter().filter_map(|(_, facts)| facts.as_ref().map(|facts| facts.first_seq));
        match behind.filter(|seq| *seq > reached).min() {
            Some(next) if !is_past => begins = next,
            _ => break,
        }
    }
    bundle.text("records.jsonl", &text);
    span
}
