//! What a scraper reads of an instance whose segment and facts say this and that.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tern_abi::command::{LIMITS_MAX, SetLimits};
use tern_abi::counters::LoopCounter;
use tern_abi::record::{Kind, Recorder};
use tern_abi::segment::{
    DISTRUSTED, HoldingsState, KillCause, LimitsState, NOT_MEASURED, Scope, ScopeKind, SegmentSizes, SessionState,
    ShownPosition, TRUSTED, TradingState, UsageState,
};
use tern_config::Config;
use tern_config::alerts::{AlertEvent, AlertsFacts};
use tern_config::facts::{DaemonFacts, DataplaneFacts, JournalFacts, Named, Names, StrategyFact, write};
use tern_config::latency::LatencyFacts;
use tern_hw::segment::{DaemonSegment, DataPlaneSegment, SegmentSpec, SegmentView};
use tern_metrics::seen::{Requests, Seen};
use tern_metrics::table::{Kind as FamilyKind, families};
use tern_metrics::text::{Format, render};

struct Bench {
    folder: PathBuf,
    config: Config,
    spec: SegmentSpec,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tern-metrics-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("journal")).expect("a temporary folder");
        let at = |file: &str| folder.join(file).display().to_string();
        let text = format!(
            "[instance]\nname = \"m\"\n[paths]\nsegment = \"{}\"\njournal = \"{}\"\nrun = \"{}\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n",
            at("segment"),
            at("journal"),
            folder.display()
        );
        let config = Config::parse(&folder.join("c.toml"), &text).unwrap_or_else(|problems| panic!("{problems}"));
        let sizes = SegmentSizes { order_slots: 64, order_reserve_slots: 8, capture_bytes: 4096, command_slots: 16 };
        let spec = SegmentSpec { path: Some(folder.join("segment")), sizes, ..SegmentSpec::new("m") };
        Self { folder, config, spec }
    }

    fn text(&self, format: Format) -> String {
        let view = SegmentView::open_to_read("m", self.config.paths.segment_file()).expect("the segment");
        let segment = view.segment().expect("it can be read");
        let seen = Seen::look(&self.config, Some(&view), Requests { answered: 7, ..Requests::default() });
        render(&families(), &seen, Some(&segment), format)
    }

    fn facts(&self) {
        let named = |names: &[&str]| names.iter().map(|name| Named::new(*name, "")).collect::<Vec<_>>();
        let names = Names {
            refusals: named(&["killed", "price_collar"]),
            halts: named(&["not_halted", "killed"]),
            limits: named(&["order_quantity_max", "gross_max", "drawdown_max", "intent_age_ns_max"]),
            ..Names::default()
        };
        let strategies = vec![StrategyFact { name: "ma\"ker".into(), id: 1 }];
        let facts = DataplaneFacts { strategies, names, ..DataplaneFacts::default() };
        write(&self.config.paths.dataplane_facts(), &facts).expect("written");
        let journal = JournalFacts { trouble: "disk".into(), ..JournalFacts::default() };
        let steer = BTreeMap::from([("redirect_udp".to_owned(), 12)]);
        let facts = DaemonFacts { restarts: 2, journal, steer, ..DaemonFacts::default() };
        write(&self.config.paths.daemon_facts(), &facts).expect("written");
        let active = vec![AlertEvent { alert: "disk_low".into(), ..AlertEvent::default() }];
        write(&self.config.paths.alerts_facts(), &AlertsFacts { active, ..AlertsFacts::default() }).expect("written");
        write(&self.config.paths.latency_facts(), &LatencyFacts::empty()).expect("written");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn everything_that_the_segment_and_the_facts_say_is_read() {
    let bench = Bench::new("all");
    let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
    let mut plane = plane.ends().expect("its ends");
    let mut daemon = DaemonSegment::open(&bench.spec).expect("the segment");
    let daemon = daemon.ends().expect("its ends");
    bench.facts();
    let words = daemon.segment.words();
    words.counters.set(LoopCounter::OrdersNew, 41);
    words.counters.set(LoopCounter::OpenOrders, 5);
    words.counters.set(LoopCounter::LoopStoodNs, 2_500_000_000);
    words.refusals.set(1, 9);
    words.trading.set(false, 1, 1000);
    words.kill.kill(1000, KillCause::Operator, 5);
    words.data_plane_beat.beat(1, 1);
    words.sessions.set(0, SessionState::Ready as u64, 1);
    words.trust.set(1, TRUSTED, 1);
    words.trust.set(2, DISTRUSTED + 3, 1);
    words.strategies.set(0, 2);
    words.limits.write(&LimitsState::new(&SetLimits::new(&[100, 2_000_000, 50_000, 5_000_000], (0, 3), 0, ""), 1));
    let mut used = [NOT_MEASURED; LIMITS_MAX];
    (used[1], used[2]) = (1_600_000, 10_000);
    words.usage.write(&UsageState { tai_ns: 9, reduce_only: 2, high_water: 30_000, used });
    let mut holdings = HoldingsState::default();
    holdings.positions[0] = ShownPosition { symbol: *b"SPY     ", shares: -300, open_buy: 0, open_sell: 100 };
    words.holdings.write(&holdings);
    let scope = Scope {
        kind: ScopeKind::Symbol,
        key: u64::from_le_bytes(*b"SPY     "),
        state: TradingState::Halted,
        uid: 0,
        since_ns: 1,
        changes: 0,
    };
    words.scopes.restrict(&scope).expect("room");
    plane.recorder.record(1, Kind::State, &[&[0; 16]]).expect("room");

    let text = bench.text(Format::OpenMetrics);
    for line in [
        "tern_orders_new_total 41",
        "tern_loop_stood_seconds_total 2.5",
        "tern_open_orders 5",
        "tern_refused_total{reason=\"killed\"} 0",
        "tern_refused_total{reason=\"price_collar\"} 9",
        "tern_trading 0",
        "tern_halt_info{reason=\"killed\"} 1",
        "tern_killed 1",
        "tern_kill_words_total 1",
        "tern_session_ready{session=\"0\"} 1",
        "tern_stream_trusted{stream=\"1\"} 1",
        "tern_stream_trusted{stream=\"2\"} 0",
        "tern_strategy_running{strategy=\"ma\\\"ker\"} 0",
        "tern_limit{limit=\"gross_max\"} 200",
        "tern_limit{limit=\"intent_age_seconds_max\"} 0.005",
        "tern_limit_used{limit=\"gross_max\"} 160",
        "tern_limit_used_ratio{limit=\"gross_max\"} 0.8",
        "tern_limit_reduce_only{limit=\"gross_max\"} 1",
        "tern_profit_high_water 3",
        "tern_drawdown 1",
        "tern_profit 2",
        "tern_position_shares{symbol=\"SPY\"} -300",
        "tern_position_worst_shares{symbol=\"SPY\"} 400",
        "tern_scope_restricted{kind=\"symbol\",key=\"SPY\",state=\"halted\"} 1",
        "tern_ring_used_ratio{ring=\"orders\"} 0.015625",
        "tern_records_total 1",
        "tern_journal_lag_records 1",
        "tern_journal_trouble 1",
        "tern_restarts_total{process=\"dataplane\"} 2",
        "tern_steer_frames_total{outcome=\"redirect_udp\"} 12",
        "tern_process_up{process=\"dataplane\"} 1",
        "tern_process_up{process=\"ternd\"} 1",
        "tern_alert_raised{alert=\"disk_low\",severity=\"warning\"} 1",
        "tern_alert_raised{alert=\"trading_stopped\",severity=\"critical\"} 0",
        "tern_latency_seconds_bucket{span=\"tick_to_order\",le=\"0.0000001\"} 0",
        "tern_latency_seconds_count{span=\"submitted\"} 0",
        "tern_metrics_requests_total{outcome=\"answered\"} 7",
    ] {
        assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("high_water_total"), "a level that would be a counter");
}

/// What a dead process said stays, with its age; what a dead ternd said of alerts does not.
#[test]
fn when_both_processes_are_dead_it_says_so_and_keeps_the_last_values() {
    let bench = Bench::new("dead");
    {
        let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
        let plane = plane.ends().expect("its ends");
        plane.counters.set(LoopCounter::OrdersNew, 41);
        plane.data_plane_beat.beat(1_000_000_000, 1);
    }
    bench.facts();
    let text = bench.text(Format::Prometheus);
    for line in
        ["tern_orders_new_total 41", "tern_process_up{process=\"dataplane\"} 0", "tern_process_up{process=\"ternd\"} 0"]
    {
        assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
    }
    let age = text.lines().find_map(|line| line.strip_prefix("tern_heartbeat_age_seconds{process=\"dataplane\"} "));
    assert!(age.is_some_and(|age| age.parse::<f64>().is_ok_and(|age| age > 1e9)), "{age:?}");
    assert!(!text.contains("tern_alert_raised{"), "nobody raises alerts");
}

/// Every line belongs to the family above it, whose head comes once, and no value is there twice.
#[test]
fn the_text_is_well_formed_in_both_formats() {
    let bench = Bench::new("form");
    let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
    let _ends = plane.ends().expect("its ends");
    bench.facts();
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = bench.text(format);
        let (mut heads, mut series) = (Vec::new(), Vec::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                heads.push(rest.split(' ').next().expect("a name"));
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').expect("a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let of = heads.last().expect("a head");
                assert!(name.starts_with(of), "{line} stands below {of}");
                series.push(name);
            }
        }
        let (heads_all, series_all) = (heads.len(), series.len());
        for names in [&mut heads, &mut series] {
            names.sort_unstable();
            names.dedup();
        }
        assert_eq!((heads.len(), series.len()), (heads_all, series_all), "something is there twice");
        let counters = families().iter().filter(|family| family.kind == FamilyKind::Counter).count();
        assert!(counters > 80 && heads_all > 120, "{counters} {heads_all}");
    }
}
