//! Configuration of an instance: one TOML file, validated whole.
//!
//! Unknown keys are errors. Every problem names file, line, column and field and says what would be right. The daemon,
//! the data plane and the CLI read the same file through [`Config::load`].
#![forbid(unsafe_code)]

pub mod alerts;
mod day;
pub mod explain;
pub mod facts;
pub mod fields;
pub mod firm;
pub mod flat;
mod include;
mod journaled;
pub mod latency;
pub mod ledger;
pub mod limits;
mod locate;
mod managed;
mod opening;
mod operations;
mod parts;
mod paths;
mod problem;
pub mod protocol;
mod reference;
mod second;
mod secret;
mod types;
mod validate;
mod values;
pub mod venue;

use std::path::{Path, PathBuf};

pub use day::{TimeOfDay, UtcOffset};
pub use firm::{Firm, FirmSection};
pub use managed::Day;
pub use opening::{Held, Opening, OpeningPosition, Splits, StrategyName, parse_splits};
pub use operations::{Alerts, Confirmed, Daemon, Fsync, HeartbeatLoss, Journal, MANUAL, Metrics, Roles};
pub use parts::{StrategyLimits, SymbolLimits};
pub use paths::Paths;
pub use problem::{Problem, Problems};
pub use reference::{Date, Reference};
pub use second::{Audit, DropCopy};
pub use secret::Secret;
pub use types::{
    AfterRestart, Attach, AutoOff, Capacity, Config, Feed, Instance, Limits, Line, Loop, Port, PortKind, Rings,
    SelfTrade, Session, Strategy, UntrustedBook, Wait,
};
pub use values::{Core, Mac, Network};

use locate::Source;

impl Config {
    /// Reads and checks the file at `path`, with the files that it includes.
    ///
    /// # Errors
    /// Everything that is wrong with it. A key that is unknown or of the wrong type ends the search at once; all other
    /// problems are reported together.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Problems> {
        let config = Self::of(include::read(path.as_ref())?)?;
        let hidden = |password: &Secret| password.reveal() == Secret::HIDDEN;
        for (field, is_hidden) in [
            ("session.password", config.session.as_ref().is_some_and(|session| hidden(&session.password))),
            ("drop_copy.password", config.drop_copy.as_ref().is_some_and(|copy| hidden(&copy.password))),
        ] {
            if is_hidden {
                return Err(config
                    .problem(field, "that is what stands in a password's place where it is shown")
                    .into());
            }
        }
        Ok(config)
    }

    /// Checks `text`, which is said to come from `file`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        Self::of(Source::new(file, text))
    }

    fn of(source: Source) -> Result<Self, Problems> {
        let mut config: Config = source.parse()?;
        if config.include.len() != source.parts.len() {
            return Err(source.problem_at("include", "nothing can be included here".into(), None).into());
        }
        config.source = source;
        config.paths.fill(&config.instance.name);
        let unread = [config.fill_reference().err(), config.fill_opening().err()];
        let mut problems = validate::problems(&config);
        problems.extend(unread.into_iter().flatten());
        problems.extend(config.fill_password().err());
        problems.extend(config.fill_drop_copy_password().err());
        problems.sort_by_key(|problem| (problem.line, problem.column));
        config.resolve_opening();
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    /// The whole configuration with every default filled in and secrets hidden, as TOML.
    pub fn effective_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# not representable: {error}\n"))
    }

    /// A problem with the field at `path` (such as `strategy[0].name`), for checks that only the caller can make, with
    /// the line in this configuration's file. Turn it into [`Problems`] to report it like any other.
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        self.source.problem_at(path, message.into(), None)
    }

    /// As [`Config::problem`], with advice of the caller's own.
    pub fn problem_expecting(&self, path: &str, message: impl Into<String>, expected: &str) -> Problem {
        self.source.problem_at(path, message.into(), Some(expected))
    }

    /// The file it came from.
    pub fn file(&self) -> &Path {
        &self.source.file
    }

    /// Every file that it was read from, by what it is: `config`, `include`, `reference`, `opening`. Files of passwords are not among them.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let folder = self.file().parent().unwrap_or(Path::new(""));
        let own = [("config", self.file().to_owned())];
        let included = self.include.iter().map(|file| ("include", folder.join(file)));
        own.into_iter().chain(included).chain(self.named.iter().cloned()).collect()
    }

    fn fill_drop_copy_password(&mut self) -> Result<(), Problem> {
        let Some(copy) = &self.drop_copy else { return Ok(()) };
        let Some(file) = copy.password_file.clone().filter(|_| copy.password.reveal().is_empty()) else {
            return Ok(());
        };
        let password = validate::read_password(self, "drop_copy.password_file", &file)?;
        if let Some(copy) = &mut self.drop_copy {
            copy.password = Secret(password);
        }
        Ok(())
    }

    fn fill_password(&mut self) -> Result<(), Problem> {
        let Some(session) = &self.session else { return Ok(()) };
        let Some(file) = &session.password_file else { return Ok(()) };
        if session.password.reveal() == Secret::HIDDEN {
            return Ok(()); // An effective configuration read back: the password was never in it.
        }
        if !session.password.reveal().is_empty() {
            return Err(self.problem("session.password_file", "password and password_file are both given"));
        }
        let password = validate::read_password(self, "session.password_file", &file.clone())?;
        if let Some(session) = &mut self.session {
            session.password = Secret(password);
        }
        Ok(())
    }
}
