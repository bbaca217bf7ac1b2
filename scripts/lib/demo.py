#!/usr/bin/env python3
"""Runs Tern against the simulated exchange over a veth pair, then holds both sides' files against each other.

Two namespaces joined by a veth pair: the exchange publishes ITCH by multicast and serves OUCH on an ordinary kernel
socket; ternd loads the XDP program on the other end and starts the data plane. Everything lives in namespaces that die
with this process.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import compare  # noqa: E402
import report as reports  # noqa: E402
import sandbox  # noqa: E402
from venue import Exchange, Tern, orders_sent  # noqa: E402

STARTED = time.monotonic()
# in the order of a packet's path
STAGES = ("decoded", "book", "strategy", "risk", "encoded", "submitted")


def arguments(given=None):
    parser = argparse.ArgumentParser(prog=os.environ.get("TERN_DEMO_NAME", "scripts/demo"), description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="how long the market is open (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the flow and the faults (default 1)")
    parser.add_argument("--itch", metavar="FILE", help="market data from an ITCH file instead of the generator")
    parser.add_argument("--pace", choices=("recorded", "scaled", "flat"), help="scaled: the whole flow in --seconds; "
                        "recorded: by its own time stamps; flat: as fast as it goes (default scaled)", default="scaled")
    parser.add_argument("--observe", action="store_true", help="trade nothing, only keep the books")
    parser.add_argument("--port", choices=("xdp", "socket"), default="xdp", help="what carries the frames (default xdp)")
    parser.add_argument("--attach", choices=("auto", "native", "generic"), default="auto", help="XDP attach mode")
    parser.add_argument("--wait", choices=("spin", "block"), default="spin", help="how the loop waits (default spin)")
    parser.add_argument("--huge-pages", choices=("auto", "off"), default="auto")
    parser.add_argument("--rate", type=int, default=20_000, help="messages a second of the generated flow (default 20000)")
    parser.add_argument("--instruments", type=int, default=12_000, help="instruments that fit (default 12000)")
    parser.add_argument("--orders", type=int, default=1_000_000, help="live orders that fit in all books (default 1000000)")
    parser.add_argument("--snap-bytes", type=int, default=2048, help="bytes of each frame in the capture (default 2048)")
    parser.add_argument("--json", metavar="FILE", help="also write the report as JSON here")
    parser.add_argument("--out", metavar="DIR", default=os.path.join(ROOT, "target", "demo"),
                        help="where report.json, latency.html, logs and the journal go (default target/demo)")
    parser.add_argument("--exchange-option", action="append", default=[], metavar="OPTION",
                        help="passed to tern-exchange as it is, for faults: see tern-exchange --help")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="a configuration value, as in limits.position_max=100")
    return parser.parse_args(given)


def progress(text, end=""):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end=end, file=sys.stderr, flush=True)


def say(text):
    progress("")
    print(text, file=sys.stderr, flush=True)


def watch(options, exchange, tern):
    """Shows progress until the exchange ends its day; raises when a process ends before."""
    deadline = time.monotonic() + options.seconds + 60
    began = time.monotonic()
    while exchange.running():
        if not tern.running():
            sandbox.heed_interrupt()
            raise RuntimeError(f"ternd ended early (exit {tern.process.returncode}); its log: {tern.log}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"the exchange did not end in time; its log: {exchange.log}")
        status = tern.status()
        if status:
            progress(f"{time.monotonic() - began:5.1f} s  " + "  ".join(f"{k} {v:,}" for k, v in status.items()))
        time.sleep(0.5)
    sandbox.heed_interrupt(0)
    progress("")
    if exchange.process.returncode != 0:
        raise RuntimeError(f"tern-exchange: exit {exchange.process.returncode}; its log: {exchange.log}")


def run(options):
    out = os.path.abspath(options.out)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    network = sandbox.Network()
    tern = Tern(options, out, network)
    exchange = Exchange(options, out, network)
    try:
        tern.start()
        tern.wait_ready()
        exchange.start()
        say(f"demo: exchange and Tern are up after {time.monotonic() - STARTED:.1f} s; the market opens")
        watch(options, exchange, tern)
        tern.settle()
        tern.observe_counters()
    finally:
        tern.stop()
        exchange.stop()
    say("demo: comparing the exchange's log with the journal")
    findings = build(options, out, exchange, tern)
    with open(os.path.join(out, "report.json"), "w", encoding="utf-8") as file:
        json.dump(findings, file, indent=2)
    if options.json:
        shutil.copyfile(os.path.join(out, "report.json"), options.json)
    with open(os.path.join(out, "latency.html"), "w", encoding="utf-8") as file:
        file.write(reports.page(findings))
    print(reports.text(findings))
    print(f"\nreport.json, latency.html, logs and the journal are in {os.path.relpath(out, ROOT)}")
    return 0 if all(check["ok"] for check in findings["checks"]) else 1


def build(options, out, exchange, tern):
    """The report: what each side says, and whether they agree."""
    journal = compare.Journal(tern.binary("tern"), tern.config)
    venue = compare.Exchange(exchange.orders_log)
    own = tern.report()
    facts = tern.facts()
    only_ours, only_theirs = compare.orders(journal, venue)
    # what was taken back is in the journal as taken back
    missing, recalled = compare.without(only_ours, journal.taken_back), len(journal.taken_back)
    sums = compare.differences(journal.positions(), venue.positions())
    claims = compare.differences(journal.claimed_positions(), venue.claimed)
    books = tern.compare_books(exchange)
    counters = tern.counters
    dropped = tern.dropped()
    sent = venue.totals["datagrams_sent"] + venue.totals["heartbeats_sent"]
    received = counters["feed"]["datagrams"]
    # The socket's own drop counters count every frame, order sessions' too: so the sum is of frames.
    others = counters["steer"].get("redirect_tcp", 0) + counters["steer"].get("redirect_arp", 0)
    frames = counters["loop"]["frames_received"] if others else received
    lost = sum(dropped.values())
    checks = []

    def check(name, ok, detail):
        checks.append({"name": name, "ok": bool(ok), "detail": detail})

    check("datagrams", sent + others == frames + lost and (lost or sent == received),
          f"{sent:,} sent and {others:,} frames of the order session = {frames:,} received + {lost:,} dropped")
    gaps = counters["feed"]["gaps"]
    expects_gaps = bool(venue.totals["datagrams_dropped"])
    check("gaps", expects_gaps or gaps == 0, f"{gaps} gaps")
    # a flow without a single order has no book to compare
    has_orders = any(venue.totals["messages_by_type"].get(kind) for kind in "AF")
    check("books", (books["compared"] > 0 or not has_orders) and not books["different"],
          f"{books['compared']} books order by order at {len(books['sequences'])} sequence numbers, {books['different']} differ")
    check("orders", not missing and not only_theirs and len(journal.orders) - recalled == len(venue.orders),
          f"{len(journal.orders):,} in the journal{f', {recalled} of them recalled' if recalled else ''}, {len(venue.orders):,} at "
          f"the exchange; only in the journal {len(missing)}, only at the exchange {len(only_theirs)}")
    check("positions and cash", not sums and not claims,
          f"{len(venue.positions())} symbols summed from the executions of each side, {len(sums)} differ; "
          f"{len(claims)} differ from what each side claims")
    check("journal", own["journal"]["verified"] and own["journal"]["unexplained"] == 0,
          f"{own['journal']['records']:,} records, {own['journal']['shed']} shed, chain and checksums "
          f"{'verified' if own['journal']['verified'] else 'BROKEN'}")
    check("replay", books["replay_ok"], books["replay"])
    audit = tern.audit()
    kinds = sorted({finding["disagreement"] for finding in audit["found"]})
    check("second opinion", audit["disagreements"] == 0 and audit["orders"] == len(journal.orders),
          f"{audit['orders']:,} orders and {audit['answers']:,} answers of the venue recomputed by other code, "
          f"{audit['disagreements']} disagreements{': ' + ', '.join(kinds) if kinds else ''}")
    copy = tern.drop_copy()
    waiting = copy["waiting_here"] + copy["waiting_there"]
    check("drop copy", copy["differences"] == 0 and waiting == 0 and copy["positions_differ"] == 0
          and copy["executions"] == len(journal.fills),
          f"{copy['matched']:,} messages of orders told on both streams, {copy['executions']:,} executions among them, "
          f"{copy['positions']} positions; {copy['differences']} differences, {waiting} on one stream alone")
    if options.port == "xdp":
        check("redirects", counters["steer"].get("redirect_udp", 0) > 0, f"{counters['steer'].get('redirect_udp', 0):,}")
    trades = compare.story(journal, venue)
    if not options.observe and not options.itch:
        check("trading", len(journal.fills) > 0 and trades["symbols_traded"] >= 50 and trades["partial_fills"] > 0
              and trades["replaces_lost_priority"] > 0 and trades["cancels_lost_to_fill"] > 0,
              f"{len(journal.fills):,} fills in {trades['symbols_traded']} symbols, {trades['partial_fills']:,} partial, "
              f"{trades['replaces_lost_priority']:,} replaces lost priority, {trades['cancels_lost_to_fill']:,} cancels "
              "lost to a fill")
        own_trades = compare.self_trades(venue)
        check("self-trades", not own_trades, f"{len(own_trades)} of the exchange's matches have our orders on both sides; "
              f"{own['orders']['refused'].get('self_trade', 0):,} intents refused that would have")
    if options.observe:
        check("no order", not journal.orders and not venue.orders, "none sent")
    positions = journal.claimed_positions()
    first = min((order["tai_ns"] for order in journal.orders), default=None)
    return {
        "version": 1,
        "seed": options.seed,
        "source": f"ITCH file {os.path.basename(options.itch)}" if options.itch else f"generated flow, {options.pace}",
        "run_seconds": options.seconds,
        "port": facts["port"],
        "wait": facts["wait"],
        "huge_pages": facts["huge_pages"],
        "fallbacks": facts["fallbacks"],
        "datagrams": {"sent": sent, "steered": counters["steer"].get("redirect_udp", 0), "received": received,
                      "dropped": dropped, "gaps": gaps},
        "messages": counters["feed"]["messages"],
        "orders": {"sent": orders_sent(counters["loop"]), "received": len(venue.orders), "journaled": len(journal.orders),
                   "recalled": recalled, "refused": own["orders"]["refused"], "by_action": own["orders"]["by_action"]},
        "fills": len(journal.fills),
        **trades,
        "mismatches": {"books": books["different"], "orders": len(missing) + len(only_theirs),
                       "positions": sum(1 for ours, theirs in [*sums.values(), *claims.values()] if ours[0] != theirs[0]),
                       "cash": sum(1 for ours, theirs in [*sums.values(), *claims.values()] if ours[1] != theirs[1])},
        "mismatch_examples": {"orders": (missing + only_theirs)[:10], "positions": dict(list((sums | claims).items())[:10]),
                              "books": books["examples"]},
        "cash": sum(cash for _, cash in positions.values()),
        "realized": own["realized"],
        "open_positions": sum(1 for shares, _ in positions.values() if shares),
        "journal": own["journal"],
        "audit": {"orders": audit["orders"], "answers": audit["answers"], "disagreements": audit["disagreements"],
                  "kinds": kinds},
        "drop_copy": {key: copy[key] for key in ("matched", "executions", "positions", "differences", "logins", "next_seq")},
        "steer_counters": counters["steer"],
        "counters": counters,
        "latency_ns": {"tick_to_order": curve(own["latency_ns"]["tick_to_order"]),
                       "arrival_to_order": curve(own["latency_ns"]["arrival_to_order"]),
                       "wire_to_wire": exchange.wire_to_wire(tern, journal)},
        "stage_latency_ns": {name: curve(own["stage_latency_ns"][name]) for name in STAGES if name in own["stage_latency_ns"]},
        "start_to_first_order_ms": tern.first_order_ms(first),
        "rss_bytes": tern.rss_bytes,
        "checks": checks,
    }


def curve(figures):
    """Adds the percentile curve that the plot draws."""
    points = (("p50", 50), ("p90", 90), ("p99", 99), ("p999", 99.9), ("max", 99.99))
    if figures.get("n"):
        figures["curve"] = [(0, figures["min"]), *((percent, figures[key]) for key, percent in points)]
    return figures


def main():
    options = arguments()
    try:
        sandbox.enter(os.path.abspath(__file__))
        # as the first process of its namespace, it gets no signal that it does not ask for
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        return run(options)
    except KeyboardInterrupt:
        return stopped()
    except Exception as error:
        if was_interrupted(error) or is_interrupted_late():
            return stopped()
        if not isinstance(error, RuntimeError):
            raise
        say(f"demo: {error}")
        return 1


def stopped():
    say("demo: stopped; everything it started is gone")
    return 130


def is_interrupted_late():
    """Whether an interrupt is on its way: a terminal interrupts every program, and one that it ended may be noticed first."""
    try:
        time.sleep(0.5)
    except KeyboardInterrupt:
        return True
    return False


def was_interrupted(error):
    """Whether the error came up while an interrupt was cleaned up after: a terminal interrupts the programs that the
    cleaning up would ask as well."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


if __name__ == "__main__":
    sys.exit(main())
