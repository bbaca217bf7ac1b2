//! The firm file: limits of all instances of a host together, and what each of them may use of these at first. Which
//! instance has how much by now stands in the ledger ([`crate::ledger`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::locate::Source;
use crate::paths::Paths;
use crate::problem::{Problem, Problems};
use crate::types::{AUTO, Config};

/// The limits that add up, by the gate's names and in its units: what instances may use of one of them together is no more
/// than the sum of what each may use. Of all of them more is looser.
pub const ALLOTTED: [&str; 8] = [
    "gross_max",
    "net_max",
    "position_max",
    "daily_loss_max",
    "drawdown_max",
    "open_orders_max",
    "orders_per_second_max",
    "messages_per_day_max",
];

/// `[firm]` of an instance: whose it is; absent, its limits are the firm's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirmSection {
    /// The firm file; relative to the configuration file.
    pub file: PathBuf,
}

/// The firm file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firm {
    /// Who this is.
    pub firm: FirmName,
    /// What all instances may use together: each of [`ALLOTTED`].
    pub total: BTreeMap<String, i64>,
    /// Every instance of the firm on this host.
    pub instance: Vec<Member>,
    #[serde(skip)]
    source: Source,
}

/// `[firm]` of the firm file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirmName {
    /// Names the ledger.
    pub name: String,
    /// The ledger's file; its lock stands beside it.
    #[serde(default)]
    pub ledger: PathBuf,
}

/// `[[instance]]` of the firm file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// `instance.name` of its configuration.
    pub name: String,
    /// Its `paths.run`.
    #[serde(default)]
    pub run: PathBuf,
    /// Its `paths.segment`.
    #[serde(default)]
    pub segment: PathBuf,
    /// What it may use when there is no ledger yet: each of [`ALLOTTED`].
    pub allotment: BTreeMap<String, i64>,
}

impl Member {
    /// Where its files are; its journal is not known here.
    pub fn paths(&self) -> Paths {
        Paths { segment: self.segment.clone(), run: self.run.clone(), ..Paths::of(&self.name) }
    }
}

/// What is right for an allotment of one limit, and for a total.
const AMOUNTS: &str = "a number from 1 to 4611686018427387903, in the unit of the limit of that name";

impl Firm {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it; a key that is unknown or of the wrong type ends the search at once.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        Self::parse(path, &Source::read(path, "a readable TOML file with [firm], [total] and [[instance]]")?)
    }

    /// Checks `text`, which is said to come from `file`.
    ///
    /// # Errors
    /// As [`Firm::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        let source = Source::new(file, text);
        let mut firm: Self = source.parse()?;
        firm.source = source;
        if firm.firm.ledger.as_os_str().is_empty() {
            firm.firm.ledger = format!("/run/tern/firm/{}.json", firm.firm.name).into();
        }
        for member in &mut firm.instance {
            let defaults = Paths::of(&member.name);
            for (path, default) in [(&mut member.run, defaults.run), (&mut member.segment, defaults.segment)] {
                if path.as_os_str().is_empty() {
                    *path = default;
                }
            }
        }
        let mut problems = firm.problems();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if problems.is_empty() { Ok(firm) } else { Err(Problems(problems)) }
    }

    /// The instance of that name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.instance.iter().find(|member| member.name == name)
    }

    /// The total of `limit`; 0 for one that is not allotted.
    pub fn total_of(&self, limit: &str) -> i64 {
        self.total.get(limit).copied().unwrap_or(0)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: String, expected: &str| {
            problems.push(self.source.problem_at(field, message, Some(expected)));
        };
        if !is_name(&self.firm.name) {
            wrong("firm.name", format!("`{}` cannot name a firm", self.firm.name), "1 to 31 of a-z, 0-9 and -");
        }
        if !self.firm.ledger.is_absolute() {
            let message = format!("`{}` is not an absolute path", self.firm.ledger.display());
            wrong("firm.ledger", message, "a path on a file system that does not outlive a reboot, such as /run");
        }
        amounts(&self.total, "total", &mut wrong);
        if self.instance.is_empty() {
            wrong("instance", "no instance".into(), "an [[instance]] for each of the firm's on this host");
        }
        let (mut names, mut folders) = (BTreeSet::new(), BTreeSet::new());
        for (index, member) in self.instance.iter().enumerate() {
            let at = |field: &str| format!("instance[{index}].{field}");
            if !is_name(&member.name) {
                let message = format!("`{}` cannot name an instance", member.name);
                wrong(&at("name"), message, "the instance.name of its configuration");
            }
            if !names.insert(&member.name) {
                wrong(&at("name"), format!("{} is there already", member.name), "each instance once");
            }
            if !member.run.is_absolute() || !folders.insert(&member.run) {
                let message = format!("`{}` is not an absolute path of its own", member.run.display());
                wrong(&at("run"), message, "the paths.run of its configuration");
            }
            if member.segment != Path::new(AUTO) && !member.segment.is_absolute() {
                let message = format!("`{}` is not an absolute path", member.segment.display());
                wrong(&at("segment"), message, "the paths.segment of its configuration");
            }
            amounts(&member.allotment, &at("allotment"), &mut wrong);
        }
        for limit in ALLOTTED {
            let of = |member: &Member| i128::from(member.allotment.get(limit).copied().unwrap_or(0));
            let (sum, total) = (self.instance.iter().map(of).sum::<i128>(), i128::from(self.total_of(limit)));
            if sum > total && total > 0 {
                let message = format!("the allotments add up to {sum}, {} more than the total {total}", sum - total);
                wrong(&format!("total.{limit}"), message, "allotments that add up to no more than the total");
            }
        }
        problems
    }
}

/// Each of [`ALLOTTED`], and nothing else.
fn amounts(values: &BTreeMap<String, i64>, at: &str, wrong: &mut impl FnMut(&str, String, &str)) {
    for limit in ALLOTTED.iter().filter(|limit| !values.contains_key(**limit)) {
        wrong(&format!("{at}.{limit}"), "required".into(), AMOUNTS);
    }
    for (limit, value) in values {
        let field = format!("{at}.{limit}");
        if !ALLOTTED.contains(&limit.as_str()) {
            wrong(&field, "is no limit that is allotted".into(), &ALLOTTED.join(", "));
        } else if !(1..=i64::MAX / 2).contains(value) {
            wrong(&field, format!("{value} is out of range"), AMOUNTS);
        }
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= tern_abi::segment::INSTANCE_BYTES_MAX && name.bytes().all(plain)
}

impl Config {
    /// The firm that the instance is of, with the instance in it; `None` where its limits are the firm's. Not part of
    /// [`Config::load`]: a wrong firm file must not keep anybody from stopping an instance.
    ///
    /// # Errors
    /// Everything that is wrong with the firm file, or that it does not have this instance as it is.
    pub fn load_firm(&self) -> Result<Option<Firm>, Problems> {
        let Some(section) = &self.firm else { return Ok(None) };
        let firm = Firm::load(&self.file().parent().unwrap_or(Path::new("")).join(&section.file))?;
        let name = &self.instance.name;
        let Some(member) = firm.member(name) else {
            let message = format!("`{}` has no [[instance]] called {name}", firm.source.file.display());
            return Err(self.problem("firm.file", message).into());
        };
        for (key, own, said) in
            [("run", &self.paths.run, &member.run), ("segment", &self.paths.segment, &member.segment)]
        {
            if own != said {
                let (own, said) = (own.display(), said.display());
                let message = format!("the firm file has {key} = `{said}` for {name}, and paths.{key} is `{own}`");
                return Err(self.problem("firm.file", message).into());
            }
        }
        Ok(Some(firm))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// All of them `value`.
    pub(crate) fn all(value: i64) -> String {
        ALLOTTED.iter().map(|limit| format!("{limit} = {value}\n")).collect()
    }

    /// Two instances with 60 and 30 of 100 each.
    pub(crate) fn two() -> String {
        format!(
            "[firm]\nname = \"acme\"\n[total]\n{}[[instance]]\nname = \"a\"\n[instance.allotment]\n{}\
             [[instance]]\nname = \"b\"\n[instance.allotment]\n{}",
            all(100),
            all(60),
            all(30)
        )
    }

    fn wrong(text: &str) -> String {
        Firm::parse(Path::new("firm.toml"), text).expect_err("wrong").to_string()
    }

    #[test]
    fn a_firm_file_is_checked_whole_with_line_and_field() {
        let firm = Firm::parse(Path::new("firm.toml"), &two()).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(firm.firm.ledger, Path::new("/run/tern/firm/acme.json"));
        assert_eq!(
            firm.member("b").map(|member| member.paths().control_socket()),
            Some("/run/tern/b/tern.sock".into())
        );
        let two = two();
        for (from, to, said) in [
            (
                "gross_max = 30",
                "gross_max = 41",
                "firm.toml:4:13: total.gross_max: the allotments add up to 101, 1 more",
            ),
            ("gross_max = 30", "gross_max = 0", "firm.toml:26:13: instance[1].allotment.gross_max: 0 is out of range"),
            ("net_max = 100\n", "", "total.net_max: required"),
            ("net_max = 60\n", "", "instance[0].allotment.net_max: required"),
            ("net_max = 100\n", "net_max = 100\nequity = 5\n", "firm.toml:6:10: total.equity: is no limit that is"),
            ("name = \"b\"", "name = \"a\"", "firm.toml:24:8: instance[1].name: a is there already"),
            ("name = \"b\"", "name = \"b\"\nrun = \"/run/tern/a\"", "instance[1].run: `/run/tern/a` is not an"),
            ("name = \"b\"", "name = \"b\"\nother = 1", "unknown field `other`"),
            ("name = \"acme\"", "name = \"../x\"", "firm.toml:2:8: firm.name: `../x` cannot name a firm"),
        ] {
            assert!(two.contains(from), "{from}");
            let said_so = wrong(&two.replacen(from, to, 1));
            assert!(said_so.contains(said), "{to}: {said_so}");
        }
        // What no i64 holds is no way round the sum.
        let huge = i64::MAX / 2;
        let many = two.replace("gross_max = 60", &format!("gross_max = {huge}"));
        let many = many.replace("gross_max = 30", &format!("gross_max = {huge}"));
        assert!(wrong(&many).contains(&format!("add up to {}", 2 * i128::from(huge))));
    }
}
