//! The words of the segment outside the rings. Each group has one writer, said at its type, and cache lines of its own.

use super::causes::KillCause;
use super::mirror::{Mirror, words_of};
use super::risk::{BoundsMirror, HoldingsMirror, LimitsMirror, SYMBOL_WORDS, UsageMirror};
use super::scopes::Scopes;
use crate::counters::Counters;
use crate::record::STRATEGY_TEXT_MAX;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Accounts that a data plane may trade for.
pub const ACCOUNTS: usize = 16;
/// Venue connections that a data plane may hold.
pub const CONNS: usize = 8;
/// Market-data streams with a trust word.
pub const STREAMS: usize = 64;
/// Strategies with a state word.
pub const STRATEGIES: usize = 16;
/// Words for refusals by reason.
pub const REFUSAL_WORDS: usize = 64;
/// Of [`Words::strategies`]: the bits with the state.
pub const STRATEGY_STATE: u64 = 0xFF;
/// Of [`Words::strategies`]: the data plane stopped it, and the table of scopes has no place that says so. Its id is in the upper
/// half then: the next run may have another order of strategies.
pub const STRATEGY_UNKEPT: u64 = 0x100;

/// Everything outside the rings, as it lies in the segment.
#[repr(C, align(128))]
pub struct Words {
    /// Stops trading; written by anyone who may.
    pub kill: KillWord,
    /// Restricts parts of it; written by anyone who may.
    pub scopes: Scopes,
    /// Version of [`scopes`](Self::scopes) that the loop acts by; written by the data plane.
    pub scopes_seen: Word,
    /// Counts runs of the data plane; written by the data plane at its start.
    pub runs: Word,
    /// Who the data plane is; written by it.
    pub data_plane: Owner,
    /// Who the daemon is; written by it.
    pub daemon: Owner,
    /// The data plane's sign of life; written by it.
    pub data_plane_beat: Beat,
    /// The daemon's sign of life; written by it.
    pub daemon_beat: Beat,
    /// `seq` of the next record; written by the recorder.
    pub next_seq: Word,
    /// Highest `seq` in the journal, and highest that is on disk for sure; written by the daemon.
    pub journaled_seq: Word,
    /// See [`journaled_seq`](Self::journaled_seq).
    pub durable_seq: Word,
    /// Next order id of each account; written by the data plane before it uses an id.
    pub next_order: NextOrders,
    /// Messages of the venue's day of each account; written by the data plane before a message leaves.
    pub messages: DayCounts,
    /// Whether it trades, and why not; written by the data plane.
    pub trading: Trading,
    /// How far the last cancel-all is, or the last cancelling of a halted scope; written by the data plane.
    pub cancel_all: CancelAll,
    /// Epoch of the limits in force; written by the data plane.
    pub limits_epoch: Word,
    /// The limits in force, who set them, when and why; written by the data plane before a command that sets them counts as
    /// taken.
    pub limits: LimitsMirror,
    /// Bounds of prices that were set by command; written by the data plane as [`limits`](Self::limits) are.
    pub bounds: BoundsMirror,
    /// What uses the limits now; written by the data plane every millisecond.
    pub usage: UsageMirror,
    /// The largest positions and open orders; written by the data plane each time that it has looked through all.
    pub holdings: HoldingsMirror,
    /// Symbols that the data plane knows: how many of the words after this one mean something. Written by it.
    pub symbol_count: Word,
    /// The symbols as 8 bytes, little-endian, by instrument id; written by the data plane.
    pub symbols: WordArray<SYMBOL_WORDS>,
    /// Where each order session is, a [`SessionState`](super::SessionState); written by the data plane.
    pub sessions: StateWords<CONNS>,
    /// Why each order session is not ready, a [`SessionFault`](super::SessionFault); written by the data plane.
    pub session_faults: StateWords<CONNS>,
    /// Trust in the books of each stream: 0 = no such stream, [`TRUSTED`](super::TRUSTED), or
    /// [`DISTRUSTED`](super::DISTRUSTED) and the index of the reason; written by the data plane.
    pub trust: StateWords<STREAMS>,
    /// State of each strategy, a number of the data plane's ([`STRATEGY_STATE`]), and [`STRATEGY_UNKEPT`] with its id; written by
    /// it.
    pub strategies: WordArray<STRATEGIES>,
    /// The last panic of each strategy; written by the data plane.
    pub crashes: [CrashMirror; STRATEGIES],
    /// What the loop counts; written by the data plane.
    pub counters: Counters,
    /// Refused intents by index of the gate's reason; written by the data plane.
    pub refusals: WordArray<REFUSAL_WORDS>,
    /// What each venue connection's TCP is at; written by the data plane.
    pub conns: [ConnMirror; CONNS],
}

/// One number with a single writer, on a cache line of its own.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Word(AtomicU64);

impl Word {
    /// The present value; what its writer wrote before is visible too.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Called by the single writer.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

/// Numbers by index with a single writer.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct WordArray<const N: usize>([AtomicU64; N]);

impl<const N: usize> WordArray<N> {
    /// The value at `index`, 0 if there is no such word.
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Called by the single writer; an index beyond the last does nothing.
    #[inline]
    pub fn set(&self, index: usize, value: u64) {
        if let Some(word) = self.0.get(index) {
            word.store(value, Ordering::Release);
        }
    }

    /// Called by the single writer; an index beyond the last does nothing.
    #[inline]
    pub fn add(&self, index: usize, n: u64) {
        if let Some(word) = self.0.get(index) {
            word.store(word.load(Ordering::Relaxed).wrapping_add(n), Ordering::Release);
        }
    }

    /// Every value.
    pub fn snapshot(&self) -> [u64; N] {
        core::array::from_fn(|index| self.get(index))
    }
}

/// Kills that are remembered with their cause and time.
const KILL_NOTES: usize = 8;

/// Numbers by index with a single writer, each with the time since which it is what it is.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct StateWords<const N: usize> {
    values: [AtomicU64; N],
    since_ns: [AtomicU64; N],
}

impl<const N: usize> StateWords<N> {
    /// The value at `index` and since when, TAI ns; zeros if there is no such word or it was never anything else. Read
    /// while it changes, the time may be the new one already.
    pub fn get(&self, index: usize) -> (u64, u64) {
        match (self.values.get(index), self.since_ns.get(index)) {
            (Some(value), Some(since_ns)) => (value.load(Ordering::Acquire), since_ns.load(Ordering::Relaxed)),
            _ => (0, 0),
        }
    }

    /// Called by the single writer, as often as it likes: the time stays as long as the value does. An index beyond the
    /// last does nothing.
    #[inline]
    pub fn set(&self, index: usize, value: u64, now_ns: u64) {
        if let (Some(word), Some(since_ns)) = (self.values.get(index), self.since_ns.get(index))
            && word.load(Ordering::Relaxed) != value
        {
            since_ns.store(now_ns, Ordering::Relaxed);
            word.store(value, Ordering::Release);
        }
    }
}

/// The kill word. Bit 0: killed; bits 1 to 31: number of kills so far; upper half: user id of the last one who killed.
///
/// Anyone may kill at any time, also with the daemon and the loop dead; the count makes that visible to a resume that
/// was decided on before. Beside the word stands why and when each of the last kills was, for people: whoever killed
/// writes it afterwards, in the place that the count gives it.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct KillWord {
    word: AtomicU64,
    notes: [NoteWords; KILL_NOTES],
}

/// One of the last kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KillNote {
    /// Which: [`KillState::kills`] right after it.
    pub kills: u32,
    /// The user who killed; `u32::MAX` = the system itself.
    pub uid: u32,
    /// Why.
    pub cause: KillCause,
    /// When, TAI ns.
    pub tai_ns: u64,
}

/// A [`KillNote`] in place `kills % KILL_NOTES`; `kills` is written last, 0 while the rest is.
#[repr(C)]
#[derive(Debug, Default)]
struct NoteWords {
    kills: AtomicU64,
    uid_and_cause: AtomicU64,
    tai_ns: AtomicU64,
}

/// What a kill word said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KillState {
    /// The word itself, to be given to [`KillWord::clear`].
    pub word: u64,
}

impl KillState {
    /// Whether trading must stop.
    #[inline]
    pub const fn killed(self) -> bool {
        self.word & 1 != 0
    }

    /// Kills since the segment was created.
    pub const fn kills(self) -> u32 {
        self.word as u32 >> 1
    }

    /// The user who killed last.
    pub const fn uid(self) -> u32 {
        (self.word >> 32) as u32
    }

    /// The lower half, as [`crate::command::Command::kill_word`] carries it.
    pub const fn low(self) -> u32 {
        self.word as u32
    }
}

impl KillWord {
    /// What it says now.
    #[inline]
    pub fn state(&self) -> KillState {
        KillState { word: self.word.load(Ordering::Acquire) }
    }

    /// Stops trading in the name of `uid` at `tai_ns`; killing again counts again.
    pub fn kill(&self, uid: u32, cause: KillCause, tai_ns: u64) -> KillState {
        let state = self.count(uid);
        let note = &self.notes[state.kills() as usize % KILL_NOTES];
        note.kills.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        note.uid_and_cause.store(u64::from(uid) << 32 | cause as u64, Ordering::Relaxed);
        note.tai_ns.store(tai_ns, Ordering::Relaxed);
        note.kills.store(state.kills().into(), Ordering::Release);
        state
    }

    /// What was written of the kill that made the count `kills`; `None` if it is long ago or was never written.
    pub fn note(&self, kills: u32) -> Option<KillNote> {
        let note = &self.notes[kills as usize % KILL_NOTES];
        let is_it = |found: u64| kills != 0 && found == u64::from(kills);
        if !is_it(note.kills.load(Ordering::Acquire)) {
            return None;
        }
        let uid_and_cause = note.uid_and_cause.load(Ordering::Relaxed);
        let tai_ns = note.tai_ns.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let cause = KillCause::from_index(uid_and_cause as u32 as usize).unwrap_or(KillCause::Unknown);
        is_it(note.kills.load(Ordering::Relaxed)).then_some(KillNote {
            kills,
            uid: (uid_and_cause >> 32) as u32,
            cause,
            tai_ns,
        })
    }

    fn count(&self, uid: u32) -> KillState {
        let mut old = self.word.load(Ordering::Relaxed);
        loop {
            let kills = (old as u32 >> 1).wrapping_add(1) << 1;
            let new = u64::from(uid) << 32 | u64::from(kills) | 1;
            match self.word.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return KillState { word: new },
                Err(now) => old = now,
            }
        }
    }

    /// Lets trading resume, if nobody killed since `expected` was read.
    ///
    /// # Errors
    /// What the word says instead.
    pub fn clear(&self, expected: KillState) -> Result<KillState, KillState> {
        let new = expected.word & !1;
        match self.word.compare_exchange(expected.word, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(KillState { word: new }),
            Err(word) => Err(KillState { word }),
        }
    }

    /// Lets trading resume, if nobody killed since somebody saw the count at `kills_seen`. One exchange of the whole
    /// word decides: a kill is either counted before it, and it fails, or comes after it, and stops trading again.
    ///
    /// # Errors
    /// What the word says instead; it is as it was.
    pub fn clear_seen(&self, kills_seen: u32) -> Result<KillState, KillState> {
        let mut state = self.state();
        while state.kills() == kills_seen {
            match self.clear(state) {
                Ok(cleared) => return Ok(cleared),
                Err(now) => state = now,
            }
        }
        Err(state)
    }
}

/// Who a process is: its id alone may have been given to another one since.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Owner {
    pid: AtomicU64,
    start_ticks: AtomicU64,
}

impl Owner {
    /// `start_ticks` is field 22 of `/proc/PID/stat`.
    pub fn set(&self, pid: u32, start_ticks: u64) {
        self.start_ticks.store(start_ticks, Ordering::Relaxed);
        self.pid.store(pid.into(), Ordering::Release);
    }

    /// Process id and start time, if the process has ever been here.
    pub fn get(&self) -> Option<(u32, u64)> {
        let pid = self.pid.load(Ordering::Acquire) as u32;
        (pid != 0).then(|| (pid, self.start_ticks.load(Ordering::Relaxed)))
    }
}

/// A sign of life.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Beat {
    tai_ns: AtomicU64,
    count: AtomicU64,
}

impl Beat {
    /// Alive at `tai_ns`, having done `count` of whatever this process counts (turns of the loop, of the drain).
    #[inline]
    pub fn beat(&self, tai_ns: u64, count: u64) {
        self.count.store(count, Ordering::Relaxed);
        self.tai_ns.store(tai_ns, Ordering::Release);
    }

    /// Time of the last sign of life, TAI ns, and its count.
    pub fn last(&self) -> (u64, u64) {
        (self.tai_ns.load(Ordering::Acquire), self.count.load(Ordering::Relaxed))
    }
}

/// Next order id of each account, with the day it counts for.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct NextOrders([AtomicU64; ACCOUNTS]);

/// The next order id of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextOrder {
    /// The trading day that the ids count in, as the data plane numbers days; ids start again on another one.
    pub day: u32,
    /// The next id that was never used; 0 = none was used yet.
    pub next: u32,
}

impl NextOrders {
    /// Of the account with this index.
    pub fn get(&self, account: usize) -> NextOrder {
        let word = self.0.get(account).map_or(0, |word| word.load(Ordering::Acquire));
        NextOrder { day: (word >> 32) as u32, next: word as u32 }
    }

    /// Called by the data plane before the bytes of the order with id `next - 1` exist anywhere.
    #[inline]
    pub fn set(&self, account: usize, next: NextOrder) {
        if let Some(word) = self.0.get(account) {
            word.store(u64::from(next.day) << 32 | u64::from(next.next), Ordering::Release);
        }
    }
}

/// A count of each account that begins again with the venue's day.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct DayCounts([AtomicU64; ACCOUNTS]);

/// One of the [`DayCounts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCount {
    /// The trading day that is counted, as the data plane numbers days.
    pub day: u32,
    /// The count.
    pub count: u32,
}

impl DayCounts {
    /// Of the account with this index.
    pub fn get(&self, account: usize) -> DayCount {
        let word = self.0.get(account).map_or(0, |word| word.load(Ordering::Acquire));
        DayCount { day: (word >> 32) as u32, count: word as u32 }
    }

    /// Called by the data plane.
    #[inline]
    pub fn set(&self, account: usize, counted: DayCount) {
        if let Some(word) = self.0.get(account) {
            word.store(u64::from(counted.day) << 32 | u64::from(counted.count), Ordering::Release);
        }
    }
}

/// Whether the data plane trades.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Trading {
    word: AtomicU64,
    since_ns: AtomicU64,
}

impl Trading {
    /// Called by the data plane, as often as it likes; `reason` is the index of its halt reason.
    pub fn set(&self, trading: bool, reason: u32, now_ns: u64) {
        let word = u64::from(trading) << 32 | u64::from(reason);
        if self.word.load(Ordering::Relaxed) != word {
            self.since_ns.store(now_ns, Ordering::Relaxed);
            self.word.store(word, Ordering::Release);
        }
    }

    /// Whether it trades, and the halt reason if not.
    pub fn get(&self) -> (bool, u32) {
        let word = self.word.load(Ordering::Acquire);
        (word >> 32 != 0, word as u32)
    }

    /// Since when that is so, TAI ns; 0 = nobody has said anything yet.
    pub fn since_ns(&self) -> u64 {
        self.since_ns.load(Ordering::Relaxed)
    }
}

/// How far the last cancel-all is. Trading goes on meanwhile, so the orders that were open when it came are followed, and
/// no later ones.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct CancelAll {
    count: AtomicU64,
    open: AtomicU64,
    pending: AtomicU64,
}

/// What [`CancelAll`] said at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CancelAllState {
    /// Cancel-alls that the loop has taken so far.
    pub count: u64,
    /// Orders that were open when it took the last one.
    pub open: u64,
    /// Those that still are.
    pub pending: u64,
}

impl CancelAll {
    /// Called by the data plane when it has taken one with so many orders open.
    pub fn begin(&self, open: u64) {
        self.pending.store(open, Ordering::Relaxed);
        self.open.store(open, Ordering::Relaxed);
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Called by the data plane: so many of them are still open.
    pub fn set_pending(&self, pending: u64) {
        self.pending.store(pending, Ordering::Release);
    }

    /// The present state. A cancel-all that comes while this reads may lend it its numbers already.
    pub fn get(&self) -> CancelAllState {
        let count = self.count.load(Ordering::Acquire);
        let pending = self.pending.load(Ordering::Acquire);
        CancelAllState { count, open: self.open.load(Ordering::Relaxed), pending }
    }
}

/// What the TCP of a venue connection is at, so that the connection can be ended from outside when the loop cannot.
///
/// All of it in the order of the host; addresses as their bytes stand in the packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ConnState {
    /// Our MAC address.
    pub own_mac: [u8; 6],
    /// MAC address of the next hop.
    pub peer_mac: [u8; 6],
    /// Our IPv4 address.
    pub own_ip: [u8; 4],
    /// The venue's IPv4 address.
    pub peer_ip: [u8; 4],
    /// Our TCP port.
    pub own_port: u16,
    /// The venue's TCP port.
    pub peer_port: u16,
    /// First byte that the venue has not acknowledged.
    pub snd_una: u32,
    /// Next byte that we send.
    pub snd_nxt: u32,
    /// The venue's window, bytes after scaling.
    pub snd_wnd: u32,
    /// Next byte that we expect.
    pub rcv_nxt: u32,
    /// Our window, bytes after scaling.
    pub rcv_wnd: u32,
    /// One of the `CONN_STATE_` values.
    pub state: u32,
    /// When this was written, TAI ns.
    pub tai_ns: u64,
}

/// [`ConnState::state`]: no connection.
pub const CONN_STATE_CLOSED: u32 = 0;
/// [`ConnState::state`]: being opened.
pub const CONN_STATE_OPENING: u32 = 1;
/// [`ConnState::state`]: established.
pub const CONN_STATE_ESTABLISHED: u32 = 2;
/// [`ConnState::state`]: being closed.
pub const CONN_STATE_CLOSING: u32 = 3;
/// [`ConnState::state`]: established in the kernel: addresses and ports alone mean something.
pub const CONN_STATE_KERNEL: u32 = 4;

/// A [`ConnState`] for readers that do not stop its writer.
pub type ConnMirror = Mirror<ConnState, { words_of::<ConnState>() }>;

/// The last panic of a strategy, for people.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CrashState {
    /// When, TAI ns.
    pub tai_ns: u64,
    /// What it said and where it was: UTF-8, then zeros.
    text: [u8; STRATEGY_TEXT_MAX],
}

impl CrashState {
    /// A panic at `tai_ns`; text beyond the bound is cut off.
    pub fn new(tai_ns: u64, text: &str) -> Self {
        let cut = text.floor_char_boundary(STRATEGY_TEXT_MAX);
        let mut bytes = [0; STRATEGY_TEXT_MAX];
        bytes.iter_mut().zip(text.as_bytes().iter().take(cut)).for_each(|(place, byte)| *place = *byte);
        Self { tai_ns, text: bytes }
    }

    /// What it said and where it was; empty when that is no text.
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.text).unwrap_or_default().trim_end_matches('\0')
    }
}

/// A [`CrashState`] for readers that do not stop its writer.
pub type CrashMirror = Mirror<CrashState, { words_of::<CrashState>() }>;
