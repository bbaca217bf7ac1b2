//! Records of a journal as the replay reads them.

use tern_abi::record::{Kind, RecordHeader};
use tern_abi::vec_recorder::VecRecorder;
use tern_config::facts::Names;
use tern_core::reconcile::LedgerExecution;
use tern_core::replay::{self, read_input};
use tern_core::units::TaiNs;
use tern_dataplane::assemble::RunState;
use tern_dataplane::recovery::{self, Known};
use tern_journal::recovered::Recovered;

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

/// A day of records of any bytes, as a restart takes it over, and a ledger of it as a pipeline does.
pub(super) fn recovered_day(data: &[u8]) {
    let mut journal = Recovered::default();
    let mut rest = data;
    let mut seq = 0;
    while let Some((&[kind, bytes], behind)) = rest.split_first_chunk::<2>() {
        let (body, behind) = behind.split_at(usize::from(bytes).min(behind.len()));
        rest = behind;
        seq += 1;
        let body_bytes = body.len() as u32;
        journal.apply(&RecordHeader { seq, tai_ns: seq, kind: u16::from(kind) % 80, flags: 0, body_bytes }, body);
    }
    let known = Known::of_day(journal.day.unwrap_or(0));
    let state = recovery::begin(&journal, &known, 0);
    assert_eq!(RunState::from_text(&state.to_line()), Some(state));
    let ledger = recovery::ledger(&journal, &state, &[]);
    assert!(ledger.orders.is_sorted_by(|one, other| one.id.0 < other.id.0));
    assert!(ledger.orders.iter().all(|order| order.id.0 < state.next_order_id.max(1) || order.id.0 == u32::MAX));
    let key = |execution: &LedgerExecution| (execution.match_number, execution.order.0);
    assert!(ledger.executions.is_sorted_by(|one, other| key(one) < key(other)));
}
