//! `docs/SCHEMA.md`.

use crate::{HEAD, TABLES, Type, postgres_type};
use std::fmt::Write;

/// How Parquet files hold a type.
const fn parquet_type(ty: Type) -> &'static str {
    match ty {
        Type::U64 => "INT64 (UINT_64)",
        Type::I64 => "INT64",
        Type::U32 => "INT32 (UINT_32)",
        Type::Money => "INT64 (DECIMAL(18,4))",
        Type::TaiNs => "INT64 (TIMESTAMP(NANOS, local))",
        Type::Text => "BYTE_ARRAY (STRING)",
        Type::Bytes => "BYTE_ARRAY",
        Type::Bool => "BOOLEAN",
    }
}

const ALL_TYPES: [Type; 8] =
    [Type::U64, Type::I64, Type::U32, Type::Money, Type::TaiNs, Type::Text, Type::Bytes, Type::Bool];

const POSTGRES: &str = "
## In PostgreSQL

`tern-sink postgres JOURNAL --url URL` makes the schema `tern` (`--schema`) with these tables, and follows the journal. What differs:

- `seq` and `cause_seq` are `bigint`; `seq` is the primary key of each table, so that no record can be there twice.
- Each table has two more columns behind `time`: `utc` (`timestamptz`), which is `time` less 37 s, cut to microseconds, and `day` (`date`),
  the venue's trading day of the run, by which files are partitioned. Where the kernel's TAI offset was never set, `utc` is 37 s early. A
  BRIN index is on `day, time`.
- Texts have U+FFFD in the place of NUL, which the server does not take.
- `sink_position` is how far the journal is stored (`seq`, `segment`, `chain`, `records`, `row_count`, `unreadable`, `stored`), changed in the
  transaction of the rows it speaks of. `sink_layout` is what the tables are, by which another build's are refused.
- The role `tern_reader` (`--reader`) may read: `GRANT tern_reader TO somebody`.

## In NATS JetStream

`tern-sink nats JOURNAL --server HOST:PORT --monitor HOST:PORT` makes the stream `tern-HOST` (`--stream`) with the subjects `tern.HOST.TABLE`, a subject a
table, and follows the journal. HOST is `--host`, by default the host's name; give each instance of a host one of its own.

- A message has rows of one table, a row a line: an object of JSON with the columns by name. Money is a decimal in a string, bytes are hexadecimal, all
  else are numbers, texts and booleans; numbers need a reader with 64 bits, not one that makes them floats.
- The records between two positions are a batch: its messages follow each other, table by table, at most 256 KiB each where rows are shorter. Rows of a
  table come in order; over tables `seq` orders them.
- Header `Tern-Batch`: JSON with `from` and `to` (positions: behind which record the batch begins, with which it ends), `index` and `count` (place in the
  batch, and its messages), `table`, `layout` (checksum of all columns). A reader that wants whole batches waits for `index` = `count` - 1.
- Header `Nats-Msg-Id`: `INSTANCE:FROM-TO:INDEX`.
";

/// The document: types, then every table with its columns.
pub fn markdown() -> String {
    let mut out = String::from(
        "# The journal as tables\n\n\
         A table a kind of record, a row a record: what `tern-export` and `tern-sink` write. This page is made by `tern-export --schema`, and a\n\
         test fails when it is not what that prints.\n\n\
         `seq` orders the rows of all tables together: it is the order in which the loop saw and did things. Times are TAI, which\n\
         is ahead of UTC by 37 s since 2017. Names of reasons and states are those of the build that wrote the records.\n\n\
         ## Types\n\n| type | Parquet | PostgreSQL |\n|---|---|---|\n",
    );
    for ty in ALL_TYPES {
        let _ = writeln!(out, "| {} | {} | {} |", ty.name(), parquet_type(ty), postgres_type(ty));
    }
    out.push_str(POSTGRES);
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
