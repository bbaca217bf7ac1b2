//! Rules of the house that a machine can hold: who may depend on whom, how long a file may grow, what core must not
//! call, and that the documents name commands that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES_MAX: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("benches lies in the workspace").to_path_buf()
}

/// Files that git tracks or would track, below the workspace, by ending.
fn tracked(endings: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    let files: Vec<PathBuf> = String::from_utf8(output.stdout)
        .expect("file names are UTF-8")
        .lines()
        .filter(|line| endings.iter().any(|ending| line.ends_with(ending)))
        .map(|line| root().join(line))
        .filter(|path| path.is_file())
        .collect();
    assert!(!files.is_empty(), "no tracked file ends with any of {endings:?}");
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Whether a Rust file is a test module of its own (`tests.rs`, `x_tests.rs`, `tests/`), declared under `#[cfg(test)]`.
fn is_test_file(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/")
}

/// The lines of a Rust file that are not part of its `#[cfg(test)]` module (by convention the last item) or a comment.
fn shipped_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.trim_start().starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

#[test]
fn crate_graph_is_the_designed_one() {
    // crate -> crates of ours that it may name as ordinary or build dependencies
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("tern-abi", &[][..]),
        ("tern-core", &["tern-abi"]),
        ("tern-ebpf", &["tern-abi"]),
        ("tern-hw", &["tern-abi"]),
        ("tern-journal", &["tern-abi"]),
        ("tern-config", &["tern-abi"]),
        ("tern-venues", &["tern-core", "tern-abi"]),
        ("tern-strategies", &["tern-core"]),
        ("tern-sim", &["tern-core", "tern-venues", "tern-strategies", "tern-journal"]),
        (
            "tern-dataplane",
            &["tern-abi", "tern-core", "tern-venues", "tern-strategies", "tern-hw", "tern-journal", "tern-config"],
        ),
        ("tern-soup", &[]),
        ("ternd", &["tern-abi", "tern-config", "tern-journal", "tern-ebpf", "tern-hw", "tern-soup"]),
        ("tern", &["tern-abi", "tern-config", "tern-journal", "tern-hw"]),
        ("tern-schema", &["tern-abi", "tern-config"]),
        ("tern-export", &["tern-abi", "tern-journal", "tern-schema"]),
        ("tern-sink", &["tern-abi", "tern-journal", "tern-schema"]),
        ("tern-metrics", &["tern-abi", "tern-config", "tern-hw"]),
        // the second opinion: nothing that the gate's own mistakes could come with (ADR 0009)
        ("tern-audit", &["tern-abi", "tern-config", "tern-journal", "tern-hw", "tern-soup"]),
    ]);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut seen = 0;
    for package in packages {
        let name = package["name"].as_str().expect("name");
        let Some(may) = allowed.get(name) else {
            assert_eq!(name, "tern-benches", "crate {name} has no line in the crate graph: add it, with a reason");
            continue;
        };
        seen += 1;
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = dependency["name"].as_str().expect("name");
            let shipped = dependency["kind"].as_str() != Some("dev");
            assert!(
                !shipped || !ours.contains(to) || may.contains(&to),
                "{name} must not depend on {to}: the crate graph allows {may:?}"
            );
        }
    }
    assert_eq!(seen, allowed.len(), "a crate of the graph is gone from the workspace");
}

/// Looking for examples that are not there took a minute of each run.
#[test]
fn examples_of_the_documentation_run() {
    let mut crates = 0;
    for manifest in tracked(&["Cargo.toml"]) {
        if !read(&manifest).contains("doctest = false") {
            continue;
        }
        crates += 1;
        let folder = format!("{}/src/", manifest.parent().expect("a file is in a folder").display());
        for path in tracked(&[".rs"]).iter().filter(|path| path.to_string_lossy().starts_with(&folder)) {
            let text = read(path);
            let fences = text.lines().filter_map(|line| {
                let doc = line.trim_start();
                doc.strip_prefix("//!").or(doc.strip_prefix("///"))?.trim_start().strip_prefix("```")
            });
            // Every other one ends what the one before began.
            let code: Vec<&str> = fences.step_by(2).filter(|language| *language != "text").collect();
            assert!(
                code.is_empty(),
                "{}: no one runs {code:?}: take `doctest = false` out of its manifest",
                shown(path)
            );
        }
    }
    assert!(crates > 10, "only {crates} crates without examples");
}

#[test]
fn files_stay_readable() {
    let long: Vec<String> = tracked(&[".rs", ".c", ".h", ".sh", ".py"])
        .iter()
        .filter_map(|path| {
            let lines = read(path).lines().count();
            (lines > FILE_LINES_MAX).then(|| format!("{} has {lines} lines", shown(path)))
        })
        .collect();
    assert!(long.is_empty(), "split by meaning (at most {FILE_LINES_MAX} lines): {long:?}");
}

#[test]
fn unsafe_lives_in_three_places() {
    let may = ["dataplane/abi/", "hw/", "ebpf/", "benches/"];
    let mut bad = Vec::new();
    for path in tracked(&[".rs"]) {
        let name = shown(&path);
        // a counting allocator is a test's tool, not the product's
        if may.iter().any(|prefix| name.starts_with(prefix)) || is_test_file(&name) {
            continue;
        }
        for (line, text) in shipped_lines(&read(&path)) {
            if text.contains("unsafe {") || text.contains("unsafe fn") || text.contains("unsafe impl") {
                bad.push(format!("{name}:{line}"));
            }
        }
    }
    assert!(bad.is_empty(), "unsafe outside hw, ebpf and abi: {bad:?}");
}

#[test]
fn core_stays_pure() {
    let banned = [
        ("std::", "core is no_std"),
        ("HashMap", "iteration order is not deterministic"),
        ("HashSet", "iteration order is not deterministic"),
        ("f64", "no floats"),
        ("f32", "no floats"),
        (".unwrap()", "no panic path left to chance"),
        (".expect(", "no panic path left to chance"),
        ("panic!(", "no panic path left to chance"),
        ("unreachable!(", "no panic path left to chance"),
        ("todo!(", "unfinished"),
        ("Instant::now", "time is an argument"),
        ("SystemTime", "time is an argument"),
    ];
    let mut bad = Vec::new();
    for path in tracked(&[".rs"]) {
        let name = shown(&path);
        if !name.starts_with("dataplane/core/src/") || is_test_file(&name) {
            continue;
        }
        for (line, text) in shipped_lines(&read(&path)) {
            for (word, why) in banned {
                if text.contains(word) {
                    bad.push(format!("{name}:{line}: `{word}`: {why}"));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn no_panic_on_input_in_shipped_code() {
    let places = ["dataplane/venues/src/", "dataplane/abi/src/", "control/journal/src/", "hw/src/", "dataplane/src/"];
    let mut bad = Vec::new();
    for path in tracked(&[".rs"]) {
        let name = shown(&path);
        if !places.iter().any(|place| name.starts_with(place)) || name.contains("testnet") || is_test_file(&name) {
            continue;
        }
        for (line, text) in shipped_lines(&read(&path)) {
            for word in [".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!("] {
                if text.contains(word) {
                    bad.push(format!("{name}:{line}: `{word}`"));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn documents_name_scripts_and_pages_that_exist() {
    let mut checked = 0;
    let mut bad = Vec::new();
    for path in tracked(&[".md"]) {
        let text = read(&path);
        for word in text.split(|c: char| c.is_whitespace() || "`()[]<>,;:\"'|".contains(c)) {
            let word = word.trim_end_matches('.');
            let names_file = word.starts_with("scripts/") || (word.starts_with("docs/") && word.ends_with(".md"));
            if !names_file || word.contains('*') || word.ends_with('/') {
                continue;
            }
            checked += 1;
            if !root().join(word).exists() {
                bad.push(format!("{} names {word}, which does not exist", shown(&path)));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(checked > 5, "only {checked} names were checked: is the check still looking at the documents?");
}

/// A clause that is answered by a test that is gone, or a limit that is called something else, is answered by nothing.
#[test]
fn the_compliance_page_names_tests_and_limits_that_exist() {
    let tests: BTreeSet<String> = tracked(&[".rs"])
        .iter()
        .flat_map(|path| read(path).lines().filter_map(test_name).collect::<Vec<String>>())
        .collect();
    let example = read(&root().join("control/config/example.toml"));
    let keys: BTreeSet<&str> = example.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key).collect();
    let (mut checked, mut bad) = (0, Vec::new());
    for row in read(&root().join("docs/COMPLIANCE.md")).lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [.., limits, names] = cells[..] else { continue };
        let quoted = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        bad.extend(quoted(limits).into_iter().filter(|limit| !keys.contains(limit.as_str())));
        bad.extend(quoted(names).into_iter().filter(|name| !tests.contains(name)));
        checked += quoted(names).len();
    }
    assert!(bad.is_empty(), "docs/COMPLIANCE.md names what there is not: {bad:?}");
    assert!(checked > 30, "only {checked} names were checked: is the check still looking at the page?");
}

/// The name of the function that a line of a test file begins.
fn test_name(line: &str) -> Option<String> {
    let name = line.trim_start().strip_prefix("fn ")?;
    name.split_once('(').map(|(name, _)| name.to_owned())
}

#[test]
fn nothing_names_this_machine() {
    let home = ["/wo", "rk/"].concat();
    let root_home = ["/ro", "ot/"].concat();
    let mut bad = Vec::new();
    for path in tracked(&[".rs", ".md", ".toml", ".py", ".c", ".sh", "scripts/demo", "scripts/test", "scripts/setup"]) {
        for (index, line) in read(&path).lines().enumerate() {
            if line.contains(&home) || line.contains(&root_home) {
                bad.push(format!("{}:{}", shown(&path), index + 1));
            }
        }
    }
    assert!(bad.is_empty(), "absolute paths of one machine: {bad:?}");
}
