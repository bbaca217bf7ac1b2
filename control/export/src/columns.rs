//! A row group in the making: each column's values side by side, as Parquet wants them.

use anyhow::{Result, bail};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::writer::SerializedColumnWriter;
use parquet::schema::types::{Type as Node, TypePtr};
use std::sync::Arc;
use tern_schema::{Column, Table, Type, Value};

/// The schema of a table's files.
pub(crate) fn schema(table: &Table) -> Result<TypePtr> {
    let fields: Result<Vec<TypePtr>> = table.all_columns().map(|column| Ok(Arc::new(node(column)?))).collect();
    Ok(Arc::new(Node::group_type_builder(table.name).with_fields(fields?).build()?))
}

fn node(column: &Column) -> Result<Node> {
    let unsigned = |bits| Some(LogicalType::integer(bits, false));
    let (physical, logical) = match column.ty {
        Type::U64 => (Physical::INT64, unsigned(64)),
        Type::I64 => (Physical::INT64, None),
        Type::U32 => (Physical::INT32, unsigned(32)),
        Type::Money => (Physical::INT64, Some(LogicalType::decimal(4, 18))),
        // Not UTC: a reader that took it for that would be 37 s off.
        Type::TaiNs => (Physical::INT64, Some(LogicalType::timestamp(false, TimeUnit::NANOS))),
        Type::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Type::Bytes => (Physical::BYTE_ARRAY, None),
        Type::Bool => (Physical::BOOLEAN, None),
    };
    let is_decimal = column.ty == Type::Money;
    let repetition = if column.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    Ok(Node::primitive_type_builder(column.name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .with_precision(if is_decimal { 18 } else { -1 })
        .with_scale(if is_decimal { 4 } else { -1 })
        .build()?)
}

enum Values {
    Long(Vec<i64>),
    Int(Vec<i32>),
    Bytes(Vec<ByteArray>),
    Bool(Vec<bool>),
}

/// Values of one column.
pub(crate) struct ColumnBuffer {
    column: &'static Column,
    values: Values,
    /// 1 for each row that has a value, 0 for each that has not; empty where every row must have one.
    levels: Vec<i16>,
}

impl ColumnBuffer {
    pub(crate) fn new(column: &'static Column) -> Self {
        let values = match column.ty {
            Type::U64 | Type::I64 | Type::Money | Type::TaiNs => Values::Long(Vec::new()),
            Type::U32 => Values::Int(Vec::new()),
            Type::Text | Type::Bytes => Values::Bytes(Vec::new()),
            Type::Bool => Values::Bool(Vec::new()),
        };
        Self { column, values, levels: Vec::new() }
    }

    pub(crate) fn push(&mut self, value: &Value<'_>) -> Result<()> {
        if self.column.nullable {
            self.levels.push(i16::from(*value != Value::Null));
        }
        match (&mut self.values, value) {
            (_, Value::Null) if self.column.nullable => {}
            // Bit for bit: the schema says that it is unsigned.
            (Values::Long(all), Value::Unsigned(value)) => all.push(value.cast_signed()),
            (Values::Long(all), Value::Signed(value)) => all.push(*value),
            (Values::Int(all), Value::Unsigned(value)) => all.push(u32::try_from(*value)?.cast_signed()),
            (Values::Bytes(all), Value::Text(text)) => all.push(ByteArray::from(text.as_ref())),
            (Values::Bytes(all), Value::Bytes(bytes)) => all.push(ByteArray::from(bytes.to_vec())),
            (Values::Bool(all), Value::Bool(value)) => all.push(*value),
            (_, value) => bail!("column {}: {value:?} is not of its type", self.column.name),
        }
        Ok(())
    }

    /// Writes what there is and keeps nothing.
    pub(crate) fn flush(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let levels = self.column.nullable.then_some(self.levels.as_slice());
        match &mut self.values {
            Values::Long(all) => write::<Int64Type>(writer, all, levels),
            Values::Int(all) => write::<Int32Type>(writer, all, levels),
            Values::Bytes(all) => write::<ByteArrayType>(writer, all, levels),
            Values::Bool(all) => write::<BoolType>(writer, all, levels),
        }?;
        self.levels.clear();
        Ok(())
    }
}

fn write<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: &mut Vec<T::T>,
    levels: Option<&[i16]>,
) -> Result<()> {
    writer.typed::<T>().write_batch(values, levels, None)?;
    values.clear();
    Ok(())
}
