//! `include`: a configuration in several files.
//!
//! The files are read as if they stood behind the main one, in the order of the list. A table belongs to one file: the
//! same one in two of them is the error that it would be in one. Entries of `[[...]]` may be in several.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use crate::locate::{Part, Source};
use crate::problem::Problem;

const FIELD: &str = "include";

/// What of a file is looked at before all of it.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    include: Vec<PathBuf>,
}

/// The text of the file at `path` with what it includes behind it.
///
/// # Errors
/// The first file that cannot be read, is no TOML by itself, includes others or has keys outside of tables.
pub(crate) fn read(path: &Path) -> Result<Source, Problem> {
    let text = Source::read(path, "a readable TOML file; control/config/example.toml shows every key")?;
    let mut source = Source::new(path, &text);
    // What is wrong with the main file is told when all of it is parsed.
    let Ok(Head { include }) = toml::from_str(&text) else { return Ok(source) };
    for (index, name) in include.iter().enumerate() {
        let file = path.parent().unwrap_or(Path::new("")).join(name);
        let text = std::fs::read_to_string(&file).map_err(|error| {
            let message = format!("`{}` cannot be read: {error}", file.display());
            source.problem_at(&format!("{FIELD}[{index}]"), message, None)
        })?;
        stands_alone(&Source::new(&file, &text))?;
        source.text.push('\n');
        source.parts.push(Part { from: source.text.len(), file });
        source.text.push_str(&text);
    }
    of_no_others_entry(&source)?;
    Ok(source)
}

/// `[strategy.params]` alone is a table; behind another file's `[[strategy]]` it would be of the last entry there.
fn of_no_others_entry(source: &Source) -> Result<(), Problem> {
    // What is wrong with the whole is told when it is parsed.
    let Ok(whole) = DeTable::parse(&source.text) else { return Ok(()) };
    for (index, part) in source.parts.iter().enumerate() {
        let end = source.parts.get(index + 1).map_or(source.text.len(), |next| next.from);
        let alone = Source::new(&part.file, source.text.get(part.from..end).unwrap_or_default());
        let Ok(root) = DeTable::parse(&alone.text) else { continue };
        for (key, value) in root.get_ref() {
            let is_array = |table: &DeTable<'_>| {
                matches!(table.get(key.get_ref().as_ref()).map(toml::Spanned::get_ref), Some(DeValue::Array(_)))
            };
            if matches!(value.get_ref(), DeValue::Table(_)) && is_array(whole.get_ref()) {
                let message = format!("it would belong to another file's last [[{}]]", key.get_ref());
                return Err(alone.problem_at(key.get_ref(), message, Some("the table in the file that has the entry")));
            }
        }
    }
    Ok(())
}

/// Behind another file, a key at the top would belong to that one's last table.
fn stands_alone(source: &Source) -> Result<(), Problem> {
    let root = DeTable::parse(&source.text).map_err(|error| {
        let message = error.message().replace('\n', " ");
        source.problem_in(error.span().unwrap_or(0..0), message)
    })?;
    let is_table = |value: &DeValue<'_>| match value {
        DeValue::Table(_) => true,
        DeValue::Array(entries) => entries.iter().all(|entry| matches!(entry.get_ref(), DeValue::Table(_))),
        _ => false,
    };
    // By a header of its own: behind another file `a.b = 1` would belong to that one's last table too.
    let has_header = |at: usize| source.text.get(..at).unwrap_or_default().trim_end_matches([' ', '\t']).ends_with('[');
    let mut keys = root.get_ref().iter();
    let wrong = keys.find(|(key, value)| !is_table(value.get_ref()) || !has_header(key.span().start));
    let Some((key, _)) = wrong else { return Ok(()) };
    let (message, expected) = match key.get_ref().as_ref() {
        FIELD => ("an included file includes no others", "all of them in the list of the main file"),
        _ => ("stands outside of a table", "only [tables] in an included file"),
    };
    Err(source.problem_at(key.get_ref(), message.into(), Some(expected)))
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use std::path::PathBuf;

    const MAIN: &str = "include = [\"a.toml\", \"b.toml\"]\n[instance]\nname = \"x\"\n";
    const PORT: &str = "[port]\nkind = \"socket\"\ninterface = \"lo\"\n";

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("tern-include-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }
        fn load(&self, a: &str, b: &str) -> Result<Config, String> {
            for (name, text) in [("main.toml", MAIN), ("a.toml", a), ("b.toml", b)] {
                std::fs::write(self.0.join(name), text).expect("written");
            }
            let shown = format!("{}/", self.0.display());
            Config::load(self.0.join("main.toml")).map_err(|problems| problems.to_string().replace(&shown, ""))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn tables_and_entries_come_from_several_files() {
        let folder = Folder::new("right");
        let feed = |stream, line| {
            format!(
                "[[feed]]\nvenue = \"itch_ouch\"\nstream = {stream}\nline = \"{line}\"\ngroup = \"239.1.1.{stream}\"\nport = 5\n"
            )
        };
        let config =
            folder.load(&format!("{PORT}{}", feed(1, "A")), &feed(2, "A")).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((config.port.interface.as_str(), config.feed.len()), ("lo", 2));
        assert!(!config.effective_toml().contains("include"), "the effective configuration is one text");
    }

    #[test]
    fn what_is_wrong_is_told_with_the_file_that_has_it() {
        let folder = Folder::new("wrong");
        for (a, b, message) in [
            (PORT, "[limits]\nposition_max = 0\n", "b.toml:2:16: limits.position_max: 0 is out of range"),
            (PORT, "[limits]\n\npositoin_max = 1\n", "b.toml:3:1: limits.positoin_max: unknown field"),
            (PORT, "[limits\n", "b.toml:1:8: "),
            (PORT, PORT, "b.toml:1:2: port: duplicate key"),
            (PORT, "name = \"y\"\n", "b.toml:1:8: name: stands outside of a table"),
            (PORT, "limits.position_max = 5\n", "b.toml:1:1: limits: stands outside of a table"),
            (PORT, "# [\nlimits = { position_max = 5 }\n", "b.toml:2:1: limits: stands outside of a table"),
            (
                "[port]\nkind = \"socket\"\ninterface = \"lo\"\n[[strategy]]\nname = \"maker\"\nid = 1\n",
                "[strategy.params]\nquantity = 5\n",
                "b.toml:1:2: strategy: it would belong to another file's last [[strategy]]",
            ),
            (PORT, "include = [\"a.toml\"]\n", "b.toml:1:11: include: an included file includes no others"),
            ("[limits]\nposition_max = 1\n", "", "main.toml:1:1: missing field `port`"),
        ] {
            let said = folder.load(a, b).err().unwrap_or_else(|| panic!("taken: {b}"));
            assert!(said.starts_with(message), "{said}\nnot {message}");
        }
        std::fs::remove_file(folder.0.join("b.toml")).expect("it was made");
        let said = Config::load(folder.0.join("main.toml")).expect_err("a file is missing").to_string();
        assert!(said.contains("main.toml:1:22: include[1]: ") && said.contains("b.toml` cannot be read"), "{said}");
    }
}
