//! PostgreSQL: a schema of tables, rows by binary COPY, and the position in the same transaction.

mod copy;
mod schema;

use anyhow::{Context as _, anyhow};
use postgres::config::Host;
use postgres::{Client, Config, NoTls, Statement};
use std::io::Write as _;
use std::time::Duration;
use tern_schema::{Table, Value};

use crate::follow::Item;
use crate::position::Position;
use crate::store::{Store, StoreError};
use copy::Rows;
use schema::Schema;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server's host may say nothing on a connection.
const SILENCE: Duration = Duration::from_secs(30);

/// A schema of a database.
pub struct Postgres {
    config: Config,
    schema: Schema,
    tables: Vec<&'static Table>,
    rows: Vec<Rows>,
    waiting: usize,
    /// Where the store ended when it was asked last, and what was stored since.
    position: Position,
    /// A COMMIT may be under way of which nobody knows what became: of the connection before, or of the sink before.
    in_doubt: bool,
    connection: Option<Connection>,
}

struct Connection {
    client: Client,
    /// Moves the position.
    update: Statement,
    /// A table's COPY each.
    copies: Vec<Statement>,
}

impl Postgres {
    /// Of the database at `url` (`host=/run/postgresql dbname=tern`, or `postgresql://...`). Nothing is asked of it yet.
    ///
    /// # Errors
    /// The URL or a name is not one.
    pub fn new(url: &str, schema: &str, reader: &str, tables: &[&'static Table]) -> anyhow::Result<Self> {
        let mut config: Config = url.parse().context("--url is not one of a PostgreSQL database")?;
        config.connect_timeout(CONNECT).tcp_user_timeout(SILENCE).keepalives_idle(SILENCE / 3);
        config.application_name("tern-sink");
        Ok(Self {
            config,
            schema: Schema::new(schema, reader)?,
            tables: tables.to_vec(),
            rows: tables.iter().map(|table| Rows::new(table)).collect(),
            waiting: 0,
            position: Position::default(),
            in_doubt: true,
            connection: None,
        })
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        let mut client = self.config.connect(NoTls)?;
        let encoding: String = client.query_one("SHOW server_encoding", &[])?.get(0);
        if encoding != "UTF8" {
            return Err(anyhow!("the database's encoding is {encoding}: make one with UTF8"));
        }
        // Both or nothing: another sink that begins at the same moment is refused by the names.
        let mut transaction = client.transaction()?;
        if !self.schema.is_there(&mut transaction, &self.tables)? {
            self.schema.make(&mut transaction, &self.tables)?;
        }
        let own = self.schema.table("sink_position");
        let row = self.schema.position(
            &mut transaction,
            "instance, segment, chain, seq, tai_ns, crc, start_seq, records, row_count, unreadable",
        )?;
        let number = |index: usize| row.get::<_, i64>(index).cast_unsigned();
        let position = Position {
            instance: row.get(0),
            segment: number(1),
            chain: row.get(2),
            seq: number(3),
            tai_ns: number(4),
            crc: u32::try_from(number(5)).context("sink_position.crc is no checksum; it was changed")?,
            start_seq: number(6),
            records: number(7),
            rows: number(8),
            unreadable: number(9),
        };
        transaction.commit()?;
        let update = client.prepare(&format!(
            "UPDATE {own} SET instance = $1, segment = $2, chain = $3, seq = $4, tai_ns = $5, crc = $6, start_seq = $7, \
             records = $8, row_count = $9, unreadable = $10, stored = now() WHERE seq = $11 AND crc = $12"
        ))?;
        let copy =
            |table: &&Table| client.prepare(&format!("COPY {} FROM STDIN BINARY", self.schema.table(table.name)));
        let copies = self.tables.iter().map(copy).collect::<Result<_, _>>()?;
        self.position = position;
        self.connection = Some(Connection { client, update, copies });
        Ok(())
    }

    fn store(&mut self, position: &Position) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connection else { return Err(anyhow!("there is no connection")) };
        let mut transaction = connection.client.transaction()?;
        // First: whoever else stores waits here, and then finds another position than he knows.
        let number = |value: u64| value.cast_signed();
        let moved = transaction.execute(
            &connection.update,
            &[
                &position.instance,
                &number(position.segment),
                &position.chain,
                &number(position.seq),
                &number(position.tai_ns),
                &i64::from(position.crc),
                &number(position.start_seq),
                &number(position.records),
                &number(position.rows),
                &number(position.unreadable),
                &number(self.position.seq),
                &i64::from(self.position.crc),
            ],
        )?;
        if moved != 1 {
            let error = anyhow!(
                "the position is no longer at {}: another tern-sink stores into schema `{}`, or somebody changed it; end one of \
                 the two",
                self.position.name(),
                self.schema.name
            );
            // A COMMIT that lost its connection may have succeeded since the position was asked: it is asked anew, once.
            let late = std::mem::take(&mut self.in_doubt);
            return Err(if late { StoreError::Gone(error) } else { StoreError::Refused(error) }.into());
        }
        self.in_doubt = true;
        for (rows, copy) in self.rows.iter_mut().zip(&connection.copies).filter(|(rows, _)| rows.rows > 0) {
            let (expected, name) = (rows.rows, rows.table.name);
            let mut writer = transaction.copy_in(copy)?;
            // A call that fails here has the server's own words only at the end.
            let sent = writer.write_all(&rows.finish());
            let stored = writer.finish().with_context(|| format!("table `{name}`"))?;
            sent.with_context(|| format!("table `{name}`"))?;
            if stored != expected {
                return Err(anyhow!("table `{name}`: {stored} rows stored of {expected}"));
            }
        }
        transaction.commit()?;
        self.position = position.clone();
        self.in_doubt = false;
        self.waiting = 0;
        Ok(())
    }
}

impl Store for Postgres {
    fn name(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("?");
        format!("postgres {host}/{database}.{}", self.schema.name)
    }

    fn resume(&mut self) -> Result<Position, StoreError> {
        self.connection = None;
        self.rows = self.tables.iter().map(|table| Rows::new(table)).collect();
        self.waiting = 0;
        self.connect().map_err(kind)?;
        Ok(self.position.clone())
    }

    fn take(&mut self, table: &'static Table, item: &Item<'_>, row: &[Value<'_>]) -> Result<(), StoreError> {
        let Some(rows) = self.rows.iter_mut().find(|rows| rows.table.name == table.name) else { return Ok(()) };
        let before = rows.bytes.len();
        rows.push(row, item.context).map_err(StoreError::Refused)?;
        self.waiting += rows.bytes.len() - before;
        Ok(())
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting
    }

    fn commit(&mut self, position: &Position) -> Result<(), StoreError> {
        self.store(position).map_err(kind)
    }
}

/// Whether it is worth asking again: where the server says that it cannot now, and where the connection is broken. What this
/// side finds wrong, as an answer that is none or a `--url` without a host, no waiting changes.
fn kind(error: anyhow::Error) -> StoreError {
    /// Classes of states (connection, transaction lost to others, resources, the server's operator, the system), and a server
    /// that only reads because another one is the first now.
    const AGAIN: [&str; 7] = ["08", "25006", "40", "53", "55", "57", "58"];
    let error = match error.downcast() {
        Ok(known) => return known,
        Err(error) => error,
    };
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<postgres::Error>());
    let broken = error.chain().any(|cause| cause.is::<std::io::Error>());
    let again = match cause.and_then(postgres::Error::code) {
        Some(state) => AGAIN.iter().any(|class| state.code().starts_with(class)),
        None => broken || cause.is_some_and(postgres::Error::is_closed),
    };
    if again { StoreError::Gone(error) } else { StoreError::Refused(error) }
}
