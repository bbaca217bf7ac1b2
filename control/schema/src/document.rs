//! `docs/SCHEMA.md`.

use crate::{HEAD, TABLES, Type};
use std::fmt::Write;

/// How databases and files hold a type: Parquet, PostgreSQL.
const fn held_as(ty: Type) -> (&'static str, &'static str) {
    match ty {
        Type::U64 => ("INT64 (UINT_64)", "numeric(20,0)"),
        Type::I64 => ("INT64", "bigint"),
        Type::U32 => ("INT32 (UINT_32)", "bigint"),
        Type::Money => ("INT64 (DECIMAL(18,4))", "numeric(18,4)"),
        Type::TaiNs => ("INT64 (TIMESTAMP(NANOS, local))", "bigint"),
        Type::Text => ("BYTE_ARRAY (STRING)", "text"),
        Type::Bytes => ("BYTE_ARRAY", "bytea"),
        Type::Bool => ("BOOLEAN", "boolean"),
    }
}

const ALL_TYPES: [Type; 8] =
    [Type::U64, Type::I64, Type::U32, Type::Money, Type::TaiNs, Type::Text, Type::Bytes, Type::Bool];

/// The document: types, then every table with its columns.
pub fn markdown() -> String {
    let mut out = String::from(
        "# The journal as tables\n\n\
         A table a kind of record, a row a record: what `tern-export` writes. This page is made by `tern-export --schema`, and a\n\
         test fails when it is not what that prints.\n\n\
         `seq` orders the rows of all tables together: it is the order in which the loop saw and did things. Times are TAI, which\n\
         is ahead of UTC by 37 s since 2017. Names of reasons and states are those of the build that wrote the records.\n\n\
         ## Types\n\n| type | Parquet | PostgreSQL |\n|---|---|---|\n",
    );
    for ty in ALL_TYPES {
        let (parquet, postgres) = held_as(ty);
        let _ = writeln!(out, "| {} | {parquet} | {postgres} |", ty.name());
    }
    for table in TABLES {
        let raw = if table.is_raw { " Raw input: left out unless `--raw` asks for it." } else { "" };
        let _ = write!(out, "\n## {}\n\n{}{raw}\n\n| column | type | |\n|---|---|---|\n", table.name, table.help);
        for column in HEAD.iter().chain(table.columns) {
            let null = if column.nullable { ", or null" } else { "" };
            let _ = writeln!(out, "| `{}` | {}{null} | {} |", column.name, column.ty.name(), column.help);
        }
    }
    out
}
