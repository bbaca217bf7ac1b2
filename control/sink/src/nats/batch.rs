//! What a batch of records is as messages. The same records up to the same one make the same messages, so that a batch of
//! which only some were stored can be made again and ended.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use tern_schema::{Table, Type, Value};

use crate::position::Position;

/// A message ends before it grows beyond this, unless one row does.
const MESSAGE_BYTES: usize = 256 << 10;

/// The header that says of which batch a message is.
pub(super) const BATCH_HEADER: &str = "Tern-Batch";

/// Which part of which batch a message is: JSON in [`BATCH_HEADER`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Behind this record the batch begins.
    pub(super) from: Position,
    /// With this record it ends.
    pub(super) to: Position,
    /// Its place in the batch, from 0.
    pub(super) index: usize,
    /// Messages of the batch.
    pub(super) count: usize,
    /// Its table.
    pub(super) table: String,
    /// CRC-32 of the columns of all tables of the stream: of which build and selection it is.
    pub(super) layout: u32,
}

impl Part {
    /// Which message it is: the `Nats-Msg-Id`.
    pub(super) fn id(&self) -> String {
        format!("{}:{}-{}:{}", self.to.instance, self.from.seq, self.to.seq, self.index)
    }

    /// Whether it is, with these rows, one of `messages`, the batch that ends with `to`.
    pub(super) fn is_of(&self, to: &Position, messages: &[(&'static str, String)], body: &[u8]) -> bool {
        let same = |(table, text): &(&str, String)| *table == self.table && text.as_bytes() == body;
        self.to.is_at(to) && self.count == messages.len() && messages.get(self.index).is_some_and(same)
    }
}

/// Rows of a batch, by table.
pub(super) struct Batch {
    tables: Vec<(&'static Table, Vec<String>)>,
    bytes: usize,
}

impl Batch {
    pub(super) fn new(tables: &[&'static Table]) -> Self {
        Self { tables: tables.iter().map(|table| (*table, Vec::new())).collect(), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a row.
    pub(super) fn push(&mut self, table: &Table, row: &[Value<'_>]) -> Result<()> {
        let Some((table, texts)) = self.tables.iter_mut().find(|(own, _)| own.name == table.name) else {
            return Ok(());
        };
        let line = line(table, row)?;
        self.bytes += line.len();
        match texts.last_mut() {
            Some(text) if text.len() + line.len() <= MESSAGE_BYTES => text.push_str(&line),
            _ => texts.push(line),
        }
        Ok(())
    }

    /// The messages: table and rows, a row a line. Nothing is left.
    pub(super) fn finish(&mut self) -> Vec<(&'static str, String)> {
        self.bytes = 0;
        let texts = self.tables.iter_mut().map(|(table, texts)| (table.name, std::mem::take(texts)));
        texts.flat_map(|(name, texts)| texts.into_iter().map(move |text| (name, text))).collect()
    }
}

/// A row as an object of JSON, and a line feed.
fn line(table: &Table, row: &[Value<'_>]) -> Result<String> {
    let mut out = String::from("{");
    for (column, value) in table.all_columns().zip(row) {
        if out.len() > 1 {
            out.push(',');
        }
        let _ = write!(out, "\"{}\":", column.name);
        // Writing to a String does not fail.
        let _ = match (column.ty, value) {
            (_, Value::Null) => write!(out, "null"),
            (Type::Money, Value::Signed(value)) => write!(out, "\"{}\"", money(*value)),
            (_, Value::Signed(value)) => write!(out, "{value}"),
            (_, Value::Unsigned(value)) => write!(out, "{value}"),
            (_, Value::Bool(value)) => write!(out, "{value}"),
            (_, Value::Bytes(bytes)) => write!(out, "\"{}\"", tern_journal::hex(bytes)),
            (_, Value::Text(text)) => write!(out, "{}", serde_json::to_string(text)?),
        };
    }
    out.push_str("}\n");
    Ok(out)
}

/// 1/10000 as a decimal.
fn money(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let magnitude = value.unsigned_abs();
    format!("{sign}{}.{:04}", magnitude / 10_000, magnitude % 10_000)
}

/// CRC-32 of what the tables are.
pub(super) fn layout_of(tables: &[&Table]) -> u32 {
    let text: String =
        tables.iter().map(|table| format!("{}({})", table.name, tern_schema::layout(table).join(","))).collect();
    crc32fast::hash(text.as_bytes())
}

/// A name as it may stand in a subject and a stream's name.
pub(super) fn token(what: &str, name: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        bail!("{what} `{name}`: it is a part of a subject: letters, digits, `-` and `_`, at most 64");
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_schema::TABLES;

    #[test]
    fn money_is_exact() {
        let of = |value| money(value);
        assert_eq!([of(0), of(-1), of(12_3400)], ["0.0000", "-0.0001", "12.3400"]);
        assert_eq!([of(i64::MAX), of(i64::MIN)], ["922337203685477.5807", "-922337203685477.5808"]);
    }

    #[test]
    fn a_row_is_a_line_and_a_message_no_longer_than_it_may_be() {
        let table = Table::named("strategies").expect("it is there");
        let row = [9, 8, 1].map(Value::Unsigned).into_iter();
        let row: Vec<Value<'_>> =
            row.chain([Value::Text("a\"b\n".into()), Value::Null, Value::Unsigned(u64::MAX)]).collect();
        let text = line(table, &row).expect("a row");
        assert_eq!(
            text,
            "{\"seq\":9,\"time\":8,\"strategy\":1,\"event\":\"a\\\"b\\n\",\"text\":null,\"cause_seq\":18446744073709551615}\n"
        );
        let tables: Vec<&'static Table> = TABLES.iter().collect();
        let mut batch = Batch::new(&tables);
        let rows = 3 * MESSAGE_BYTES / text.len();
        (0..rows).for_each(|_| batch.push(table, &row).expect("taken"));
        assert_eq!(batch.bytes(), rows * text.len());
        let messages = batch.finish();
        assert_eq!(messages.len(), 4, "what is left of each message is shorter than a row");
        assert!(messages.iter().all(|(name, text)| *name == "strategies" && text.len() <= MESSAGE_BYTES));
        assert_eq!(messages.iter().map(|(_, text)| text.lines().count()).sum::<usize>(), rows);
        assert!(batch.finish().is_empty() && batch.bytes() == 0);
    }

    #[test]
    fn names_that_are_no_part_of_a_subject_are_refused() {
        for bad in ["", "a.b", "a b", "*", ">", "a\r\n", &"a".repeat(65)] {
            assert!(token("host", bad).is_err(), "{bad:?}");
        }
        assert!(token("host", "edge-1_b").is_ok());
    }
}
