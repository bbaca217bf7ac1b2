//! The run folder: pid files and the control socket's place.

use std::fs;
use std::path::{Path, PathBuf};

use tern_config::Paths;

use crate::DaemonError;

pub(crate) struct RunFolder {
    files: Vec<PathBuf>,
    leftovers: Vec<String>,
}

impl RunFolder {
    /// Makes the folder and clears what a killed daemon left. The caller holds the segment, so no other daemon lives.
    pub(crate) fn claim(paths: &Paths) -> Result<Self, DaemonError> {
        let run = &paths.run;
        fs::create_dir_all(run).map_err(DaemonError::io(format!("making the folder {}", run.display())))?;
        let files = vec![paths.daemon_pid(), paths.dataplane_pid(), paths.control_socket()];
        let mut leftovers = Vec::new();
        for file in [&files[0], &files[2]] {
            if fs::remove_file(file).is_ok() {
                leftovers.push(format!("removed {} of a daemon that was killed", file.display()));
            }
        }
        let leftover_facts = paths.daemon_facts();
        let _ = fs::remove_file(&leftover_facts);
        write_pid(&paths.daemon_pid(), std::process::id())?;
        Ok(Self { files, leftovers })
    }

    pub(crate) fn leftovers(&self) -> &[String] {
        &self.leftovers
    }

    /// Removes what shows that something runs; facts and logs stay for whoever asks later.
    pub(crate) fn release(self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

pub(crate) fn write_pid(path: &Path, pid: u32) -> Result<(), DaemonError> {
    fs::write(path, format!("{pid}\n")).map_err(DaemonError::io(format!("writing {}", path.display())))
}
