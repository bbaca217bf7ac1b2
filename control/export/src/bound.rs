//! Which journal an export is of. Segments have the same numbers in every journal: only the chain tells them apart.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tern_journal::{hex, segment_facts};

/// Where the segments that are done end.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Instance whose journal it is.
    instance: String,
    /// Chain at the end of the last segment that is done, in hexadecimal; zeros when none is.
    chain: String,
    /// `seq` of the first record of the segment after it; 0 when there is none.
    first_seq: u64,
    /// That record's time, TAI ns.
    first_tai_ns: u64,
}

impl Bound {
    /// What the journal has behind its first `segments` segments; `None` when it has not so many finished ones.
    ///
    /// # Errors
    /// A header is damaged or of another version, or cannot be read.
    pub(crate) fn behind(journal: &Path, segments: u64) -> Result<Option<Self>> {
        if let Some(next) = segment_facts(journal, segments + 1)? {
            return Ok(Some(Self {
                instance: next.instance,
                chain: hex(&next.previous),
                first_seq: next.first_seq,
                first_tai_ns: next.first_tai_ns,
            }));
        }
        let Some(last) = (segments > 0).then(|| segment_facts(journal, segments)).transpose()?.flatten() else {
            return Ok(None);
        };
        let Some(end) = last.end else { return Ok(None) };
        Ok(Some(Self { instance: last.instance, chain: hex(&end), first_seq: 0, first_tai_ns: 0 }))
    }

    /// Whether `found` is the same journal, as far as it is exported.
    pub(crate) fn is_same(&self, found: &Self, segments: u64) -> bool {
        let begins_alike = (self.first_seq, self.first_tai_ns) == (found.first_seq, found.first_tai_ns);
        // The chain holds all that is done. Of a first segment that is not, only its beginning is known.
        self.instance == found.instance && self.chain == found.chain && (segments > 0 || begins_alike)
    }

    /// As messages name it.
    pub(crate) fn name(&self, segments: u64) -> String {
        let Self { instance, chain, first_seq, first_tai_ns } = self;
        if segments == 0 {
            format!("instance `{instance}`, beginning with record {first_seq} at TAI ns {first_tai_ns}")
        } else {
            format!("instance `{instance}`, chain {chain} at the end of segment {segments}")
        }
    }
}
