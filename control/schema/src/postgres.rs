//! How a PostgreSQL database holds the columns.

use crate::{Column, Type};

/// The type of a column of this type. None can be too small for a value: money has 19 digits, as 64 bits have.
pub const fn postgres_type(ty: Type) -> &'static str {
    match ty {
        Type::U64 => "numeric(20,0)",
        Type::I64 | Type::U32 | Type::TaiNs => "bigint",
        Type::Money => "numeric(19,4)",
        Type::Text => "text",
        Type::Bytes => "bytea",
        Type::Bool => "boolean",
    }
}

/// Whether a column is a number of a record: those are `bigint`, so that tables are joined by them with an index.
pub fn is_sequence(column: &Column) -> bool {
    matches!(column.name, "seq" | "cause_seq")
}
