//! Which tables somebody wants, and what their columns are in words.

use crate::{Column, TABLES, Table};
use std::fmt;

/// Which tables.
#[derive(Clone, Debug)]
pub enum Selection {
    /// All but raw input.
    Decisions,
    /// All.
    All,
    /// Those of these names.
    Named(Vec<String>),
}

/// There is no table of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTable(pub String);

impl fmt::Display for UnknownTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        write!(f, "there is no table `{}`; there are {}", self.0, all.join(", "))
    }
}

impl std::error::Error for UnknownTable {}

impl Selection {
    /// What a command line asks for: `raw` or these names, by default the decisions.
    pub fn asked(raw: bool, names: &[String]) -> Self {
        match (raw, names.is_empty()) {
            (true, _) => Self::All,
            (false, true) => Self::Decisions,
            (false, false) => Self::Named(names.to_vec()),
        }
    }

    /// The tables, in the order of [`TABLES`].
    ///
    /// # Errors
    /// One is named that is not there.
    pub fn tables(&self) -> Result<Vec<&'static Table>, UnknownTable> {
        Ok(match self {
            Selection::Decisions => TABLES.iter().filter(|table| !table.is_raw).collect(),
            Selection::All => TABLES.iter().collect(),
            Selection::Named(names) => {
                if let Some(unknown) = names.iter().find(|name| Table::named(name).is_none()) {
                    return Err(UnknownTable(unknown.clone()));
                }
                TABLES.iter().filter(|table| names.iter().any(|name| name == table.name)).collect()
            }
        })
    }
}

/// Columns of a table as `name: type`, in order: two builds write the same table when this is the same.
pub fn layout(table: &Table) -> Vec<String> {
    let column = |column: &Column| {
        let or_nothing = if column.nullable { " or nothing" } else { "" };
        format!("{}: {}{or_nothing}", column.name, column.ty.name())
    };
    table.all_columns().map(column).collect()
}
