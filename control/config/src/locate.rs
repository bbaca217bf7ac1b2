//! Where in the text a field stands, and which field stands at a place.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::Problem;

/// The text of a configuration and where it came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    /// Files that stand behind the first one in the text.
    pub(crate) parts: Vec<Part>,
}

/// Where in the text an included file begins; it ends where the next one does.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) from: usize,
    pub(crate) file: PathBuf,
}

impl Source {
    pub(crate) fn new(file: &Path, text: &str) -> Self {
        Self { file: file.to_path_buf(), text: text.to_owned(), parts: Vec::new() }
    }

    /// The text of the file at `path`, which ought to be `expected`.
    pub(crate) fn read(path: &Path, expected: &str) -> Result<String, Problem> {
        std::fs::read_to_string(path).map_err(|error| Problem {
            file: path.to_path_buf(),
            line: 1,
            column: 1,
            field: String::new(),
            message: format!("cannot be read: {error}"),
            expected: Some(expected.to_owned()),
        })
    }

    /// What the text says; a key that is unknown or of the wrong type ends the search at once.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        toml::from_str(&self.text).map_err(|error| {
            let message = error.message().replace('\n', " ");
            self.problem_in(error.span().unwrap_or(0..0), message)
        })
    }

    /// A problem with the field at `path`; points at the nearest enclosing table where the field is absent.
    pub(crate) fn problem_at(&self, path: &str, message: String, expected: Option<&str>) -> Problem {
        let offset = DeTable::parse(&self.text).ok().map_or(0, |root| span_of(root.get_ref(), path).start);
        self.problem(offset, path.to_owned(), message, expected)
    }

    /// A problem at a byte offset; names the field that stands there.
    pub(crate) fn problem_in(&self, span: Range<usize>, message: String) -> Problem {
        let (root, _) = DeTable::parse_recoverable(&self.text);
        // What is said of all of it is said of no key.
        let is_all = span.start == 0 && (span.is_empty() || span.end >= self.text.trim_end().len());
        let field = if is_all { String::new() } else { path_at(root.get_ref(), span.start) };
        self.problem(span.start, field, message, None)
    }

    fn problem(&self, offset: usize, field: String, message: String, expected: Option<&str>) -> Problem {
        let part = self.parts.iter().rfind(|part| part.from <= offset);
        let (from, file) = part.map_or((0, &self.file), |part| (part.from, &part.file));
        let before = self.text.get(from..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let expected = expected.map(str::to_owned);
        Problem {
            file: file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            expected: expected.or_else(|| crate::fields::find(&field).map(|known| known.expected.to_owned())),
            field,
            message,
        }
    }
}

/// The place of the field at `path`, or of the innermost table on the way that exists.
fn span_of(root: &DeTable<'_>, path: &str) -> Range<usize> {
    let mut span = 0..0;
    let mut table = root;
    for part in path.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((key, mut value)) = table.get_key_value(name) else { break };
        span = key.span();
        if let (Some(index), DeValue::Array(entries)) = (index, value.get_ref()) {
            let Some(entry) = entries.get(index) else { break };
            (value, span) = (entry, entry.span());
        }
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            // A plain value: its own place says more than its key's.
            _ => return value.span(),
        }
    }
    span
}

/// The path of the innermost key whose key or value covers `offset`; empty at the top.
fn path_at(root: &DeTable<'_>, offset: usize) -> String {
    let mut path = String::new();
    // Headers such as [port] do not cover their keys, so every key is asked.
    visit(root, "", &mut |at, span| {
        if span.contains(&offset) && at.len() > path.len() {
            path = at.to_owned();
        }
    });
    path
}

fn visit(table: &DeTable<'_>, prefix: &str, see: &mut impl FnMut(&str, Range<usize>)) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        see(&path, key.span());
        visit_value(value, &path, see);
    }
}

fn visit_value(value: &Spanned<DeValue<'_>>, path: &str, see: &mut impl FnMut(&str, Range<usize>)) {
    see(path, value.span());
    match value.get_ref() {
        DeValue::Table(inner) => visit(inner, path, see),
        DeValue::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                visit_value(entry, &format!("{path}[{index}]"), see);
            }
        }
        _ => {}
    }
}
