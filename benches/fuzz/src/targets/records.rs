//! Records of a journal as the replay reads them.

use tern_abi::record::Kind;
use tern_abi::vec_recorder::VecRecorder;
use tern_config::facts::Names;
use tern_core::replay::{self, read_input};
use tern_core::units::TaiNs;
use tern_dataplane::assemble::RunState;

/// What is read as an input is written as the same record again.
fn read_and_write(kind: Kind, body: &[u8]) {
    let now = TaiNs(77);
    let Ok(recorded) = read_input(now, kind, body) else { return };
    let mut recorder = VecRecorder::default();
    replay::record_input(&mut recorder, now, &recorded.input()).expect("memory does not run full");
    let (header, again) = recorder.iter().next().expect("one record");
    assert_eq!(header.kind, kind as u16);
    let reread = read_input(now, kind, again).expect("what was written is read");
    assert_eq!(format!("{recorded:?}"), format!("{reread:?}"));
}

pub(super) fn record_input(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else { return };
    if let Some(kind) = Kind::from_u16(u16::from(kind) % 32) {
        read_and_write(kind, body);
    }
}

/// The text of a start record: configuration, how the run began, names.
pub(super) fn start_record(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (configuration, _) = Names::split_start_text(text);
    assert!(text.starts_with(configuration));
    if let Some(state) = RunState::from_text(configuration) {
        assert_eq!(RunState::from_text(&state.to_line()), Some(state));
    }
}
