//! The journal as tables: a table a kind of record, a row a record.
//!
//! This is the one description of them: exported files, tables of a database and `docs/SCHEMA.md` are made of it. Numbers
//! that stand for names come as names, as the build that wrote the records called them; prices and money are decimals with
//! four digits, exact; all else is as the records have it.
#![forbid(unsafe_code)]

mod context;
mod document;
mod postgres;
mod selection;
mod tables;

pub use context::Context;
pub use document::markdown;
pub use postgres::{is_sequence, postgres_type};
pub use selection::{Selection, UnknownTable, layout};
pub use tables::TABLES;

use std::borrow::Cow;
use tern_abi::record::{Kind, RecordHeader};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A whole number from 0 to 2^64 - 1.
    U64,
    /// A whole number of 64 bits with a sign.
    I64,
    /// A whole number from 0 to 2^32 - 1.
    U32,
    /// Money or a price: a decimal with four digits after the point, of at most 18 in all; the number is in 1/10000.
    Money,
    /// ns since 1970 on the TAI clock, which is ahead of UTC by 37 s since 2017.
    TaiNs,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// True or false.
    Bool,
}

impl Type {
    /// As documents call it.
    pub const fn name(self) -> &'static str {
        match self {
            Type::U64 => "unsigned 64",
            Type::I64 => "integer 64",
            Type::U32 => "unsigned 32",
            Type::Money => "decimal(18,4)",
            Type::TaiNs => "time (TAI, ns)",
            Type::Text => "text",
            Type::Bytes => "bytes",
            Type::Bool => "boolean",
        }
    }
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing is said.
    Null,
    /// Of [`Type::U64`], [`Type::U32`] and [`Type::TaiNs`].
    Unsigned(u64),
    /// Of [`Type::I64`], and 1/10000 of [`Type::Money`].
    Signed(i64),
    /// Of [`Type::Text`].
    Text(Cow<'a, str>),
    /// Of [`Type::Bytes`].
    Bytes(&'a [u8]),
    /// Of [`Type::Bool`].
    Bool(bool),
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, the same everywhere.
    pub name: &'static str,
    /// What it holds.
    pub ty: Type,
    /// Whether a row may have nothing in it.
    pub nullable: bool,
    /// What it means.
    pub help: &'static str,
}

/// The columns that every table begins with.
pub const HEAD: [Column; 2] = [
    Column {
        name: "seq",
        ty: Type::U64,
        nullable: false,
        help: "Number of the record: one order over all tables, unique.",
    },
    Column { name: "time", ty: Type::TaiNs, nullable: false, help: "When the loop saw or did it." },
];

/// Fills a row from a record's body: the columns behind the [`HEAD`]. `None` when the body is too short for its kind.
pub type Fill = for<'a> fn(&'a [u8], &Context, &mut Vec<Value<'a>>) -> Option<()>;

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name, the same everywhere.
    pub name: &'static str,
    /// The kind of record of which it has a row each.
    pub kind: Kind,
    /// What a row is.
    pub help: &'static str,
    /// Raw input, large and of use to few: left out unless asked for.
    pub is_raw: bool,
    /// The columns behind the [`HEAD`].
    pub columns: &'static [Column],
    pub(crate) fill: Fill,
}

impl Table {
    /// The table of a kind of record.
    pub fn of(kind: Kind) -> Option<&'static Table> {
        TABLES.iter().find(|table| table.kind == kind)
    }

    /// The table of this name.
    pub fn named(name: &str) -> Option<&'static Table> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// All columns, in order.
    pub fn all_columns(&self) -> impl Iterator<Item = &'static Column> {
        HEAD.iter().chain(self.columns)
    }

    /// The row of a record of this table's kind: a value for each of [`all_columns`](Self::all_columns). `None`, with nothing
    /// in `row`, when the body is too short.
    pub fn row<'a>(
        &self,
        header: &RecordHeader,
        body: &'a [u8],
        context: &Context,
        row: &mut Vec<Value<'a>>,
    ) -> Option<()> {
        row.clear();
        row.extend([Value::Unsigned(header.seq), Value::Unsigned(header.tai_ns)]);
        let filled = (self.fill)(body, context, row);
        if filled.is_none() {
            row.clear();
        }
        filled
    }
}
