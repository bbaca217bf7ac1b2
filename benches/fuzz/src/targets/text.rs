//! Text that people or other programs write.

use std::fmt::Write;
use std::path::Path;

use tern_config::Config;
use tern_config::protocol::Request;
use tern_sim::lobster::{UnknownOrders, convert};
use tern_venues::itch_ouch::itch_file::ItchFile;

use crate::input::Choices;

/// Lines of a LOBSTER message file: any text, or the six columns with any numbers.
pub(super) fn lobster(data: &[u8]) {
    let mut choices = Choices(data);
    let unknown = [UnknownOrders::Seed, UnknownOrders::Drop, UnknownOrders::Keep][usize::from(choices.u8()) % 3];
    let made;
    let text = if choices.u8() & 1 == 0 {
        choices.0
    } else {
        made = lines(choices);
        made.as_bytes()
    };
    let mut out = Vec::new();
    let Ok((summary, sequences)) = convert(text, &mut out, "AAPL", unknown) else { return };
    let messages = ItchFile::new(&out).inspect(|message| assert!(message.is_ok(), "what is written is read")).count();
    let messages = messages as u64;
    assert_eq!(messages, summary.messages);
    assert!(sequences.iter().all(|sequence| *sequence <= messages));
    assert_eq!(sequences.len() as u64, summary.events);
}

fn lines(mut choices: Choices<'_>) -> String {
    let mut text = String::new();
    let mut seconds = 34_200_u64;
    while !choices.is_empty() {
        seconds += u64::from(choices.u8() & 3);
        let (kind, order) = (choices.u8() % 9, choices.u8() % 16);
        let shares = if choices.u8() & 7 == 0 { choices.u32() } else { u32::from(choices.u8()) };
        let price = if choices.u8() & 7 == 0 { i64::from(choices.u32().cast_signed()) } else { 5_850_000 };
        let side = if choices.u8() & 1 == 0 { 1 } else { -1 };
        let _ = writeln!(text, "{seconds}.{:09},{kind},{order},{shares},{price},{side}", choices.u16());
    }
    text
}

/// The example with one line's value replaced, or any text.
pub(super) fn config(data: &[u8]) {
    const EXAMPLE: &str = include_str!("../../../../control/config/example.toml");
    let Some((&line, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    // A file named in the configuration would be read, whatever it is.
    if text.contains("password_file") {
        return;
    }
    let lines = EXAMPLE.lines().count();
    let chosen = usize::from(line);
    let text = if chosen >= lines {
        text.to_owned()
    } else {
        let replace = |(index, line): (usize, &str)| match (index == chosen, line.split_once('=')) {
            (true, Some((key, _))) => format!("{key}={text}\n"),
            (true, None) => format!("{text}\n"),
            _ => format!("{line}\n"),
        };
        EXAMPLE.lines().enumerate().map(replace).collect()
    };
    let was_taken = match Config::journaled(&text) {
        Ok(_) => true,
        Err(problems) => {
            assert!(!problems.0.is_empty());
            false
        }
    };
    match Config::parse(Path::new("fuzz"), &text) {
        Ok(config) => {
            assert!(was_taken, "what is right today is right in a journal");
            let effective = config.effective_toml();
            let again = Config::parse(Path::new("again"), &effective).map(|config| config.effective_toml());
            assert_eq!(again.ok(), Some(effective), "the effective configuration is one");
        }
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

/// A line on the daemon's socket.
pub(super) fn control_request(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<Request>(data) else { return };
    let line = serde_json::to_string(&request).expect("a request is JSON");
    assert_eq!(serde_json::from_str::<Request>(&line).ok(), Some(request));
}
