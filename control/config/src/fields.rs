//! One table of every key: what it is and what is right. Messages take their advice from it.

/// A key of the file. `[]` stands for any entry of an array of tables.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Where it stands, joined by dots.
    pub path: &'static str,
    /// What would be right, for messages.
    pub expected: &'static str,
}

const fn field(path: &'static str, expected: &'static str) -> Field {
    Field { path, expected }
}

/// Every key.
pub const FIELDS: &[Field] = &[
    field("include", "a list of readable TOML files with tables of their own, for example [\"limits.toml\"]"),
    field("instance.name", "1 to 31 of a-z, 0-9 and -, for example \"demo\""),
    field("paths.segment", "\"auto\" or an absolute path on tmpfs or hugetlbfs, for example \"/dev/shm/tern-demo\""),
    field("paths.journal", "an absolute path of a folder, for example \"/var/lib/tern/demo/journal\""),
    field("paths.run", "an absolute path of a folder, at most 96 bytes, for example \"/run/tern/demo\""),
    field(
        "paths.bpf",
        "an absolute path of a folder that is not in paths.run or paths.journal, for example \"/run/tern/bpf\"",
    ),
    field("port.kind", "\"xdp\" or \"socket\""),
    field("port.interface", "the name of a network interface (`ip link` lists them), for example \"eth1\""),
    field(
        "port.queues",
        "a list of different RX queue numbers from 0 to 255 (`ethtool -l` counts them), for example [0]",
    ),
    field("port.attach", "\"auto\", \"native\" or \"generic\""),
    field("port.zero_copy", "\"auto\" or \"off\""),
    field("port.ring_frames", "a power of two from 64 to 131072; below 32768 bursts may be dropped"),
    field("port.huge_pages", "\"auto\" or \"off\""),
    field("port.address", "our own IPv4 address on the wire with its prefix length, for example \"10.77.0.2/24\""),
    field("port.gateway", "an IPv4 address inside the network of port.address, for example \"10.77.0.1\""),
    field("port.mac", "\"auto\" or a unicast MAC address, for example \"02:00:00:00:00:01\""),
    field("loop.core", "a core number, \"auto\" or \"none\""),
    field("loop.sched_fifo", "true or false"),
    field("loop.sandbox", "\"auto\" or \"off\""),
    field("loop.wait", "\"spin\" or \"block\""),
    field("loop.sample_stages_every", "a number of datagrams, 0 for none, for example 64"),
    field("loop.feed_silence_ms", "milliseconds from 1100 (MoldUDP64 beats every second) to 60000"),
    field("loop.on_untrusted_book", "\"pull\" or \"hold\""),
    field("loop.strategy_budget_us", "microseconds up to 1000000, 0 for no budget, for example 1000"),
    field("loop.strategy_overruns_max", "a number of calls, 0 for never, for example 20"),
    field("loop.strategy_overruns_window_ms", "milliseconds from 10 to 3600000"),
    field("rings.order_slots", "a power of two from 1024 to 16777216"),
    field("rings.capture_bytes", "a power of two from 1 MiB (1048576) to 64 GiB (68719476736)"),
    field("rings.command_slots", "a power of two from 16 to 65536"),
    field("capacity.instruments", "a number from 1 to 1000000"),
    field("capacity.orders", "a number from 1 to 1000000000"),
    field("feed[].venue", "the name of a venue, for example \"itch_ouch\""),
    field("feed[].stream", "a number from 1 to 65535; one entry for each line of a stream"),
    field("feed[].line", "\"A\" or \"B\", each at most once a stream"),
    field(
        "feed[].group",
        "an IPv4 multicast group that no other feed uses with the same port, for example \"239.77.1.1\"",
    ),
    field("feed[].port", "a UDP port from 1 to 65535"),
    field("session.venue", "the name of a venue, for example \"itch_ouch\""),
    field("session.address", "IPv4 address and port of the venue's order gateway, for example \"10.77.0.1:9000\""),
    field("session.user", "1 to 16 printable ASCII characters"),
    field("session.password", "1 to 64 printable ASCII characters, or password_file in its place"),
    field("session.password_file", "a readable file whose first line is the password"),
    field("session.account", "a number from 0 to 65535"),
    field("session.firm", "up to 4 printable ASCII characters"),
    field("session.heartbeat_ms", "milliseconds from 10 to 60000, less than silence_ms"),
    field("session.silence_ms", "milliseconds from 100 to 300000, more than heartbeat_ms"),
    field("session.reconnect_ms", "milliseconds from 1 to 60000"),
    field("session.ack_timeout_ms", "milliseconds from 10 to 60000"),
    field(
        "session.fees",
        "a table of liquidity flags, one character each, and millionths of the currency unit a share from -1000000 to 1000000, for example { A = -2000, R = 3000 }",
    ),
    field("session.cancel_on_disconnect", "true or false, as the port is set at the venue"),
    field("session.after_restart", "\"operator\" or \"agreement\""),
    field("session.day_starts", "a time of the day in the venue's time, from \"00:00\" to \"23:59\""),
    field("session.utc_offset", "what is added to UTC, from \"-12:00\" to \"+14:00\", for example \"-05:00\""),
    field("session.orders_from", "a time of the day in the venue's time, before orders_until, for example \"09:30\""),
    field("session.orders_until", "a time of the day in the venue's time, after orders_from, for example \"16:00\""),
    field("drop_copy.address", "IPv4 address and port of the venue's drop copy, for example \"10.77.0.1:9001\""),
    field("drop_copy.user", "1 to 16 printable ASCII characters"),
    field("drop_copy.password", "printable ASCII characters, or password_file in its place"),
    field("drop_copy.password_file", "a readable file whose first line is the password"),
    field("drop_copy.deadline_ms", "milliseconds from 100 to 600000"),
    field("drop_copy.reconnect_ms", "milliseconds from 1 to 60000"),
    field("audit.live", "true or false"),
    field("audit.lag_ms_max", "milliseconds from 100 to 600000"),
    field("strategy[].name", "the name of a strategy, for example \"maker\""),
    field("strategy[].id", "a number from 1 to 65535 that no other strategy has"),
    field("strategy[].trader", "a number from 0 to 65535"),
    field("strategy[].symbols", "a list of symbols of 1 to 8 capital letters, digits and .+-=*$^#, empty for all"),
    field("strategy[].params", "a table of integers, for example { quantity = 100 }"),
    field("limits.order_quantity_max", "shares from 1 to 999999"),
    field("limits.order_notional_max", "a positive number of 1/10000 of the currency unit"),
    field("limits.price_collar_percent", "percent from 1 to 100"),
    field("limits.position_max", "shares from 1 to 4000000000"),
    field("limits.orders_per_second_max", "a positive number of order messages a second"),
    field("limits.order_burst_max", "a positive number of order messages"),
    field("limits.cancel_reserve", "a positive number of messages"),
    field("limits.duplicate_window_ns", "nanoseconds from 0 (not checked) to 60000000000"),
    field("limits.intent_age_ns_max", "nanoseconds from 1 to 60000000000"),
    field("limits.open_orders_max", "a number from 1 to 10000000"),
    field("limits.gross_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.net_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.daily_loss_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.drawdown_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.self_trade", "\"off\", \"cancel_newest\", \"cancel_oldest\" or \"cancel_both\""),
    field("firm.file", "a readable firm file that has this instance: [firm], [total] and [[instance]]"),
    field("roles.operator", "the name of a group of this host, 1 to 32 of a-z, 0-9, _ and -, or \"\" for everybody"),
    field("roles.risk_officer", "the name of a group of this host, 1 to 32 of a-z, 0-9, _ and -, or \"\" for none"),
    field("roles.root_is_risk_officer", "true or false; false needs a group in roles.risk_officer"),
    field(
        "roles.second_person",
        "a list of \"resume\", \"accept\", \"order\", \"cancel\" and \"flatten\", [] for none",
    ),
    field("roles.second_person_s", "seconds from 5 to 3600"),
    field("limits.messages_per_day_max", "a positive number of order messages a day"),
    field("limits.cancel_day_reserve", "a positive number of messages"),
    field("limits.strategy_position_max", "shares from 1 to 4000000000"),
    field("limits.executions_max", "a positive number of executions"),
    field("limits.executions_window_ns", "nanoseconds from 0 (not checked) to 3600000000000"),
    field("limits.volume_percent_max", "percent from 1 to 10000"),
    field("limits.volume_shares_min", "shares from 1 to 999999"),
    field("limits.reference_move_percent", "percent a second from 1 to 100"),
    field("limits.reference_spread_percent", "percent from 1 to 100"),
    field("limits.reference_depth_min", "a positive number of shares"),
    field("limits.equity", "1/10000 of the currency unit, from 0 (leverage is not checked) to 4611686018427387903"),
    field("limits.leverage_percent_max", "percent from 1 to 10000"),
    field("limits.strategy_gross_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.strategy_net_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.strategy_daily_loss_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.strategy[].id", "the id of a strategy of this host, each only once"),
    field("limits.strategy[].position_max", "shares from 1 to 4000000000"),
    field("limits.strategy[].gross_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.strategy[].net_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.strategy[].daily_loss_max", "1/10000 of the currency unit, from 1 to 4611686018427387903"),
    field("limits.symbol[].symbol", "a symbol of 1 to 8 capital letters, digits and .+-=*$^#, each only once"),
    field("limits.symbol[].position_max", "shares from 1 to 4000000000"),
    field("limits.symbol[].order_quantity_max", "shares from 1 to 999999"),
    field("limits.symbol[].order_notional_max", "a positive number of 1/10000 of the currency unit"),
    field(
        "limits.symbol[].price_min",
        "a price from 1 to 1999999900 in 1/10000 of the currency unit, not above price_max nor above the symbol's prior_close",
    ),
    field(
        "limits.symbol[].price_max",
        "a price from 1 to 1999999900 in 1/10000 of the currency unit, not below price_min nor below the symbol's prior_close",
    ),
    field(
        "reference.file",
        "a readable TOML file with date, restricted, easy_to_borrow, [locates], [prior_close] and [price_bands], or these keys in its place",
    ),
    field("reference.date", "the venue's trading day that the lists are for, for example \"2026-11-22\""),
    field("reference.restricted", "a list of symbols of 1 to 8 capital letters, digits and .+-=*$^#"),
    field("reference.easy_to_borrow", "a list of symbols of 1 to 8 capital letters, digits and .+-=*$^#"),
    field(
        "reference.prior_close",
        "a table of symbols and prices from 1 to 1999999900 in 1/10000 of the currency unit, for example { GME = 231500 }",
    ),
    field(
        "reference.price_bands",
        "a table of symbols and lowest and highest prices from 1 to 1999999900 in 1/10000 of the currency unit, for example { GME = [200000, 260000] }, with the symbol's prior_close within, and not apart from its price_min and price_max",
    ),
    field("reference.locates", "a table of symbols and shares from 1, for example { GME = 500 }"),
    field("opening.file", "a readable TOML file with date and [[position]], or these keys in its place"),
    field("opening.date", "the venue's trading day that begins with these positions, for example \"2026-11-22\""),
    field("opening.position[].symbol", "a symbol of 1 to 8 capital letters, digits and .+-=*$^#, each once a strategy"),
    field("opening.position[].strategy", "the id of a strategy, or a name that only one has"),
    field("opening.position[].shares", "shares held, below 0 if short, up to 4000000000"),
    field(
        "opening.position[].price",
        "what a share cost on average, 1/10000 of the currency unit from 1 to 1999999900; or cost",
    ),
    field(
        "opening.position[].cost",
        "what they cost together, 1/10000 of the currency unit, below 0 if short; or price",
    ),
    field("day.managed", "true or false"),
    field(
        "day.freeze_minutes",
        "minutes up to 720 before session.orders_from, which is needed then, or 0 for no freeze",
    ),
    field("daemon.heartbeat_loss_ms", "milliseconds from 50 to 60000"),
    field("daemon.on_heartbeat_loss", "\"halt\" or \"restart\""),
    field("daemon.stuck_session_ms", "milliseconds from 0 to 60000"),
    field("daemon.silence_ms", "milliseconds from 100 to 600000, or 0 for a data plane that does not miss its daemon"),
    field("daemon.silence_halt_ms", "milliseconds from 100 to 3600000, or 0 for never"),
    field("daemon.restart_pause_ms", "milliseconds from 1 to 60000"),
    field("daemon.restarts_max", "a number from 0 (never restart) to 1000"),
    field("daemon.restart_window_s", "seconds from 1 to 86400"),
    field("daemon.shutdown_ms", "milliseconds from 100 to 60000"),
    field("daemon.rescue_ms", "milliseconds from 1000 to 60000"),
    field(
        "alerts.command",
        "a list of a program's absolute path and its arguments, for example [\"/usr/local/bin/page\", \"--tern\"], [] for none",
    ),
    field("alerts.timeout_ms", "milliseconds from 100 to 60000"),
    field("alerts.retries", "a number from 0 to 20"),
    field("alerts.limit_percent", "percent from 1 to 100"),
    field("alerts.refusals_per_second", "a positive number of refusals"),
    field("alerts.disk_free_mb", "MiB from 0 (not watched) to 1000000000"),
    field(
        "metrics.listen",
        "an IPv4 address of the loopback interface with a port that no other instance has, for example \"127.0.0.1:9464\"; leave it out for none",
    ),
    field("metrics.page", "true or false; needs `metrics.listen`"),
    field("journal.segment_bytes", "bytes from 1 MiB (1048576) to 16 GiB (17179869184)"),
    field("journal.fsync", "\"batch\", \"interval\" or \"off\""),
    field("journal.fsync_ms", "milliseconds from 1 to 10000"),
    field(
        "journal.compress",
        "true: files of days before the last one are compressed while nothing else wants the core; or false",
    ),
    field("journal.retain_days", "trading days from 1 to 36500 that are kept beside the open one, or 0 for all"),
];

/// The field at `path`, whatever the indices in it (`feed[2].port` finds `feed[].port`).
pub fn find(path: &str) -> Option<&'static Field> {
    let mut plain = String::with_capacity(path.len());
    let mut inside = false;
    for character in path.chars() {
        inside = (inside || character == '[') && character != ']';
        if !inside || character == '[' {
            plain.push(character);
        }
    }
    let inside = |rest: &str| rest.starts_with(['[', '.']);
    FIELDS.iter().find(|field| plain.strip_prefix(field.path).is_some_and(|rest| rest.is_empty() || inside(rest)))
}
