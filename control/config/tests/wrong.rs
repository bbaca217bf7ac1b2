//! Wrong configurations, each made from the example by one change, and the message that each gets.

use std::path::Path;

use tern_config::Config;

const EXAMPLE: &str = include_str!("../example.toml");

/// What in the example is replaced, by what, and the beginning and the end of the message.
struct Wrong {
    from: &'static str,
    to: &'static str,
    message: &'static str,
}

const fn wrong(from: &'static str, to: &'static str, message: &'static str) -> Wrong {
    Wrong { from, to, message }
}

const TABLE: &[Wrong] = &[
    wrong(
        "name = \"demo\"",
        "name = \"De mo\"",
        "instance.name: `De mo` cannot name an instance; right would be: 1 to 31 of a-z",
    ),
    wrong("name = \"demo\"", "nane = \"demo\"", "instance.nane: unknown field `nane`, expected `name`"),
    wrong("name = \"demo\"", "name = ", "string values must be quoted"),
    wrong("[instance]\n", "[instance\n", "paths: unclosed table"),
    wrong("[instance]\nname = \"demo\"", "", "missing field `instance`"),
    wrong("[paths]", "[path]", "path: unknown field `path`, expected one of `include`, `instance`, `paths`"),
    wrong(
        "segment = \"auto\"",
        "segment = \"tern-demo\"",
        "paths.segment: `tern-demo` is not an absolute path; right would be: \"auto\" or an absolute path",
    ),
    wrong(
        "\"/run/tern/demo\"",
        "\"/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        "paths.run: the control socket",
    ),
    wrong("managed = false", "managed = \"yes\"", "day.managed: "),
    wrong(
        "freeze_minutes = 0",
        "freeze_minutes = 721",
        "day.freeze_minutes: 721 is out of range; right would be: minutes up to 720",
    ),
    wrong(
        "listen = \"127.0.0.1:9464\"",
        "listen = \"10.1.2.3:9464\"",
        "metrics.listen: 10.1.2.3:9464 is not an address and port of the loopback interface",
    ),
    wrong(
        "listen = \"127.0.0.1:9464\"            # OpenMetrics for a Prometheus on this host, each instance its own port; without it, none\npage = false",
        "page = true",
        "metrics.page: there is no metrics.listen",
    ),
    wrong(
        "day_starts = \"00:00\"",
        "day_starts = \"24:00\"",
        "session.day_starts: `24:00` is no time of the day; right would be: a time of the day in the venue's time",
    ),
    wrong(
        "utc_offset = \"+00:00\"",
        "utc_offset = \"EST\"",
        "session.utc_offset: `EST` is no offset from UTC; right would be: what is added to UTC, from \"-12:00\"",
    ),
    wrong(
        "kind = \"xdp\"",
        "kind = \"dpdk\"",
        "port.kind: unknown variant `dpdk`, expected `xdp` or `socket`; right would be: \"xdp\" or \"socket\"",
    ),
    wrong("kind = \"xdp\"", "kind = 1", "port.kind: "),
    wrong("interface = \"eth1\"", "", "port.interface: required; right would be: the name of a network interface"),
    wrong(
        "interface = \"eth1\"",
        "interface = \"an-interface-too-long\"",
        "port.interface: `an-interface-too-long` cannot name an interface",
    ),
    wrong("queues = [0]", "queues = []", "port.queues: no queue; right would be: a list of different RX queue numbers"),
    wrong("queues = [0]", "queues = [0, 1, 0]", "port.queues[2]: queue 0 is named twice"),
    wrong("queues = [0]", "queues = [-1]", "port.queues[0]: invalid value: integer `-1`, expected u32"),
    wrong("ring_frames = 32768", "ring_frames = 30000", "port.ring_frames: 30000 is not a power of two"),
    wrong(
        "ring_frames = 32768",
        "ring_frames = 32",
        "port.ring_frames: 32 is out of range; right would be: a power of two from 64",
    ),
    wrong(
        "address = \"10.77.0.2/24\"",
        "address = \"10.77.0.2\"",
        "port.address: `10.77.0.2` is not an IPv4 address with its prefix length; right would be: our own",
    ),
    wrong(
        "address = \"10.77.0.2/24\"",
        "",
        "port.address: required: order sessions over AF_XDP need an address of our own",
    ),
    wrong(
        "gateway = \"10.77.0.1\"",
        "gateway = \"10.78.0.1\"",
        "port.gateway: 10.78.0.1 cannot be reached from 10.77.0.2/24",
    ),
    wrong(
        "address = \"10.77.0.1:9000\"",
        "address = \"10.77.0.2:9000\"",
        "session.address: 10.77.0.2 is our own address",
    ),
    wrong("address = \"10.77.0.1:9000\"", "address = \"exchange:9000\"", "session.address: invalid"),
    wrong(
        "mac = \"auto\"",
        "mac = \"03:00:00:00:00:01\"",
        "port.mac: `03:00:00:00:00:01` is not a unicast MAC address",
    ),
    wrong(
        "core = \"auto\"",
        "core = \"first\"",
        "loop.core: invalid value: string \"first\", expected a core number, \"auto\" or \"none\"",
    ),
    wrong("core = \"auto\"", "core = 70000", "loop.core: invalid value: integer `70000`"),
    wrong(
        "sched_fifo = false",
        "sched_fifo = \"no\"",
        "loop.sched_fifo: invalid type: string \"no\", expected a boolean; right would be: true or false",
    ),
    wrong(
        "operator = \"\"",
        "operator = \"The Desk\"",
        "roles.operator: `The Desk` cannot name a group; right would be: the name of a group of this host",
    ),
    wrong(
        "root_is_risk_officer = true",
        "root_is_risk_officer = false",
        "roles.root_is_risk_officer: nobody could loosen a limit; right would be: true or false",
    ),
    wrong("order_slots = 65536", "order_slots = 65537", "rings.order_slots: 65537 is not a power of two"),
    wrong("capture_bytes = 268435456", "capture_bytes = 4096", "rings.capture_bytes: 4096 is out of range"),
    wrong("instruments = 12000", "instruments = 0", "capacity.instruments: 0 is out of range"),
    wrong("orders = 6000000 ", "orders = 6e6 ", "capacity.orders: invalid type: floating point"),
    wrong(
        "group = \"239.77.1.1\"",
        "group = \"10.0.0.1\"",
        "feed[0].group: 10.0.0.1 is not a multicast group; right would be: an IPv4 multicast group",
    ),
    wrong("group = \"239.77.1.1\"", "group = \"239.77.1\"", "feed[0].group: invalid"),
    wrong("port = 26400", "port = 0", "feed[0].port: 0 is out of range"),
    wrong("port = 26400", "port = 70000", "feed[0].port: invalid value: integer `70000`, expected u16"),
    wrong("stream = 1", "stream = 0", "feed[0].stream: 0 is out of range"),
    wrong("line = \"A\"", "line = \"C\"", "feed[0].line: unknown variant `C`, expected `A` or `B`"),
    wrong(
        "port = 26400",
        "port = 26400\n[[feed]]\nvenue = \"itch_ouch\"\nstream = 2\ngroup = \"239.77.1.1\"\nport = 26400",
        "feed[1].group: 239.77.1.1:26400 is feed 0 already",
    ),
    wrong(
        "port = 26400",
        "port = 26400\n[[feed]]\nvenue = \"itch_ouch\"\nstream = 1\ngroup = \"239.77.1.2\"\nport = 26400",
        "feed[1].line: line A of stream 1 is feed 0 already",
    ),
    wrong("user = \"TERN01\"", "user = \"\"", "session.user: `` does not fit"),
    wrong("password = \"secret\"", "", "session.password: required; right would be: 1 to 64"),
    wrong(
        "password = \"secret\"",
        "password_file = \"no-such-file\"",
        "session.password_file: `no-such-file` cannot be read: No such file",
    ),
    wrong("silence_ms = 15000", "silence_ms = 500", "session.silence_ms: 500 is not more than heartbeat_ms = 1000"),
    wrong("silence_ms = 2000 ", "silence_ms = 99 ", "daemon.silence_ms: 99 is out of range"),
    wrong("silence_halt_ms = 30000", "silence_halt_ms = 1", "daemon.silence_halt_ms: 1 is out of range"),
    wrong("feed_silence_ms = 3500", "feed_silence_ms = 1000", "loop.feed_silence_ms: 1000 is out of range"),
    wrong(
        "on_untrusted_book = \"pull\"",
        "on_untrusted_book = \"keep\"",
        "loop.on_untrusted_book: unknown variant `keep`, expected `pull` or `hold`",
    ),
    wrong("ack_timeout_ms = 1000", "ack_timeout_ms = 5", "session.ack_timeout_ms: 5 is out of range"),
    wrong("A = -2000", "ADD = -2000", "session.fees: `ADD` is not a liquidity flag"),
    wrong("R = 3000", "R = 3000000", "session.fees: 3000000 is out of range"),
    wrong("command = []", "command = [\"page\"]", "alerts.command: `page` is not an absolute path"),
    wrong("limit_percent = 80", "limit_percent = 0", "alerts.limit_percent: 0 is out of range"),
    wrong("account = 1\n", "", "session: missing field `account`"),
    wrong(
        "symbols = []",
        "symbols = [\"AAPL\", \"aapl\"]",
        "strategy[0].symbols[1]: `aapl` is not a symbol; right would be: a list of symbols",
    ),
    wrong(
        "skew = 1,",
        "skew = 1.5,",
        "strategy[0].params.skew: invalid type: floating point `1.5`, expected i64; right would be: a table of integers",
    ),
    wrong(
        "[limits]",
        "[[strategy]]\nname = \"taker\"\nid = 1\n[limits]",
        "strategy[1].id: 1 is the id of strategy 0 already",
    ),
    wrong(
        "order_quantity_max = 10000",
        "order_quantity_max = 1000000",
        "limits.order_quantity_max: 1000000 is out of range; right would be: shares from 1 to 999999",
    ),
    wrong("order_quantity_max = 10000", "order_quantity_max = 10000\norder_quantity_max = 1", "duplicate key"),
    wrong("price_collar_percent = 5", "price_collar_percent = 0", "limits.price_collar_percent: 0 is out of range"),
    wrong(
        "position_max = 20000",
        "position_maximum = 20000",
        "limits.position_maximum: unknown field `position_maximum`, expected one of",
    ),
    wrong(
        "symbol = \"SPY\"",
        "symbol = \"spy\"",
        "limits.symbol[0].symbol: `spy` is not a symbol; right would be: a symbol",
    ),
    wrong(
        "symbol = \"SPY\"",
        "symbol = \"SPY\"\n[[limits.symbol]]\nsymbol = \"SPY\"",
        "limits.symbol[1].symbol: SPY has its limits in entry 0 already",
    ),
    wrong("price_min = 300_0000", "price_min = 0", "limits.symbol[0].price_min: 0 is out of range"),
    wrong(
        "price_max = 900_0000",
        "price_max = 299_9999",
        "limits.symbol[0].price_max: 2999999 is below price_min = 3000000; right would be: a price from 1",
    ),
    wrong("GME = [", "gme = [", "reference.price_bands: `gme` is not a symbol"),
    wrong("[200_000, 260_000]", "[260_000, 200_000]", "reference.price_bands.GME: 200000 is below 260000"),
    wrong("[200_000, 260_000]", "[0, 200_000]", "reference.price_bands.GME: 0 is out of range"),
    wrong(
        "GME = [",
        "SPY = [",
        "reference.price_bands.SPY: no price is within it and within price_min and price_max of [[limits.symbol]]",
    ),
    // A unit that is not the other list's: cents in place of 1/10000, and the other way round.
    wrong(
        "[200_000, 260_000]",
        "[2_000, 2_600]",
        "reference.price_bands.GME: prices from 2000 to 2600 exclude 231500, the prior_close of GME; \
         right would be: bounds with 231500 within, or another prior_close or none: all in 1/10000 of the currency unit",
    ),
    wrong(
        "[200_000, 260_000]",
        "[231_501, 260_000]",
        "reference.price_bands.GME: prices from 231501 to 260000 exclude",
    ),
    wrong(
        "[200_000, 260_000]",
        "[200_000, 231_499]",
        "reference.price_bands.GME: prices from 200000 to 231499 exclude",
    ),
    wrong(
        "prior_close = { GME = 231500 }",
        "prior_close = { GME = 231500, SPY = 60000 }",
        "limits.symbol[0].price_min: prices from 3000000 to 1999999900 exclude 60000, the prior_close of SPY",
    ),
    wrong(
        "prior_close = { GME = 231500 }",
        "prior_close = { GME = 231500, SPY = 900_0001 }",
        "limits.symbol[0].price_max: prices from 1 to 9000000 exclude 9000001, the prior_close of SPY",
    ),
    wrong("position_max = 50000", "position_max = 0", "limits.symbol[0].position_max: 0 is out of range"),
    wrong("gross_max = 80_000_000_0000", "gross_max = 0", "limits.strategy[0].gross_max: 0 is out of range"),
    wrong(
        "id = 1\nposition_max = 20000",
        "id = 2\nposition_max = 20000",
        "limits.strategy[0].id: no strategy has the id 2; right would be: the id of a strategy of this host",
    ),
    wrong(
        "id = 1\nposition_max = 20000",
        "id = 1\n[[limits.strategy]]\nid = 1\nposition_max = 20000",
        "limits.strategy[1].id: 1 has its limits in entry 0 already",
    ),
    wrong(
        "on_heartbeat_loss = \"halt\"",
        "on_heartbeat_loss = \"ignore\"",
        "daemon.on_heartbeat_loss: unknown variant `ignore`",
    ),
    wrong("fsync = \"interval\"", "fsync = true", "journal.fsync: "),
];

#[test]
fn each_wrong_configuration_is_refused_at_its_place() {
    let mut failures = Vec::new();
    for Wrong { from, to, message } in TABLE {
        assert!(EXAMPLE.contains(from), "`{from}` must stand in the example");
        let text = EXAMPLE.replacen(from, to, 1);
        match Config::parse(Path::new("wrong.toml"), &text) {
            Ok(_) => failures.push(format!("accepted: `{to}`")),
            Err(problems) => {
                let shown = problems.to_string();
                let without_place = shown.splitn(4, ':').nth(3).unwrap_or_default().trim_start();
                if problems.0.len() != 1 || !without_place.starts_with(message) {
                    failures.push(format!("`{from}` -> `{to}`:\n   got      {shown}\n   expected {message}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn line_and_column_are_those_of_the_value() {
    let text = EXAMPLE.replace("queues = [0]", "queues = [0, 0]");
    let line = text.lines().position(|line| line.starts_with("queues")).map_or(0, |index| index + 1);
    let Err(problems) = Config::parse(Path::new("etc/tern.toml"), &text) else { panic!("accepted") };
    assert!(problems.to_string().starts_with(&format!("etc/tern.toml:{line}:14: port.queues[1]: ")), "{problems}");
}

#[test]
fn bounds_that_end_at_the_prior_close_hold_it_and_those_of_other_symbols_are_not_asked() {
    for (from, to) in [
        ("[200_000, 260_000]", "[231_500, 260_000]"),
        ("[200_000, 260_000]", "[200_000, 231_500]"),
        ("GME = [200_000, 260_000]", "QQQ = [2_000, 2_600]"),
        ("prior_close = { GME = 231500 }", "prior_close = { SPY = 300_0000 }"),
        ("prior_close = { GME = 231500 }", "prior_close = { SPY = 900_0000 }"),
    ] {
        assert!(EXAMPLE.contains(from), "`{from}` must stand in the example");
        let found = Config::parse(Path::new("x.toml"), &EXAMPLE.replacen(from, to, 1));
        assert!(found.is_ok(), "`{to}`: {}", found.err().map_or(String::new(), |problems| problems.to_string()));
    }
}

#[test]
fn bounds_that_exclude_the_prior_close_are_named_with_their_line() {
    let text = EXAMPLE.replace("[200_000, 260_000]", "[2_000, 2_600]");
    let line = text.lines().position(|line| line.starts_with("price_bands")).map_or(0, |index| index + 1);
    let Err(problems) = Config::parse(Path::new("etc/tern.toml"), &text) else { panic!("accepted") };
    assert!(
        problems.to_string().starts_with(&format!("etc/tern.toml:{line}:23: reference.price_bands.GME: ")),
        "{problems}"
    );
}

#[test]
fn every_problem_is_told_at_once_and_in_the_order_of_the_file() {
    let text =
        EXAMPLE.replace("stream = 1", "stream = 0").replace("queues = [0]", "queues = []").replace("id = 1", "id = 0");
    let Err(problems) = Config::parse(Path::new("x"), &text) else { panic!("accepted") };
    let fields: Vec<&str> = problems.0.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(
        fields,
        ["port.queues", "feed[0].stream", "strategy[0].id", "limits.strategy[0].id", "opening.position[0].strategy"]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let Err(problems) = Config::load("/nonexistent/tern.toml") else { panic!("accepted") };
    assert!(problems.to_string().starts_with("/nonexistent/tern.toml:1:1: cannot be read: No such file"), "{problems}");
}

#[test]
fn a_caller_can_report_a_problem_of_its_own_with_its_place() {
    let config = Config::parse(Path::new("x.toml"), EXAMPLE).unwrap_or_else(|problems| panic!("{problems}"));
    let problem = config.problem_expecting("strategy[0].name", "no strategy `maker`", "taker or observe");
    assert!(problem.line > 1);
    assert!(problem.to_string().ends_with("strategy[0].name: no strategy `maker`; right would be: taker or observe"));
}
