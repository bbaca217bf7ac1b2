//! Files: journals that were damaged or cut, and ITCH files. They lie in the folder in which the fuzzer runs.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use tern_abi::record::{Kind, RecordHeader};
use tern_journal::{Options, Reader, Writer, verify};
use tern_sim::source::Source;

use crate::input::Choices;

/// An empty folder of this target.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(name).with_extension("files");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Records of the journal that is damaged.
const RECORDS: u64 = 30;

fn options() -> Options {
    Options { segment_bytes: 1500, ..Options::new("fuzz") }
}

fn body(seq: u64) -> Vec<u8> {
    (0..seq * 7 % 90).map(|index| (seq + index) as u8).collect()
}

fn header(seq: u64, body: &[u8]) -> RecordHeader {
    RecordHeader { seq, tai_ns: 1000 + seq, kind: Kind::State as u16, flags: 0, body_bytes: body.len() as u32 }
}

/// A journal of a few segments, the last one unfinished: its files, the last segment at the end, and its head.
type Files = (Vec<(PathBuf, Vec<u8>)>, Vec<u8>);

fn whole() -> Files {
    // Several targets run in the same folder at the same time.
    let folder = folder(&format!("whole-{}", std::process::id()));
    let (mut writer, _) = Writer::open(&folder, options()).expect("a journal");
    for seq in 1..=RECORDS {
        let body = body(seq);
        writer.append(&header(seq, &body), &body).expect("takes it");
    }
    // Not synced: what lies behind the last finished segment may be torn.
    writer.flush().expect("writes");
    drop(writer);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .map(|path| (path.file_name().expect("a name").into(), fs::read(&path).expect("reads")))
        .collect();
    files.sort();
    assert!(files.len() > 1);
    (files, fs::read(folder.join("head")).expect("the head"))
}

thread_local! {
    static WHOLE: OnceCell<Files> = const { OnceCell::new() };
}

/// The journal as it was, but for what the fuzzer did to it: a file cut, then bytes overwritten or appended. Returns
/// whether anything before the end of the last file was touched.
fn damaged(folder: &Path, mut choices: Choices<'_>) -> bool {
    WHOLE.with(|files| {
        // The head is left as it is.
        let (mut files, head) = files.get_or_init(whole).clone();
        let last = files.len() - 1;
        let mut inside = false;
        while !choices.is_empty() {
            let file = usize::from(choices.u8()) % (last + 1);
            let bytes = &mut files[file].1;
            let at = usize::from(choices.u16()) % (bytes.len() + 1);
            match choices.u8() % 3 {
                0 => bytes.truncate(at),
                1 => {
                    let piece = choices.piece();
                    let length = piece.len().min(bytes.len() - at);
                    bytes[at..at + length].copy_from_slice(&piece[..length]);
                    inside = true;
                }
                _ => bytes.extend_from_slice(choices.piece()),
            }
            inside |= file != last;
        }
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).expect("writes");
        }
        fs::write(folder.join("head"), head).expect("writes");
        inside
    })
}

/// Reads every record that can be read; how many. Unless the fuzzer wrote over records (it can forge a checksum), each
/// is as it was written, in order and without a gap.
fn read(folder: &Path, inside: bool) -> Result<u64, ()> {
    let mut reader = Reader::open(folder).map_err(|_| ())?;
    let mut count = 0;
    while let Some(record) = reader.next().map_err(|_| ())? {
        count += 1;
        if !inside && count <= RECORDS {
            assert_eq!((record.header.seq, record.body), (count, &body(count)[..]));
        }
    }
    Ok(count)
}

/// What recovery takes, reads without an error, and goes on from where it says.
pub(super) fn journal_recover(data: &[u8]) {
    let folder = folder("journal_recover");
    let inside = damaged(&folder, Choices(data));
    let Ok((mut writer, recovered)) = Writer::open(&folder, options()) else { return };
    let next = recovered.last_seq + 1;
    let added = body(next);
    writer.append(&header(next, &added), &added).expect("takes it");
    writer.sync().expect("syncs");
    drop(writer);
    // Recovery looks at finished segments from both ends only; and appended bytes may have been forged records.
    if !inside && recovered.last_seq <= RECORDS {
        assert_eq!(read(&folder, inside), Ok(next), "a torn end was not recovered");
    }
}

/// Reading and verifying never take what is damaged for what was written.
pub(super) fn journal_read(data: &[u8]) {
    let folder = folder("journal_read");
    let inside = damaged(&folder, Choices(data));
    let count = read(&folder, inside);
    if let (Ok(count), Ok(verified)) = (count, verify(&folder))
        && verified.is_whole()
    {
        assert!(verified.records >= count.min(1) && verified.unexplained() == 0);
    }
}

/// An ITCH file as the exchange plays it: times never go back, and every message comes.
pub(super) fn itch_source(data: &[u8]) {
    let path = folder("itch_source").join("day.itch");
    fs::write(&path, data).expect("writes");
    let Ok(mut source) = Source::file(&path) else { return };
    let (mut count, mut last_ns) = (0, 0);
    while let Some(now_ns) = source.next_ns() {
        assert!(now_ns >= last_ns && source.next().is_some());
        (count, last_ns) = (count + 1, now_ns);
        source.step().expect("the file was checked");
    }
    assert_eq!(count, source.expected());
}
