//! Coverage-guided fuzzing of everything that reads bytes from outside. One binary, the target named in
//! `TERN_FUZZ_TARGET`; `scripts/checks/fuzz` runs each for a bounded number of executions.
#![no_main]

mod input;
mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("TERN_FUZZ_TARGET").unwrap_or_default();
        match targets::ALL.iter().find(|target| target.name == name) {
            Some(target) => target.run,
            None => {
                let known: Vec<String> = targets::ALL.iter().map(|t| format!("{}:{}", t.name, t.cost)).collect();
                eprintln!("TERN_FUZZ_TARGET={name}: no such target; there are {}", known.join(" "));
                std::process::exit(2);
            }
        }
    })(data);
});
