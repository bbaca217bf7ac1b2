//! Whatever the records hold, it goes on and panics never.

mod common;

use common::*;
use proptest::prelude::*;
use tern_abi::record::{Kind, RecordHeader};
use tern_audit::Audit;

proptest! {
    #[test]
    fn records_of_any_bytes_are_taken(
        records in prop::collection::vec((0..80_u16, any::<u64>(), prop::collection::vec(any::<u8>(), 0..120)), 0..60)
    ) {
        let mut audit = Audit::new();
        for (header, body) in Day::new().records() {
            audit.record(header, body);
        }
        let before = audit.counts().records;
        let mut known = 0;
        for (kind, tai_ns, body) in records {
            known += u64::from(Kind::from_u16(kind).is_some());
            let header = RecordHeader { seq: 100, tai_ns, kind, flags: 0, body_bytes: body.len() as u32 };
            audit.record(&header, &body);
        }
        audit.finish();
        prop_assert_eq!(audit.counts().records, before + known);
        prop_assert_eq!(audit.take_found().len() as u64, audit.counts().disagreements);
    }

    #[test]
    fn a_flipped_byte_in_a_day_is_no_panic(at in any::<prop::sample::Index>(), bits in 1..=255_u8) {
        let mut day = Day::new();
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.order(replace(1, 2, BUY, 100));
        day.said(&replaced(&replace(1, 2, BUY, 100), 40));
        day.position(60);
        let mut records = day.records().to_vec();
        let total = records.iter().map(|(_, body)| body.len()).sum();
        let mut place = at.index(total);
        for (_, body) in &mut records {
            if place < body.len() {
                body[place] ^= bits;
                break;
            }
            place -= body.len();
        }
        let mut audit = Audit::new();
        records.iter().for_each(|(header, body)| audit.record(header, body));
        audit.finish();
        prop_assert_eq!(audit.counts().records, records.len() as u64);
    }
}
