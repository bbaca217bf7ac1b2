//! The sections of the file. What each key means and what is right for it stands in [`crate::fields`].

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use tern_abi::segment::SegmentSizes;

use crate::day::{TimeOfDay, UtcOffset};
use crate::firm::FirmSection;
use crate::managed::Day;
use crate::opening::Opening;
use crate::operations::{Alerts, Daemon, Journal, Metrics, Roles};
use crate::parts::{StrategyLimits, SymbolLimits};
use crate::paths::Paths;
use crate::reference::Reference;
use crate::second::{Audit, DropCopy};
use crate::secret::Secret;
use crate::values::{Core, Mac, Network};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One instance: what the file says, with every default filled in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Other files that belong to this one, beside it unless their paths are absolute: each with tables of its own, a table in one
    /// of them alone. Paths in them count from this file. Before the first table.
    #[serde(default, skip_serializing)]
    pub include: Vec<PathBuf>,
    /// Who this is.
    pub instance: Instance,
    /// Where its files are.
    #[serde(default)]
    pub paths: Paths,
    /// The interface that carries everything.
    pub port: Port,
    /// How the pinned loop runs.
    #[serde(default, rename = "loop")]
    pub run_loop: Loop,
    /// Sizes of the rings in the segment.
    #[serde(default)]
    pub rings: Rings,
    /// What memory is taken at start.
    #[serde(default)]
    pub capacity: Capacity,
    /// Lines of the multicast feeds.
    #[serde(default)]
    pub feed: Vec<Feed>,
    /// The venue's order gateway; absent when the instance only observes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// The venue's second, read-only stream of what it tells us; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_copy: Option<DropCopy>,
    /// The second opinion.
    #[serde(default)]
    pub audit: Audit,
    /// Strategies, in the order in which they are called.
    #[serde(default)]
    pub strategy: Vec<Strategy>,
    /// Limits of the gate at start.
    #[serde(default)]
    pub limits: Limits,
    /// Whose allotments its limits are; absent where they are the firm's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firm: Option<FirmSection>,
    /// Who may change limits while it runs.
    #[serde(default)]
    pub roles: Roles,
    /// Restricted symbols and what may be sold short, for one day; absent where nothing is known of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// What is held when the day begins; absent when that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Opening>,
    /// How the trading day is led.
    #[serde(default)]
    pub day: Day,
    /// Supervision.
    #[serde(default)]
    pub daemon: Daemon,
    /// Alerts and where they go.
    #[serde(default)]
    pub alerts: Alerts,
    /// Metrics for scrapers.
    #[serde(default)]
    pub metrics: Metrics,
    /// Journal files.
    #[serde(default)]
    pub journal: Journal,
    /// The files of the day that it names: section and path.
    #[serde(skip)]
    pub(crate) named: Vec<(&'static str, PathBuf)>,
    /// The text it came from, for messages.
    #[serde(skip)]
    pub(crate) source: crate::locate::Source,
}

/// `[instance]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Names the segment, the pins and the control socket.
    pub name: String,
}

/// What a key says that leaves the choice to us.
pub(crate) const AUTO: &str = "auto";

/// What carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PortKind {
    /// AF_XDP sockets behind our own XDP program.
    Xdp,
    /// Kernel sockets.
    Socket,
}

/// How the XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// In the driver, or generic where the driver cannot.
    Auto,
    /// In the driver or not at all.
    Native,
    /// By the stack, on copied frames.
    Generic,
}

/// Something that is asked for and done without where it cannot be had, or not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AutoOff {
    /// Asked for, with a fallback.
    Auto,
    /// Not asked for.
    Off,
}

/// `[port]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Port {
    /// What carries the frames.
    pub kind: PortKind,
    /// Interface name.
    pub interface: String,
    /// RX queues.
    pub queues: Vec<u32>,
    /// Attach mode.
    pub attach: Attach,
    /// Zero-copy.
    pub zero_copy: AutoOff,
    /// Entries of the RX and of the fill ring.
    pub ring_frames: u32,
    /// Huge pages for frames and arenas.
    pub huge_pages: AutoOff,
    /// Our own address, for order sessions over AF_XDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Network>,
    /// Next hop for addresses outside our network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// Our MAC address.
    pub mac: Mac,
}

impl Default for Port {
    fn default() -> Self {
        Self {
            kind: PortKind::Xdp,
            interface: String::new(),
            queues: vec![0],
            attach: Attach::Auto,
            zero_copy: AutoOff::Auto,
            ring_frames: 32768,
            huge_pages: AutoOff::Auto,
            address: None,
            gateway: None,
            mac: Mac::Auto,
        }
    }
}

/// How the loop waits for the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Polls without pause; a core of its own.
    Spin,
    /// Blocks in the kernel.
    Block,
}

/// What becomes of resting orders whose book loses trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UntrustedBook {
    /// They are cancelled.
    Pull,
    /// They stay; nothing new leaves on the book, and cancels do.
    Hold,
}

/// `[loop]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Loop {
    /// Where the loop is pinned.
    pub core: Core,
    /// SCHED_FIFO for the loop.
    pub sched_fifo: bool,
    /// The data plane gives away capabilities, files and system calls once it turns (adr/0040).
    pub sandbox: AutoOff,
    /// How it waits.
    pub wait: Wait,
    /// One datagram in so many without an order has its stages stamped; 0 = none.
    pub sample_stages_every: u32,
    /// A stream is not trusted after so long without a packet of its session, heartbeats included.
    pub feed_silence_ms: u64,
    /// What becomes of resting orders whose book loses trust.
    pub on_untrusted_book: UntrustedBook,
    /// How long a call to a strategy may take; 0 = it is not measured. Calls are measured on sampled datagrams
    /// (`sample_stages_every`) and whenever no datagram is the cause.
    pub strategy_budget_us: u64,
    /// So many calls beyond the budget within the window stop the strategy; 0 = they are only counted.
    pub strategy_overruns_max: u32,
    /// The window.
    pub strategy_overruns_window_ms: u64,
}

impl Default for Loop {
    fn default() -> Self {
        Self {
            core: Core::Auto,
            sched_fifo: false,
            sandbox: AutoOff::Auto,
            wait: Wait::Spin,
            sample_stages_every: 64,
            feed_silence_ms: 3500,
            on_untrusted_book: UntrustedBook::Pull,
            strategy_budget_us: 1000,
            strategy_overruns_max: 20,
            strategy_overruns_window_ms: 10_000,
        }
    }
}

/// `[rings]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rings {
    /// Slots of the order ring.
    pub order_slots: u32,
    /// Bytes of the capture ring.
    pub capture_bytes: u64,
    /// Slots of the command ring.
    pub command_slots: u32,
}

impl Rings {
    /// The sizes with which the segment is made and opened. An eighth of the order ring is kept for what a halt needs.
    pub const fn sizes(&self) -> SegmentSizes {
        SegmentSizes {
            order_slots: self.order_slots as usize,
            order_reserve_slots: self.order_slots as usize / 8,
            capture_bytes: self.capture_bytes as usize,
            command_slots: self.command_slots as usize,
        }
    }
}

impl Default for Rings {
    fn default() -> Self {
        Self { order_slots: 65536, capture_bytes: 1 << 28, command_slots: 256 }
    }
}

/// `[capacity]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// Instruments.
    pub instruments: u32,
    /// Live orders in all books.
    pub orders: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { instruments: 12_000, orders: 6_000_000 }
    }
}

/// Line of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Line {
    /// The first.
    A,
    /// Its twin.
    B,
}

impl Line {
    /// 0 for A, 1 for B: the number in records.
    pub const fn index(self) -> u8 {
        self as u8
    }
}

/// `[[feed]]`: one line of one stream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Protocol, by its name in the registry.
    pub venue: String,
    /// Stream id, our own numbering.
    pub stream: u16,
    /// Line of the stream.
    #[serde(default = "line_a")]
    pub line: Line,
    /// Multicast group.
    pub group: Ipv4Addr,
    /// UDP port.
    pub port: u16,
}

const fn line_a() -> Line {
    Line::A
}

/// Who lets trading go on after a restart in mid-day, when the venue's log and the journal agree. Where they do not, and
/// where trading was stopped before, it is an operator in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AfterRestart {
    /// An operator, by `tern resume`.
    #[default]
    Operator,
    /// Nobody has to: that they agree is enough.
    Agreement,
}

/// `[session]`: the venue's order gateway.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Protocol, by its name in the registry.
    pub venue: String,
    /// Gateway.
    pub address: SocketAddrV4,
    /// User.
    pub user: String,
    /// Password; filled from `password_file` where that is given.
    #[serde(default)]
    pub password: Secret,
    /// File whose first line is the password; relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Account id, our own numbering.
    pub account: u16,
    /// Firm, as the venue knows it; empty = the session's default.
    #[serde(default)]
    pub firm: String,
    /// We send a heartbeat after so long without a message.
    #[serde(default = "heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// The session is dropped after so long without a byte from the venue.
    #[serde(default = "silence_ms")]
    pub silence_ms: u64,
    /// Pause before connecting again.
    #[serde(default = "reconnect_ms")]
    pub reconnect_ms: u64,
    /// The venue has to answer an order, a replace and a cancel within so long. One that it does not answer counts as open
    /// and is cancelled; after as long again trading stops.
    #[serde(default = "ack_timeout_ms")]
    pub ack_timeout_ms: u64,
    /// How the port is set at the venue.
    #[serde(default = "yes")]
    pub cancel_on_disconnect: bool,
    /// Who lets trading go on after a restart in mid-day, when the venue's log and the journal agree.
    #[serde(default)]
    pub after_restart: AfterRestart,
    /// When the venue's trading day begins, in its time: order ids count within a day. Choose an hour in which nothing
    /// trades, so that it does not matter when the venue's clocks are set forward or back.
    #[serde(default)]
    pub day_starts: TimeOfDay,
    /// The venue's time: what is added to UTC.
    #[serde(default)]
    pub utc_offset: UtcOffset,
    /// From when orders may be sent, in the venue's time; absent: at any time before `orders_until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders_from: Option<TimeOfDay>,
    /// Until before when, in the venue's time; absent: at any time after `orders_from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders_until: Option<TimeOfDay>,
    /// What the venue charges a share, by liquidity flag, in millionths of the currency unit; a rebate is negative. A flag that
    /// is not named costs as much as the dearest; an empty table: nothing is charged.
    #[serde(default)]
    pub fees: BTreeMap<String, i32>,
}

const fn heartbeat_ms() -> u64 {
    1000
}
const fn silence_ms() -> u64 {
    15_000
}
pub(crate) const fn reconnect_ms() -> u64 {
    500
}
const fn ack_timeout_ms() -> u64 {
    1000
}
const fn yes() -> bool {
    true
}

/// `[[strategy]]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    /// Name in the registry of strategies.
    pub name: String,
    /// Strategy id, in every record.
    pub id: u16,
    /// Trader id, in every record.
    #[serde(default)]
    pub trader: u16,
    /// Symbols it is called for; empty = all.
    #[serde(default)]
    pub symbols: Vec<String>,
    /// Its parameters; the strategy says which it knows.
    #[serde(default)]
    pub params: BTreeMap<String, i64>,
}

/// `[limits]`: conservative unless the file says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Shares an order.
    pub order_quantity_max: u32,
    /// Price times shares of an order, 1/10000 of the currency unit.
    pub order_notional_max: i64,
    /// Distance from the reference price.
    pub price_collar_percent: u32,
    /// Shares an instrument, long or short, open orders included.
    pub position_max: i64,
    /// Order messages a second.
    pub orders_per_second_max: u32,
    /// Order messages at once, within the rate.
    pub order_burst_max: u32,
    /// Messages beyond the burst that only cancels may use.
    pub cancel_reserve: u32,
    /// Time in which the same order again is a duplicate; 0 = not checked.
    pub duplicate_window_ns: u64,
    /// Intents on data older than this are refused.
    pub intent_age_ns_max: u64,
    /// Open orders of the account.
    pub open_orders_max: u32,
    /// How far positions can come to be from flat, all open orders filled, over all symbols, 1/10000 of the currency unit.
    pub gross_max: i64,
    /// Longs, and shorts, of all symbols, each with every open order of its side filled, 1/10000.
    pub net_max: i64,
    /// Loss of the day, realized and unrealized, that stops trading when exceeded, 1/10000.
    pub daily_loss_max: i64,
    /// Fall of profit below its best of the day that stops trading when exceeded, 1/10000.
    pub drawdown_max: i64,
    /// What becomes of an order that would trade with the account's own.
    pub self_trade: SelfTrade,
    /// Orders, replaces and cancels a day of the venue.
    pub messages_per_day_max: u32,
    /// Messages a day beyond those that only cancels may use.
    pub cancel_day_reserve: u32,
    /// Shares a strategy and instrument, long or short, its open orders included.
    pub strategy_position_max: i64,
    /// Executions of a strategy in the window with which it is stopped until an operator lets it go on.
    pub executions_max: u32,
    /// Window in which a strategy's executions are counted; 0 = not checked.
    pub executions_window_ns: u64,
    /// Shares of an order, percent of what others traded in the symbol in the last one to two minutes.
    pub volume_percent_max: u32,
    /// Shares that an order may have however little was traded.
    pub volume_shares_min: u32,
    /// How far the reference of the collar moves in a second at most, percent.
    pub reference_move_percent: u32,
    /// Widest spread of which the middle is a reference, percent of it.
    pub reference_spread_percent: u32,
    /// Shares of others that a side must have up to the price of which the middle is a reference.
    pub reference_depth_min: u32,
    /// What the account was worth when the day began, 1/10000 of the currency unit; 0 = leverage is not checked.
    pub equity: i64,
    /// What `gross_max` is about, percent of equity and the day's profit.
    pub leverage_percent_max: u32,
    /// What `gross_max` is about, of each strategy by itself, 1/10000.
    pub strategy_gross_max: i64,
    /// What `net_max` is about, of each strategy by itself, 1/10000.
    pub strategy_net_max: i64,
    /// Loss of the day of a strategy, realized and unrealized, that stops it when exceeded, 1/10000.
    pub strategy_daily_loss_max: i64,
    /// Limits of single strategies in place of those of every strategy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strategy: Vec<StrategyLimits>,
    /// Limits of single symbols in place of those of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symbol: Vec<SymbolLimits>,
}

/// `limits.self_trade`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelfTrade {
    /// It is sent: the venue's own prevention is relied on.
    Off,
    /// It is refused; what rests stays.
    CancelNewest,
    /// What rests is cancelled; the new order is refused until it is gone.
    CancelOldest,
    /// It is refused, and what rests is cancelled.
    CancelBoth,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            order_quantity_max: 1000,
            order_notional_max: 100_000 * 10_000,
            price_collar_percent: 5,
            position_max: 2000,
            orders_per_second_max: 1000,
            order_burst_max: 200,
            cancel_reserve: 200,
            duplicate_window_ns: 100_000,
            intent_age_ns_max: 50_000_000,
            open_orders_max: 1000,
            gross_max: 2_000_000 * 10_000,
            net_max: 1_000_000 * 10_000,
            daily_loss_max: 20_000 * 10_000,
            drawdown_max: 20_000 * 10_000,
            self_trade: SelfTrade::CancelNewest,
            messages_per_day_max: 1_000_000,
            cancel_day_reserve: 100_000,
            strategy_position_max: 2000,
            executions_max: 1000,
            executions_window_ns: 60_000_000_000,
            volume_percent_max: 10,
            volume_shares_min: 1000,
            reference_move_percent: 5,
            reference_spread_percent: 10,
            reference_depth_min: 100,
            equity: 0,
            leverage_percent_max: 200,
            strategy_gross_max: 2_000_000 * 10_000,
            strategy_net_max: 1_000_000 * 10_000,
            strategy_daily_loss_max: 20_000 * 10_000,
            strategy: Vec::new(),
            symbol: Vec::new(),
        }
    }
}
