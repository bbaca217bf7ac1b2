//! Prints each message of an ITCH file, one a line, as decoded: for comparison with decoders of other people.
//!
//! Usage: `itch_dump FILE` (2-byte length prefixes, also zero ones).

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use tern_venues::itch_ouch::itch_file::ItchFile;
use tern_venues::itch_ouch::wire::itch::Message;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: itch_dump FILE");
        return ExitCode::from(2);
    };
    match dump(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("itch_dump: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dump(path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = std::fs::read(path)?;
    let mut out = BufWriter::new(io::stdout().lock());
    for message in ItchFile::new(&bytes) {
        match Message::decode(message?) {
            Ok(message) => writeln!(out, "{message:?}")?,
            Err(error) => writeln!(out, "error: {error}")?,
        }
    }
    Ok(out.flush()?)
}
