//! What is wrong with a configuration, where, and what would be right.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path of the field, for example `port.queues` or `feed[1].group`; empty where no field is concerned.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What would be right, where that can be said.
    pub expected: Option<String>,
}

impl Problem {
    /// With its line, as the file has it now, and a mark below the place, for people.
    pub fn pictured(&self) -> String {
        let Self { file, line, column, field, message, expected } = self;
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line_text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        // A key that is nearly that of a password has its value all the same.
        let is_secret = line_text.to_ascii_lowercase().contains("pas") || field.to_ascii_lowercase().contains("pas");
        let line_text = if is_secret { "" } else { line_text };
        let of = if field.is_empty() { String::new() } else { format!("{field}: ") };
        let margin = " ".repeat(line.to_string().len());
        let mut text = format!("error: {of}{message}\n{margin}--> {}:{line}:{column}\n", file.display());
        if !line_text.is_empty() {
            let before: String =
                line_text.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { c } else { ' ' }).collect();
            text.push_str(&format!("{margin} |\n{line} | {line_text}\n{margin} | {before}^\n"));
        }
        if let Some(expected) = expected {
            text.push_str(&format!("{margin} = right would be: {expected}\n"));
        }
        text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.expected {
            Some(expected) => write!(f, "; right would be: {expected}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Problems {
    /// Each with its line and a mark below the place, for people.
    pub fn pictured(&self) -> String {
        self.0.iter().map(Problem::pictured).collect::<Vec<_>>().join("\n")
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
