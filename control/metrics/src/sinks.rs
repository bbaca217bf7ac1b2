//! What the sinks of an instance say of themselves: files `sink-NAME.json` in its run folder (`tern-sink --status`).

use std::fs;
use std::path::Path;

use serde_json::Value;

/// A sink writes its file each second: one that is older is of a sink that is dead or stuck.
const QUIET_NS: u64 = 5_000_000_000;

/// A sink.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// NAME of its file.
    pub name: String,
    /// Since when its store has not had all, s; of a sink that is dead, since it said so last, and before.
    pub behind_s: f64,
    /// Records that its store had not, when it said so last.
    pub behind_records: f64,
}

/// Those that have a file in `run`, by name.
pub(crate) fn look(run: &Path, now_ns: u64) -> Vec<Sink> {
    let files = fs::read_dir(run).into_iter().flatten().flatten();
    let mut sinks: Vec<Sink> = files
        .filter_map(|file| {
            let name = file.file_name().to_str()?.strip_prefix("sink-")?.strip_suffix(".json")?.to_owned();
            let said: Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
            let number = |key: &str| said[key].as_u64();
            let quiet_ns = Some(now_ns.saturating_sub(number("at_ns")?)).filter(|age| *age > QUIET_NS).unwrap_or(0);
            let behind_s = number("behind_ms")? as f64 / 1e3 + quiet_ns as f64 / 1e9;
            Some(Sink { name, behind_s, behind_records: number("behind_records")? as f64 })
        })
        .collect();
    sinks.sort_by(|a, b| a.name.cmp(&b.name));
    sinks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_says_nothing_any_more_falls_behind() {
        let run = std::env::temp_dir().join(format!("tern-metrics-sinks-{}", std::process::id()));
        fs::create_dir_all(&run).expect("a folder");
        let text = r#"{"at_ns": 1000000000, "behind_ms": 500, "behind_records": 7, "state": "following"}"#;
        for (name, text) in [("sink-b.json", text), ("sink-a.json", "half"), ("sink-a.new", text), ("other.json", text)]
        {
            fs::write(run.join(name), text).expect("written");
        }
        let (fresh, later) = (look(&run, 2_000_000_000), look(&run, 31_000_000_000));
        fs::remove_dir_all(&run).expect("removed");
        assert_eq!(fresh, [Sink { name: "b".into(), behind_s: 0.5, behind_records: 7.0 }]);
        assert_eq!(later, [Sink { name: "b".into(), behind_s: 30.5, behind_records: 7.0 }]);
        assert!(look(&run, 0).is_empty());
    }
}
