//! The files that are made from the table.

use std::fs;
use std::path::Path;

use crate::{dashboard, page, promtool, rules};

/// Path below the root of the sources, and content, of each.
pub fn files() -> Vec<(&'static str, String)> {
    vec![
        ("docs/METRICS.md", page::page()),
        ("docs/metrics/tern.rules.yml", rules::yaml()),
        ("docs/metrics/tern.rules.test.yml", promtool::yaml()),
        ("docs/metrics/tern.dashboard.json", format!("{:#}\n", dashboard::dashboard())),
    ]
}

/// Writes all of them.
///
/// # Errors
/// Which could not be written, and why.
pub fn write(root: &Path) -> Result<(), String> {
    for (path, text) in files() {
        let path = root.join(path);
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_from_the_table_is_not_stale() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (path, text) in files() {
            let found = fs::read_to_string(root.join(path)).unwrap_or_default();
            assert!(found == text, "{path} is stale: `cargo run -p tern-metrics -- --make .` writes it");
        }
    }
}
