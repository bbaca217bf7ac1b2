//! A configuration out of a journal: what was in force then, whatever this build would say of it today.

use std::ops::Range;
use std::path::Path;

use crate::locate::Source;
use crate::problem::{Problem, Problems};
use crate::types::Config;
use crate::{Opening, Reference, validate};

/// What a message about the text of a start record names as its file.
const FILE: &str = "start record";
/// How a line is taken out without moving those behind it: places in messages stay those of the record.
const COMMENT: u8 = b'#';

impl Config {
    /// The configuration of a start record, and what is odd about it. The run was made under it: keys that this build does not
    /// know any more are left out, and what it would refuse in a file of today is taken as it stands. No file is read, whatever
    /// the text names; passwords are not there.
    ///
    /// # Errors
    /// What this build cannot make anything of: no TOML, values of a type or name that it lacks, sizes that it cannot hold.
    pub fn journaled(text: &str) -> Result<(Self, Vec<Problem>), Problems> {
        let (mut config, mut odd) = parse_known(text)?;
        config.source = Source::new(Path::new(FILE), text);
        config.paths.fill(&config.instance.name);
        for (field, is_named) in [
            ("reference.file", matches!(&config.reference, Some(Reference { file: Some(_), .. }))),
            ("opening.file", matches!(&config.opening, Some(Opening { file: Some(_), .. }))),
        ] {
            if is_named {
                odd.push(config.problem(field, "names a file, which says nothing of that day any more: not read"));
            }
        }
        let (cannot, strange): (Vec<_>, Vec<_>) = validate::problems(&config).into_iter().partition(is_about_memory);
        if !cannot.is_empty() {
            return Err(Problems(cannot));
        }
        odd.extend(strange);
        odd.sort_by_key(|problem| (problem.line, problem.column));
        config.resolve_opening();
        Ok((config, odd))
    }
}

/// Tables of these sizes are made before anything is replayed.
fn is_about_memory(problem: &Problem) -> bool {
    problem.field.starts_with("capacity.") || problem.field == "limits.open_orders_max"
}

/// As much of `text` as this build knows, and a problem for each key that it does not.
fn parse_known(text: &str) -> Result<(Config, Vec<Problem>), Problems> {
    let whole = Source::new(Path::new(FILE), text);
    let mut known = text.to_owned();
    let mut odd = Vec::new();
    loop {
        let error = match toml::from_str::<Config>(&known) {
            Ok(config) => return Ok((config, odd)),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let message = error.message().replace('\n', " ");
        let lines = lines_of(&known, &span);
        // A line that is a comment already would be taken out for ever.
        if !message.starts_with("unknown field") || known.as_bytes().get(lines.start) == Some(&COMMENT) {
            return Err(whole.problem_in(span, message).into());
        }
        odd.push(whole.problem_in(span, format!("{message}: this build knows no such key, it is left out")));
        known = comment_out(&known, lines);
    }
}

/// The line in which `span` begins; with a header, everything up to the next.
fn lines_of(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.get(..span.start).unwrap_or_default().rfind('\n').map_or(0, |end| end + 1);
    let rest = text.get(start..).unwrap_or_default();
    let end = if rest.starts_with('[') { rest.find("\n[") } else { rest.find('\n') };
    start..end.map_or(text.len(), |end| start + end)
}

/// The first byte of each of these lines becomes a comment's.
fn comment_out(text: &str, lines: Range<usize>) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at_start = true;
    for byte in bytes.get_mut(lines).unwrap_or_default() {
        let is_end = *byte == b'\n';
        if at_start && !is_end {
            *byte = COMMENT;
        }
        at_start = is_end;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n";

    fn fields(odd: &[Problem]) -> Vec<(&str, usize)> {
        odd.iter().map(|problem| (problem.field.as_str(), problem.line)).collect()
    }

    #[test]
    fn what_was_in_force_is_taken_though_it_would_be_refused_today() {
        let text = format!(
            "{BASE}[limits]\nprice_collar_percent = 400\n[[limits.symbol]]\nsymbol = \"bad\"\n[reference]\n\
             [reference.prior_close]\nGME = 231500\n[reference.price_bands]\nGME = [2000, 2600]\n"
        );
        let refused = Config::parse(Path::new("x"), &text).expect_err("a file of today").0.len();
        let (config, odd) = Config::journaled(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let reference = config.reference.expect("it is there");
        assert_eq!((config.limits.price_collar_percent, reference.price_bands["GME"]), (400, [2000, 2600]));
        assert_eq!(odd.len(), refused);
        assert_eq!(
            fields(&odd),
            [
                ("limits.price_collar_percent", 7),
                ("limits.symbol[0].symbol", 9),
                ("reference.date", 10),
                ("reference.price_bands.GME", 14)
            ]
        );
        assert!(odd[3].to_string().contains("exclude 231500, the prior_close of GME"), "{}", odd[3]);
    }

    #[test]
    fn keys_and_sections_that_are_no_more_are_left_out_and_named() {
        let text = format!(
            "{BASE}old = 7\n[bygone]\na = 1\n[bygone.deeper]\nb = \"x\"\n[limits]\nposition_max = 77\nwas_a_limit = 5\n\
             [[strategy]]\nname = \"maker\"\nid = 3\nforgotten = [1, 2]\n#run day=3\n"
        );
        let (config, mut odd) = Config::journaled(&text).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!((config.limits.position_max, config.strategy[0].id), (77, 3));
        odd.retain(|problem| problem.message.contains("it is left out"));
        assert_eq!(
            fields(&odd),
            [
                ("port.old", 6),
                ("bygone", 7),
                ("bygone.deeper", 9),
                ("limits.was_a_limit", 13),
                ("strategy[0].forgotten", 17)
            ]
        );
    }

    #[test]
    fn what_this_build_can_make_nothing_of_is_refused_and_named() {
        for (more, field) in [
            ("[limits]\nposition_max = \"many\"\n", "limits.position_max"),
            ("[limits]\nself_trade = \"marry\"\n", "limits.self_trade"),
            ("[capacity]\ninstruments = 2000000000\n", "capacity.instruments"),
            ("[limits]\nopen_orders_max = 4000000000\n", "limits.open_orders_max"),
        ] {
            let problems = Config::journaled(&format!("{BASE}{more}")).expect_err("refused");
            assert_eq!(problems.0[0].field, field, "{problems}");
        }
        assert!(Config::journaled("[[").is_err() && Config::journaled("").is_err());
    }

    /// A journal is moved to other hosts: what a record names there is another file, or none.
    #[test]
    fn no_file_is_read_that_the_record_names() {
        let folder = std::env::temp_dir().join(format!("tern-journaled-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let lists = folder.join("lists.toml");
        std::fs::write(&lists, "date = \"2026-11-22\"\nrestricted = [\"BAD\"]\n").expect("written");
        let text = format!("{BASE}[reference]\nfile = \"{}\"\n", lists.display());
        let (config, odd) = Config::journaled(&text).unwrap_or_else(|problems| panic!("{problems}"));
        std::fs::remove_dir_all(folder).expect("it was made");
        assert!(config.reference.expect("the section").restricted.is_empty());
        assert!(odd.iter().any(|problem| problem.field == "reference.file"), "{odd:?}");
    }

    #[test]
    fn an_effective_configuration_of_this_build_has_nothing_odd() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/example.toml")).expect("the example");
        let config: Config = toml::from_str(&text).expect("it is one");
        let (again, odd) = Config::journaled(&config.effective_toml()).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!((again.effective_toml(), fields(&odd)), (config.effective_toml(), Vec::new()));
    }
}
