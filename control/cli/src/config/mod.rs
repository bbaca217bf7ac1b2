//! `tern config`: what a file says and means, what runs, what would change, and which limits were ever in force.

mod apply;
mod explain;
mod history;
mod running;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tern_config::{Config, Problem, Problems};

use crate::args::{ConfigVerb, Which};
use crate::outcome::{Failure, Outcome, exit};
use crate::target::Target;

/// Carries it out; `Ok(None)` when it has printed by itself.
///
/// # Errors
/// As the verbs say.
pub(crate) fn run(which: &Which, verb: &ConfigVerb) -> Result<Outcome, Failure> {
    match verb {
        ConfigVerb::Check { file } => Ok(check(&file_of(which, file.as_deref())?)),
        ConfigVerb::Explain { key, markdown } => explain::explain(key.as_deref(), *markdown),
        ConfigVerb::Schema => Ok(explain::schema()),
        ConfigVerb::Show { effective: true } => effective(&file_of(which, None)?),
        ConfigVerb::Show { effective: false } => running::show(&Target::find(which)?),
        ConfigVerb::Diff { file } => apply::diff(&Target::find(which)?, &file_of(which, file.as_deref())?),
        ConfigVerb::Apply { file, why, epoch } => {
            apply::apply(&Target::find(which)?, &file_of(which, file.as_deref())?, why, *epoch)
        }
        ConfigVerb::History => history::history(&Target::journal(which)?),
        ConfigVerb::Rollback { epoch, why } => history::rollback(&Target::find(which)?, *epoch, why),
    }
}

/// The file that is meant: the one named here, or that of the instance.
fn file_of(which: &Which, file: Option<&Path>) -> Result<PathBuf, Failure> {
    file.or(which.config.as_deref())
        .map(Path::to_path_buf)
        .ok_or_else(|| Failure::usage("which file? name it, or give --config FILE"))
}

/// Whether the file is right, and everything that is wrong with it, each in its line.
fn check(file: &Path) -> Outcome {
    match Config::load(file) {
        Ok(config) => Outcome::ok(
            format!("{}: right, for instance {}\n", file.display(), config.instance.name),
            json!({ "file": file, "valid": true, "problems": [], "instance": config.instance.name }),
        ),
        Err(problems) => Outcome {
            text: problems.pictured(),
            json: json!({ "file": file, "valid": false, "problems": problems_json(&problems) }),
            code: exit::USAGE,
        },
    }
}

/// The file with every default filled in and secrets hidden.
fn effective(file: &Path) -> Result<Outcome, Failure> {
    let config = Config::load(file).map_err(Failure::usage)?;
    let text = config.effective_toml();
    Ok(Outcome::ok(text.clone(), json!({ "file": file, "toml": text, "values": tern_config::flat::values(&text) })))
}

/// Problems for programs.
pub(crate) fn problems_json(problems: &Problems) -> Vec<Value> {
    let problem = |problem: &Problem| {
        json!({
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "field": problem.field,
            "message": problem.message,
            "expected": problem.expected,
        })
    };
    problems.0.iter().map(problem).collect()
}
