//! What a type cannot say: ranges, and fields that must fit each other. Every problem is found, not just the first.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use tern_abi::segment::INSTANCE_BYTES_MAX;
use tern_abi::steer::STEER_QUEUES;

use crate::managed::FREEZE_MINUTES_MAX;
use crate::problem::Problem;
use crate::reference::Reference;
use crate::types::{Config, PortKind, Session};

/// Longest path of a Unix socket: `sun_path` without its final zero (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The last RX queue that can be steered to.
const QUEUE_MAX: u32 = STEER_QUEUES as u32 - 1;

/// Highest price an order may have: OUCH 5.0, 1.2.
pub(crate) const PRICE_MAX: u32 = 1_999_999_900;

/// Everything that is wrong with `config`, in the order of the sections.
pub(crate) fn problems(config: &Config) -> Vec<Problem> {
    let mut check = Check { config, problems: Vec::new() };
    check.instance_and_paths();
    check.port();
    check.sizes();
    check.feeds();
    if let Some(session) = &config.session {
        check.session(session);
    }
    check.drop_copy();
    check.strategies();
    check.limits();
    check.roles();
    if let Some(reference) = &config.reference {
        check.reference(reference);
    }
    check.problems.extend(config.band_problems());
    check.problems.extend(config.opening_problems());
    check.day();
    check.supervision();
    check.problems
}

/// Whether a venue could call an instrument so.
pub(crate) fn is_symbol(symbol: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b".+-=*$^#".contains(&byte);
    !symbol.is_empty() && symbol.len() <= 8 && symbol.bytes().all(known)
}

struct Check<'a> {
    config: &'a Config,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(self.config.problem(field, message));
    }

    fn within<T: PartialOrd + std::fmt::Display>(&mut self, field: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            self.wrong(field, format!("{value} is out of range"));
        }
    }

    fn power_of_two(&mut self, field: &str, value: u64, range: RangeInclusive<u64>) {
        if !value.is_power_of_two() {
            self.wrong(field, format!("{value} is not a power of two"));
        } else {
            self.within(field, value, range);
        }
    }

    fn instance_and_paths(&mut self) {
        let name = &self.config.instance.name;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > INSTANCE_BYTES_MAX || !name.bytes().all(plain) {
            self.wrong("instance.name", format!("`{name}` cannot name an instance"));
        }
        let paths = &self.config.paths;
        let segment = paths.segment_file().unwrap_or(Path::new("/"));
        for (field, path) in [
            ("paths.segment", segment),
            ("paths.journal", &paths.journal),
            ("paths.run", &paths.run),
            ("paths.bpf", &paths.bpf),
        ] {
            if !path.is_absolute() {
                self.wrong(field, format!("`{}` is not an absolute path", path.display()));
            }
        }
        // What is shared is locked for a moment in the folder above it, and an instance has its own folders locked for good.
        for (field, own) in [("paths.run", &paths.run), ("paths.journal", &paths.journal)] {
            if [Some(paths.bpf.as_path()), paths.bpf.parent()].contains(&Some(own.as_path())) {
                self.wrong(
                    "paths.bpf",
                    format!("`{}` is in {field}, which is this instance's alone", paths.bpf.display()),
                );
            }
        }
        let socket = paths.control_socket();
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            self.wrong("paths.run", format!("the control socket `{}` would have too long a path", socket.display()));
        }
    }

    fn port(&mut self) {
        let port = &self.config.port;
        if port.interface.is_empty() {
            self.wrong("port.interface", "required");
        } else if port.interface.len() > 15 || port.interface.bytes().any(|byte| byte == b'/' || byte <= b' ') {
            self.wrong("port.interface", format!("`{}` cannot name an interface", port.interface));
        }
        if port.queues.is_empty() {
            self.wrong("port.queues", "no queue");
        }
        for (index, queue) in port.queues.iter().enumerate() {
            if port.queues.iter().take(index).any(|earlier| earlier == queue) {
                self.wrong(&format!("port.queues[{index}]"), format!("queue {queue} is named twice"));
            }
            if *queue > QUEUE_MAX {
                self.wrong(&format!("port.queues[{index}]"), format!("queue {queue} is beyond the last, {QUEUE_MAX}"));
            }
        }
        self.power_of_two("port.ring_frames", port.ring_frames.into(), 64..=131_072);
        match (port.kind, &port.address, &self.config.session) {
            (PortKind::Xdp, None, Some(_)) => {
                self.wrong("port.address", "required: order sessions over AF_XDP need an address of our own");
            }
            (PortKind::Xdp, Some(own), Some(session)) => {
                let venue = *session.address.ip();
                if venue == own.address {
                    self.wrong("session.address", format!("{venue} is our own address"));
                } else if !own.contains(venue) && port.gateway.is_none() {
                    self.wrong("port.gateway", format!("required: {venue} is outside our network {own}"));
                }
            }
            _ => {}
        }
        if let (Some(own), Some(gateway)) = (&port.address, port.gateway)
            && (!own.contains(gateway) || gateway == own.address)
        {
            self.wrong("port.gateway", format!("{gateway} cannot be reached from {own}"));
        }
    }

    fn sizes(&mut self) {
        let (rings, capacity) = (&self.config.rings, &self.config.capacity);
        self.power_of_two("rings.order_slots", rings.order_slots.into(), 1024..=1 << 24);
        self.power_of_two("rings.capture_bytes", rings.capture_bytes, 1 << 20..=1 << 36);
        self.power_of_two("rings.command_slots", rings.command_slots.into(), 16..=65536);
        self.within("capacity.instruments", capacity.instruments, 1..=1_000_000);
        self.within("capacity.orders", capacity.orders, 1..=1_000_000_000);
    }

    fn feeds(&mut self) {
        let mut groups = BTreeMap::new();
        let mut lines = BTreeMap::new();
        for (index, feed) in self.config.feed.iter().enumerate() {
            let at = |field: &str| format!("feed[{index}].{field}");
            self.name(&at("venue"), &feed.venue);
            self.within(&at("stream"), feed.stream, 1..=u16::MAX);
            self.within(&at("port"), feed.port, 1..=u16::MAX);
            if !feed.group.is_multicast() {
                self.wrong(&at("group"), format!("{} is not a multicast group", feed.group));
            }
            if let Some(first) = groups.insert((feed.group, feed.port), index) {
                self.wrong(&at("group"), format!("{}:{} is feed {first} already", feed.group, feed.port));
            }
            if let Some(first) = lines.insert((feed.stream, feed.line), index) {
                let message = format!("line {:?} of stream {} is feed {first} already", feed.line, feed.stream);
                self.wrong(&at("line"), message);
            }
        }
    }

    fn session(&mut self, session: &Session) {
        self.name("session.venue", &session.venue);
        if session.address.port() == 0 {
            self.wrong("session.address", "port 0 cannot be connected to");
        }
        self.text("session.user", &session.user, 1..=16);
        self.text("session.firm", &session.firm, 0..=4);
        if session.password_file.is_none() || !session.password.reveal().is_empty() {
            let length = session.password.reveal().len();
            let printable = session.password.reveal().bytes().all(|byte| byte.is_ascii_graphic());
            if length == 0 {
                self.wrong("session.password", "required");
            } else if length > 64 || !printable {
                self.wrong("session.password", "not a password that a venue takes");
            }
        }
        self.within("session.heartbeat_ms", session.heartbeat_ms, 10..=60_000);
        self.within("session.silence_ms", session.silence_ms, 100..=300_000);
        self.within("session.reconnect_ms", session.reconnect_ms, 1..=60_000);
        self.within("session.ack_timeout_ms", session.ack_timeout_ms, 10..=60_000);
        for (flag, each) in &session.fees {
            if flag.len() != 1 || !flag.bytes().all(|byte| byte.is_ascii_graphic()) {
                self.wrong("session.fees", format!("`{flag}` is not a liquidity flag"));
            }
            self.within("session.fees", *each, -1_000_000..=1_000_000);
        }
        if let Some((from, until)) = self.config.order_hours(1)
            && from >= until
        {
            self.wrong("session.orders_until", "not after orders_from within the venue's day");
        }
        if session.silence_ms <= session.heartbeat_ms {
            let message = format!("{} is not more than heartbeat_ms = {}", session.silence_ms, session.heartbeat_ms);
            self.wrong("session.silence_ms", message);
        }
    }

    fn drop_copy(&mut self) {
        self.within("audit.lag_ms_max", self.config.audit.lag_ms_max, 100..=600_000);
        let Some(copy) = &self.config.drop_copy else { return };
        if self.config.session.is_none() {
            self.wrong("drop_copy", "there is no [session] whose orders it could copy");
        }
        if copy.address.port() == 0 {
            self.wrong("drop_copy.address", "port 0 cannot be connected to");
        }
        self.text("drop_copy.user", &copy.user, 1..=16);
        if copy.password_file.is_none() && copy.password.reveal().is_empty() {
            self.wrong("drop_copy.password", "required");
        }
        self.within("drop_copy.deadline_ms", copy.deadline_ms, 100..=600_000);
        self.within("drop_copy.reconnect_ms", copy.reconnect_ms, 1..=60_000);
    }

    fn day(&mut self) {
        let minutes = self.config.day.freeze_minutes;
        self.within("day.freeze_minutes", minutes, 0..=FREEZE_MINUTES_MAX);
        let opens = self.config.session.as_ref().is_some_and(|session| session.orders_from.is_some());
        if minutes > 0 && !opens {
            self.wrong("day.freeze_minutes", "there is no session.orders_from before which it could be");
        }
        if self.config.day.managed && self.config.session.is_none() {
            self.wrong("day.managed", "there is no [session] whose orders could leave");
        }
    }

    fn strategies(&mut self) {
        let mut ids = BTreeMap::new();
        for (index, strategy) in self.config.strategy.iter().enumerate() {
            let at = |field: &str| format!("strategy[{index}].{field}");
            self.name(&at("name"), &strategy.name);
            self.within(&at("id"), strategy.id, 1..=u16::MAX);
            if let Some(first) = ids.insert(strategy.id, index) {
                self.wrong(&at("id"), format!("{} is the id of strategy {first} already", strategy.id));
            }
            for (place, symbol) in strategy.symbols.iter().enumerate() {
                self.symbol(&at(&format!("symbols[{place}]")), symbol);
            }
        }
    }

    fn limits(&mut self) {
        let limits = &self.config.limits;
        // An OUCH 5.0 order has less than 1,000,000 shares (Enter Order, Quantity).
        self.within("limits.order_quantity_max", limits.order_quantity_max, 1..=999_999);
        self.within("limits.order_notional_max", limits.order_notional_max, 1..=i64::MAX);
        self.within("limits.price_collar_percent", limits.price_collar_percent, 1..=100);
        self.within("limits.position_max", limits.position_max, 1..=4_000_000_000);
        self.within("limits.orders_per_second_max", limits.orders_per_second_max, 1..=u32::MAX);
        self.within("limits.order_burst_max", limits.order_burst_max, 1..=u32::MAX);
        self.within("limits.cancel_reserve", limits.cancel_reserve, 1..=u32::MAX);
        self.within("limits.duplicate_window_ns", limits.duplicate_window_ns, 0..=60_000_000_000);
        self.within("limits.intent_age_ns_max", limits.intent_age_ns_max, 1..=60_000_000_000);
        self.within("limits.open_orders_max", limits.open_orders_max, 1..=10_000_000);
        self.within("limits.gross_max", limits.gross_max, 1..=i64::MAX / 2);
        self.within("limits.net_max", limits.net_max, 1..=i64::MAX / 2);
        self.within("limits.daily_loss_max", limits.daily_loss_max, 1..=i64::MAX / 2);
        self.within("limits.drawdown_max", limits.drawdown_max, 1..=i64::MAX / 2);
        self.within("limits.messages_per_day_max", limits.messages_per_day_max, 1..=u32::MAX);
        self.within("limits.cancel_day_reserve", limits.cancel_day_reserve, 1..=u32::MAX);
        self.within("limits.strategy_position_max", limits.strategy_position_max, 1..=4_000_000_000);
        self.within("limits.executions_max", limits.executions_max, 1..=u32::MAX);
        self.within("limits.executions_window_ns", limits.executions_window_ns, 0..=3_600_000_000_000);
        self.within("limits.volume_percent_max", limits.volume_percent_max, 1..=10_000);
        self.within("limits.volume_shares_min", limits.volume_shares_min, 1..=999_999);
        self.within("limits.reference_move_percent", limits.reference_move_percent, 1..=100);
        self.within("limits.reference_spread_percent", limits.reference_spread_percent, 1..=100);
        self.within("limits.reference_depth_min", limits.reference_depth_min, 1..=u32::MAX);
        self.within("limits.equity", limits.equity, 0..=i64::MAX / 2);
        self.within("limits.leverage_percent_max", limits.leverage_percent_max, 1..=10_000);
        self.within("limits.strategy_gross_max", limits.strategy_gross_max, 1..=i64::MAX / 2);
        self.within("limits.strategy_net_max", limits.strategy_net_max, 1..=i64::MAX / 2);
        self.within("limits.strategy_daily_loss_max", limits.strategy_daily_loss_max, 1..=i64::MAX / 2);
        self.symbol_limits();
        self.strategy_limits();
    }

    fn symbol_limits(&mut self) {
        let mut symbols = BTreeMap::new();
        for (index, limits) in self.config.limits.symbol.iter().enumerate() {
            let at = |field: &str| format!("limits.symbol[{index}].{field}");
            self.symbol(&at("symbol"), &limits.symbol);
            if let Some(first) = symbols.insert(&limits.symbol, index) {
                self.wrong(&at("symbol"), format!("{} has its limits in entry {first} already", limits.symbol));
            }
            if let Some(max) = limits.position_max {
                self.within(&at("position_max"), max, 1..=4_000_000_000);
            }
            if let Some(max) = limits.order_quantity_max {
                self.within(&at("order_quantity_max"), max, 1..=999_999);
            }
            if let Some(max) = limits.order_notional_max {
                self.within(&at("order_notional_max"), max, 1..=i64::MAX / 2);
            }
            for (field, price) in [("price_min", limits.price_min), ("price_max", limits.price_max)] {
                if let Some(price) = price {
                    self.within(&at(field), price, 1..=PRICE_MAX);
                }
            }
            if let (Some(lowest), Some(highest)) = (limits.price_min, limits.price_max)
                && lowest > highest
            {
                self.wrong(&at("price_max"), format!("{highest} is below price_min = {lowest}"));
            }
        }
    }

    fn strategy_limits(&mut self) {
        let mut strategies = BTreeMap::new();
        for (index, limits) in self.config.limits.strategy.iter().enumerate() {
            let at = |field: &str| format!("limits.strategy[{index}].{field}");
            self.within(&at("id"), limits.id, 1..=u16::MAX);
            if let Some(first) = strategies.insert(limits.id, index) {
                self.wrong(&at("id"), format!("{} has its limits in entry {first} already", limits.id));
            }
            // A file of limits alone has no strategies.
            let of_host = &self.config.strategy;
            if !of_host.is_empty() && of_host.iter().all(|strategy| strategy.id != limits.id) {
                self.wrong(&at("id"), format!("no strategy has the id {}", limits.id));
            }
            if let Some(max) = limits.position_max {
                self.within(&at("position_max"), max, 1..=4_000_000_000);
            }
            for (field, max) in [
                ("gross_max", limits.gross_max),
                ("net_max", limits.net_max),
                ("daily_loss_max", limits.daily_loss_max),
            ] {
                if let Some(max) = max {
                    self.within(&at(field), max, 1..=i64::MAX / 2);
                }
            }
        }
    }

    fn reference(&mut self, reference: &Reference) {
        if reference.date.is_none() && reference.file.is_none() {
            self.wrong("reference.date", "required");
        }
        for (name, symbols) in [("restricted", &reference.restricted), ("easy_to_borrow", &reference.easy_to_borrow)] {
            for (place, symbol) in symbols.iter().enumerate() {
                self.symbol(&format!("reference.{name}[{place}]"), symbol);
            }
        }
        for (symbol, price) in &reference.prior_close {
            self.symbol("reference.prior_close", symbol);
            self.within(&format!("reference.prior_close.{symbol}"), *price, 1..=PRICE_MAX);
        }
        for (symbol, [lowest, highest]) in &reference.price_bands {
            let field = format!("reference.price_bands.{symbol}");
            self.symbol("reference.price_bands", symbol);
            self.within(&field, *lowest, 1..=PRICE_MAX);
            self.within(&field, *highest, 1..=PRICE_MAX);
            if lowest > highest {
                self.wrong(&field, format!("{highest} is below {lowest}"));
            }
            let own = self.config.limits.symbol.iter().find(|own| own.symbol == *symbol);
            let (own_lowest, own_highest) = own.map_or((None, None), |own| (own.price_min, own.price_max));
            if own_lowest.is_some_and(|own| own > *highest) || own_highest.is_some_and(|own| own < *lowest) {
                self.wrong(&field, "no price is within it and within price_min and price_max of [[limits.symbol]]");
            }
        }
        for (symbol, shares) in &reference.locates {
            self.symbol("reference.locates", symbol);
            self.within(&format!("reference.locates.{symbol}"), *shares, 1..=u32::MAX);
        }
    }

    fn roles(&mut self) {
        let roles = &self.config.roles;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        for (field, group) in [("roles.operator", &roles.operator), ("roles.risk_officer", &roles.risk_officer)] {
            if group.len() > 32 || !group.bytes().all(plain) {
                self.wrong(field, format!("`{group}` cannot name a group"));
            }
        }
        self.within("roles.second_person_s", roles.second_person_s, 5..=3600);
        if !roles.root_is_risk_officer && roles.risk_officer.is_empty() {
            self.wrong("roles.root_is_risk_officer", "nobody could loosen a limit");
        }
    }

    fn supervision(&mut self) {
        let (daemon, journal) = (&self.config.daemon, &self.config.journal);
        self.within("daemon.heartbeat_loss_ms", daemon.heartbeat_loss_ms, 50..=60_000);
        for (field, value, most) in [
            ("daemon.silence_ms", daemon.silence_ms, 600_000),
            ("daemon.silence_halt_ms", daemon.silence_halt_ms, 3_600_000),
        ] {
            if value != 0 {
                self.within(field, value, 100..=most);
            }
        }
        self.within("loop.feed_silence_ms", self.config.run_loop.feed_silence_ms, 1100..=60_000);
        self.within("loop.strategy_budget_us", self.config.run_loop.strategy_budget_us, 0..=1_000_000);
        self.within(
            "loop.strategy_overruns_window_ms",
            self.config.run_loop.strategy_overruns_window_ms,
            10..=3_600_000,
        );
        self.within("daemon.stuck_session_ms", daemon.stuck_session_ms, 0..=60_000);
        self.within("daemon.restart_pause_ms", daemon.restart_pause_ms, 1..=60_000);
        self.within("daemon.restarts_max", daemon.restarts_max, 0..=1000);
        self.within("daemon.restart_window_s", daemon.restart_window_s, 1..=86_400);
        self.within("daemon.shutdown_ms", daemon.shutdown_ms, 100..=60_000);
        self.within("daemon.rescue_ms", daemon.rescue_ms, 1000..=60_000);
        let alerts = &self.config.alerts;
        if let Some(program) = alerts.command.first()
            && !Path::new(program).is_absolute()
        {
            self.wrong("alerts.command", format!("`{program}` is not an absolute path"));
        }
        self.within("alerts.timeout_ms", alerts.timeout_ms, 100..=60_000);
        self.within("alerts.retries", alerts.retries, 0..=20);
        self.within("alerts.limit_percent", alerts.limit_percent, 1..=100);
        self.within("alerts.refusals_per_second", alerts.refusals_per_second, 1..=u32::MAX);
        self.within("alerts.disk_free_mb", alerts.disk_free_mb, 0..=1_000_000_000);
        if let Some(listen) = self.config.metrics.listen
            && (!listen.ip().is_loopback() || listen.port() == 0)
        {
            self.wrong("metrics.listen", format!("{listen} is not an address and port of the loopback interface"));
        }
        if self.config.metrics.page && self.config.metrics.listen.is_none() {
            self.wrong("metrics.page", "there is no metrics.listen where it could be asked for");
        }
        self.within("journal.segment_bytes", journal.segment_bytes, 1 << 20..=1 << 34);
        self.within("journal.fsync_ms", journal.fsync_ms, 1..=10_000);
        self.within("journal.retain_days", journal.retain_days, 0..=36_500);
    }

    fn symbol(&mut self, field: &str, symbol: &str) {
        if !is_symbol(symbol) {
            self.wrong(field, format!("`{symbol}` is not a symbol"));
        }
    }

    fn name(&mut self, field: &str, name: &str) {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
            self.wrong(field, format!("`{name}` is not a name"));
        }
    }

    fn text(&mut self, field: &str, text: &str, length: RangeInclusive<usize>) {
        if !length.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.wrong(field, format!("`{text}` does not fit"));
        }
    }
}

/// Reads the first line of the password file, which stands beside the configuration unless its path is absolute.
pub(crate) fn read_password(config: &Config, field: &str, file: &Path) -> Result<String, Problem> {
    let file = config.source.file.parent().unwrap_or(Path::new("")).join(file);
    let text = std::fs::read_to_string(&file)
        .map_err(|error| config.problem(field, format!("`{}` cannot be read: {error}", file.display())))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(config.problem(field, format!("the first line of `{}` is empty", file.display()))),
    }
}
