//! `tern export`: hands over to `tern-export`, which has a column format that nobody needs who trades.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::outcome::Failure;

/// Becomes `tern-export` for this journal. Only comes back with why it could not.
pub(crate) fn hand_over(journal: &Path, arguments: &[OsString], json: bool) -> Failure {
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(|folder| folder.join("tern-export")));
    let program = beside.filter(|path| path.exists()).unwrap_or_else(|| "tern-export".into());
    let mut command = Command::new(&program);
    command.arg(journal).args(arguments);
    if json {
        command.arg("--json");
    }
    let error = command.exec();
    Failure::failed(format!("cannot run {}: {error}; it is installed beside `tern`", program.display()))
}
