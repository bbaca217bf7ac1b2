//! What is made out of the grammar itself: completions, man pages, and the reference in docs/CLI.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use crate::args::{Arguments, exit_codes};
use crate::outcome::{Failure, Outcome};

/// What a shell completes by.
///
/// # Errors
/// None.
pub(crate) fn completions(shell: Shell) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tern", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    let json = json!({ "shell": shell.to_string(), "script": text });
    Ok(Outcome::ok(text, json))
}

/// A page for each verb.
///
/// # Errors
/// Exit code 1: the folder cannot be written.
pub(crate) fn man(folder: &Path) -> Result<Outcome, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut tree = Arguments::command();
    tree.build();
    let mut pages = Vec::new();
    for (name, verb) in verbs(&tree) {
        let file = folder.join(format!("{}.1", name.replace(' ', "-")));
        let title = name.replace(' ', "-").to_uppercase();
        let mut page = Vec::new();
        let source = format!("tern {}", env!("CARGO_PKG_VERSION"));
        clap_mangen::Man::new(verb.clone()).title(title).source(source).render(&mut page).map_err(failed)?;
        fs::write(&file, page).map_err(failed)?;
        pages.push(file);
    }
    let text = format!("{} pages: {}\n", pages.len(), folder.display());
    Ok(Outcome::ok(text, json!({ "folder": folder, "pages": pages })))
}

/// Every command of the tree with its whole name, the tree itself first; not those that clap adds.
fn verbs(tree: &Command) -> Vec<(String, &Command)> {
    let mut found = vec![("tern".to_owned(), tree)];
    let mut next = 0;
    while let Some((name, command)) = found.get(next).cloned() {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        found.extend(below.map(|below| (format!("{name} {}", below.get_name()), below)));
        next += 1;
    }
    found
}

/// docs/CLI.md.
pub(crate) fn markdown() -> Outcome {
    let mut tree = Arguments::command();
    tree.build();
    let mut all: Vec<(String, String)> = (verbs(&tree).into_iter().skip(1))
        .map(|(name, verb)| (name, verb.get_about().map(ToString::to_string).unwrap_or_default()))
        .collect();
    all.sort();
    let mut text = String::from(
        "# Commands\n\nMade by `tern man --markdown` out of the program; a test holds it to be so. `tern VERB --help` has the options, \
         `tern man --out FOLDER` writes man pages, `tern completions bash` (`zsh`, `fish`) what a shell completes by.\n\n\
         Every verb takes `--config FILE` or `--instance NAME`, and `--json`: one object with a `version` on stdout. Tables are cut at the \
         terminal's width, and nowhere else; colours are on terminals alone, and not with `NO_COLOR`.\n\n\
         | verb | does |\n|---|---|\n",
    );
    for (name, about) in &all {
        let about = about.split('\n').next().unwrap_or_default().trim_end_matches('.').replace('|', "\\|");
        let _ = writeln!(text, "| `{name}` | {about} |");
    }
    text.push_str("\n## Exit codes\n\n| code | means |\n|---|---|\n");
    for (code, meaning) in exit_codes() {
        let _ = writeln!(text, "| {code} | {meaning} |");
    }
    let codes: serde_json::Map<_, _> = exit_codes().map(|(code, meaning)| (code.to_string(), json!(meaning))).collect();
    let verbs: serde_json::Map<_, _> = all.into_iter().map(|(name, about)| (name, json!(about))).collect();
    Outcome::ok(text, json!({ "verbs": verbs, "exit_codes": codes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_the_programs_and_every_exit_code_has_a_meaning() {
        let made = markdown();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CLI.md");
        let kept = fs::read_to_string(path).unwrap_or_default();
        assert!(kept == made.text, "make it anew: `cargo run -p tern --bin tern -- man --markdown > docs/CLI.md`");
        let code = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/outcome.rs")).expect("the source");
        let used: Vec<u8> = (code.lines())
            .filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once(": u8 = "))
            .filter_map(|(_, value)| value.trim_end_matches(';').parse().ok())
            .collect();
        assert!(used.len() >= 10, "{used:?}");
        assert_eq!(used, exit_codes().map(|(code, _)| code).collect::<Vec<_>>());
        assert!(
            made.json["verbs"].as_object().is_some_and(|verbs| verbs.values().all(|about| about != "")),
            "{made:?}"
        );
    }

    #[test]
    fn every_verb_has_a_page_and_every_shell_its_script() {
        let folder = std::env::temp_dir().join(format!("tern-man-{}", std::process::id()));
        man(&folder).expect("it is written");
        let page = fs::read_to_string(folder.join("tern-xdp-why.1")).expect("a verb below a verb");
        assert!(page.contains("GROUP:PORT") && page.contains("TERN-XDP-WHY"), "{page}");
        let main = fs::read_to_string(folder.join("tern.1")).expect("the page of all");
        assert!(main.contains("a second person"), "exit codes: {main}");
        let pages = fs::read_dir(&folder).expect("it is there").count();
        assert!(pages > 40, "{pages}");
        fs::remove_dir_all(&folder).expect("ours");
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completions(shell).expect("printed").text;
            assert!(script.contains("xdp") && script.contains("cancel-all"), "{shell}: {script}");
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }
}
