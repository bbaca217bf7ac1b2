//! An instance of its own for each test, and the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tern_config::Config;
use tern_hw::segment::SegmentSpec;

pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
    pub(crate) config: Config,
}

impl Bench {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tern-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("run")).expect("a temporary folder");
        let at = |file: &str| folder.join(file).display().to_string();
        let text = format!(
            "[instance]\nname = \"cli\"\n[paths]\nsegment = \"{}\"\njournal = \"{}\"\nrun = \"{}\"\n\
             [port]\nkind = \"socket\"\ninterface = \"lo\"\n\
             [rings]\norder_slots = 1024\ncapture_bytes = 1048576\ncommand_slots = 16\n",
            at("segment"),
            at("journal"),
            at("run")
        );
        std::fs::write(folder.join("tern.toml"), text).expect("a file");
        let config = Config::load(folder.join("tern.toml")).unwrap_or_else(|problems| panic!("{problems}"));
        Self { folder, config }
    }

    pub(crate) fn spec(&self) -> SegmentSpec {
        SegmentSpec {
            path: self.config.paths.segment_file().map(Path::to_path_buf),
            sizes: self.config.rings.sizes(),
            ..SegmentSpec::new(self.config.instance.name.clone())
        }
    }

    pub(crate) fn tern(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tern"))
            .env_remove("TERN_CONFIG")
            .arg("--config")
            .arg(self.config.file())
            .args(arguments)
            .output()
            .expect("it runs")
    }

    /// With `--json`: the exit code and what it printed.
    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.tern(&[&["--json"], arguments].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{output:?}"));
        (output.status.code().expect("it was not killed"), value)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
