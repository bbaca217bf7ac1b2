//! The schema in the database: made once, whole, and known again by what it says of itself.

use anyhow::{Context as _, Result, bail};
use postgres::{GenericClient, Row};
use std::fmt::Write as _;
use tern_schema::{HEAD, Table, is_sequence, layout, postgres_type};

use super::copy::OWN;

/// Of the sink's own tables and of how columns are held; what the columns are stands in `sink_layout`.
const VERSION: i32 = 1;

/// A schema, and who may read it.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) name: String,
    reader: String,
}

impl Schema {
    /// # Errors
    /// A name would have to be quoted.
    pub(super) fn new(name: &str, reader: &str) -> Result<Self> {
        for (what, name) in [("schema", name), ("role", reader)] {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let good = name.len() <= 63 && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
            if name.is_empty() || !good {
                bail!(
                    "{what} `{name}`: a name has lower case letters, digits and `_`, at most 63, and begins with no digit"
                );
            }
        }
        Ok(Self { name: name.to_owned(), reader: reader.to_owned() })
    }

    /// A table of it, as statements name it.
    pub(super) fn table(&self, name: &str) -> String {
        format!("\"{}\".\"{name}\"", self.name)
    }

    /// These columns of the one row of the position.
    ///
    /// # Errors
    /// It has none; the server refuses.
    pub(super) fn position(&self, client: &mut impl GenericClient, columns: &str) -> Result<Row> {
        let query = format!("SELECT {columns} FROM {}", self.table("sink_position"));
        client.query_opt(&query, &[])?.with_context(|| {
            format!(
                "schema `{0}`: sink_position has no row, so nobody knows how far it is; somebody deleted it. Name another schema \
                 (--schema), which is filled from the beginning of the journal",
                self.name
            )
        })
    }

    /// Whether the database has it; one of another build or of other tables is refused.
    ///
    /// # Errors
    /// It is not what this build would make; the server refuses.
    pub(super) fn is_there(&self, client: &mut impl GenericClient, tables: &[&Table]) -> Result<bool> {
        let count = "SELECT count(*), count(*) FILTER (WHERE relname = 'sink_position') FROM pg_class \
                     WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relkind IN ('r', 'p', 'v', 'm')";
        let row = client.query_one(count, &[&self.name])?;
        match (row.get::<_, i64>(0), row.get::<_, i64>(1)) {
            (0, _) => return Ok(false),
            (_, 0) => bail!(
                "schema `{}` has tables, and none is of a sink: name another one (--schema), or drop it if nobody needs it",
                self.name
            ),
            _ => {}
        }
        let version: i32 = self.position(client, "version")?.get(0);
        if version != VERSION {
            bail!("schema `{}` has version {version}, this build has {VERSION}. {}", self.name, NOT_CHANGED);
        }
        let query = format!("SELECT name, columns FROM {} ORDER BY place", self.table("sink_layout"));
        let known: Vec<(String, Vec<String>)> =
            client.query(&query, &[])?.iter().map(|row| (row.get(0), row.get(1))).collect();
        let names = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
        if !known.iter().map(|(name, _)| name.as_str()).eq(tables.iter().map(|table| table.name)) {
            bail!(
                "schema `{}` has the tables {}, asked for are {}: ask for the same ones, or name another schema (--schema)",
                self.name,
                names(&mut known.iter().map(|(name, _)| name.as_str())),
                names(&mut tables.iter().map(|table| table.name))
            );
        }
        for ((name, columns), table) in known.iter().zip(tables) {
            let wanted = layout(table);
            if *columns != wanted {
                let differs = columns.iter().zip(&wanted).find(|(known, wanted)| known != wanted);
                let (known, wanted) = match differs {
                    Some((known, wanted)) => (known.clone(), wanted.clone()),
                    None => (format!("{} columns", columns.len()), format!("{} columns", wanted.len())),
                };
                bail!(
                    "schema `{}` is of a build with other columns: table `{name}` has ({known}), this build has ({wanted}). {}",
                    self.name,
                    NOT_CHANGED
                );
            }
        }
        Ok(true)
    }

    /// Makes it, in the transaction of `client`.
    ///
    /// # Errors
    /// The server refuses.
    pub(super) fn make(&self, client: &mut impl GenericClient, tables: &[&'static Table]) -> Result<()> {
        let has = |client: &mut _, query: &str, name: &str| -> Result<bool> {
            Ok(GenericClient::query_opt(client, query, &[&name])?.is_some())
        };
        // One that somebody with more rights made empty will do.
        if !has(client, "SELECT 1 FROM pg_namespace WHERE nspname = $1", &self.name)? {
            client.batch_execute(&format!("CREATE SCHEMA \"{}\"", self.name))?;
        }
        if !has(client, "SELECT 1 FROM pg_roles WHERE rolname = $1", &self.reader)? {
            client.batch_execute(&format!("CREATE ROLE \"{}\" NOLOGIN", self.reader)).with_context(|| {
                format!("role `{0}` for those who read: let somebody who may run CREATE ROLE {0} NOLOGIN", self.reader)
            })?;
        }
        client.batch_execute(&self.statements(tables))?;
        let insert = format!("INSERT INTO {} VALUES ($1, $2, $3)", self.table("sink_layout"));
        for (place, table) in tables.iter().enumerate() {
            client.execute(&insert, &[&(place as i32), &table.name, &layout(table)])?;
        }
        Ok(())
    }

    fn statements(&self, tables: &[&Table]) -> String {
        let (position, known, name) = (self.table("sink_position"), self.table("sink_layout"), &self.name);
        // Writing to a String does not fail.
        let mut sql = format!(
            "CREATE TABLE {position} (version int NOT NULL, instance text NOT NULL, segment bigint NOT NULL, \
             chain text NOT NULL, seq bigint NOT NULL, tai_ns bigint NOT NULL, crc bigint NOT NULL, start_seq bigint NOT NULL, \
             records bigint NOT NULL, row_count bigint NOT NULL, unreadable bigint NOT NULL, stored timestamptz NOT NULL, \
             one boolean PRIMARY KEY DEFAULT true CHECK (one));\n\
             COMMENT ON TABLE {position} IS 'How far the journal is stored. Changed with the rows it speaks of, and by nobody else.';\n\
             INSERT INTO {position} VALUES ({VERSION}, '', 0, '', 0, 0, 0, 0, 0, 0, 0, now());\n\
             CREATE TABLE {known} (place int PRIMARY KEY, name text NOT NULL, columns text[] NOT NULL);\n"
        );
        for table in tables {
            let _ = self.table_statements(&mut sql, table);
        }
        let _ = write!(
            sql,
            "GRANT USAGE ON SCHEMA \"{name}\" TO \"{0}\";\nGRANT SELECT ON ALL TABLES IN SCHEMA \"{name}\" TO \"{0}\";\n",
            self.reader
        );
        sql
    }

    fn table_statements(&self, sql: &mut String, table: &Table) -> std::fmt::Result {
        let own = self.table(table.name);
        let column = |column: &tern_schema::Column| {
            let ty = if is_sequence(column) { "bigint" } else { postgres_type(column.ty) };
            format!("\"{}\" {ty}{}", column.name, if column.nullable { "" } else { " NOT NULL" })
        };
        let mut columns: Vec<String> = HEAD.iter().map(column).collect();
        columns.extend(OWN.iter().map(|(name, ty)| format!("\"{name}\" {ty} NOT NULL")));
        columns.extend(table.columns.iter().map(column));
        writeln!(sql, "CREATE TABLE {own} ({}, PRIMARY KEY (\"seq\"));", columns.join(", "))?;
        // Rows come in order of time: a few pages of index for a year of days.
        writeln!(
            sql,
            "CREATE INDEX ON {own} USING brin (\"day\", \"time\") WITH (pages_per_range = 32, autosummarize = on);"
        )?;
        writeln!(sql, "COMMENT ON TABLE {own} IS '{}';", table.help.replace('\'', "''"))?;
        for column in table.all_columns() {
            let help = column.help.replace('\'', "''");
            writeln!(sql, "COMMENT ON COLUMN {own}.\"{}\" IS '{help}';", column.name)?;
        }
        Ok(())
    }
}

const NOT_CHANGED: &str = "A sink changes no table that is there: name another schema (--schema), which is filled from the \
                           beginning of the journal, or go on with the build that made this one";

#[cfg(test)]
mod tests {
    use super::*;
    use tern_schema::TABLES;

    #[test]
    fn no_name_is_given_twice() {
        for table in TABLES {
            assert!(!table.name.starts_with("sink_"), "{}", table.name);
            for (own, _) in OWN {
                assert!(table.all_columns().all(|column| column.name != own), "{}.{own}", table.name);
            }
        }
    }

    #[test]
    fn names_that_would_end_a_statement_are_refused() {
        for bad in ["", "a\"b", "a;b", "Tern", "1a", "ä", &"a".repeat(64)] {
            assert!(Schema::new(bad, "tern_reader").is_err() && Schema::new("tern", bad).is_err(), "{bad}");
        }
        assert!(Schema::new("tern_2", "people").is_ok());
    }
}
