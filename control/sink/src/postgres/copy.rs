//! Rows as `COPY ... BINARY` wants them.

use anyhow::{Result, bail};
use tern_schema::{Column, Context, HEAD, Table, Type, Value, is_sequence};

/// TAI is so far ahead of UTC since 2017.
const TAI_AHEAD_US: i64 = 37_000_000;
/// 2000-01-01, from which the server counts, since 1970: us and days.
const EPOCH_US: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

/// Columns that the database has in front of those of the table's own: what its [`HEAD`] says, in the server's own types.
pub(super) const OWN: [(&str, &str); 2] = [("utc", "timestamptz"), ("day", "date")];

/// Rows of one table that wait for their COPY.
pub(super) struct Rows {
    pub(super) table: &'static Table,
    /// The stream so far, from its signature on.
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u64,
}

impl Rows {
    pub(super) fn new(table: &'static Table) -> Self {
        Self { table, bytes: Vec::new(), rows: 0 }
    }

    /// Appends a row; on an error nothing of it.
    pub(super) fn push(&mut self, row: &[Value<'_>], context: &Context) -> Result<()> {
        if self.bytes.is_empty() {
            // Signature, no flags, no extension.
            self.bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        }
        let start = self.bytes.len();
        let pushed = self.push_values(row, context);
        if pushed.is_err() {
            self.bytes.truncate(start);
        } else {
            self.rows += 1;
        }
        pushed
    }

    fn push_values(&mut self, row: &[Value<'_>], context: &Context) -> Result<()> {
        let out = &mut self.bytes;
        out.extend_from_slice(&i16::try_from(row.len() + OWN.len())?.to_be_bytes());
        for (index, (column, value)) in self.table.all_columns().zip(row).enumerate() {
            field(out, column, value)?;
            if index + 1 == HEAD.len() {
                let Value::Unsigned(tai_ns) = value else { bail!("the time is no number: {value:?}") };
                long(out, utc_us(*tai_ns));
                sized(out, &(i32::try_from(context.day())? - EPOCH_DAYS).to_be_bytes())?;
            }
        }
        Ok(())
    }

    /// The whole stream; nothing is left.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.rows = 0;
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        std::mem::take(&mut self.bytes)
    }
}

/// UTC, us since 2000, as a `timestamptz` counts: of a time on the TAI clock.
fn utc_us(tai_ns: u64) -> i64 {
    // A 64-bit count of ns is one of us in 54 bits.
    (tai_ns / 1_000).cast_signed() - TAI_AHEAD_US - EPOCH_US
}

fn field(out: &mut Vec<u8>, column: &Column, value: &Value<'_>) -> Result<()> {
    match (column.ty, value) {
        (_, Value::Null) if column.nullable => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        // Bit for bit: only bytes that no loop writes have one that large.
        (Type::U64, Value::Unsigned(value)) if is_sequence(column) => long(out, value.cast_signed()),
        (Type::U64, Value::Unsigned(value)) => numeric(out, *value, false, 0),
        (Type::U32 | Type::TaiNs, Value::Unsigned(value)) => long(out, value.cast_signed()),
        (Type::I64, Value::Signed(value)) => long(out, *value),
        (Type::Money, Value::Signed(value)) => numeric(out, value.unsigned_abs(), *value < 0, 1),
        (Type::Bool, Value::Bool(value)) => sized(out, &[u8::from(*value)])?,
        (Type::Bytes, Value::Bytes(bytes)) => sized(out, bytes)?,
        // The server's texts have no NUL.
        (Type::Text, Value::Text(text)) if text.contains('\0') => {
            sized(out, text.replace('\0', "\u{fffd}").as_bytes())?
        }
        (Type::Text, Value::Text(text)) => sized(out, text.as_bytes())?,
        (_, value) => bail!("column {}: {value:?} is not of its type", column.name),
    }
    Ok(())
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    out.extend_from_slice(&i32::try_from(bytes.len())?.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn long(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&8_i32.to_be_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}

/// A `numeric`: digits to the base of 10,000, `after` of which are behind the point.
fn numeric(out: &mut Vec<u8>, magnitude: u64, negative: bool, after: i16) {
    const SIGN_NEGATIVE: u16 = 0x4000;
    let mut digits = [0_i16; 5];
    let (mut rest, mut count) = (magnitude, 0);
    while rest > 0 {
        digits[count] = (rest % 10_000) as i16;
        (rest, count) = (rest / 10_000, count + 1);
    }
    let words =
        [count as i16, count as i16 - 1 - after, if negative { SIGN_NEGATIVE.cast_signed() } else { 0 }, 4 * after];
    out.extend_from_slice(&(2 * (words.len() + count) as i32).to_be_bytes());
    words.iter().chain(digits[..count].iter().rev()).for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}
