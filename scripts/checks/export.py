"""A journal exported while it is written, with the exporter killed on the way, read back by DuckDB and ClickHouse."""

import json
import os
import random
import subprocess
import time
from decimal import Decimal

import session
from session import compare

ROOT = os.path.dirname(os.path.dirname(session.HERE))
SUMS = {
    "orders": "sum(price * quantity), count(distinct order_id), count(cause_ns)",
    "order_events": "sum(price * quantity), sum(leaves), count(match_number)",
    "positions": "sum(cash), sum(realized), count(distinct symbol)",
    "stages": "sum(backlog), count(order_id), count(submitted)",
}


def exporter(today, out):
    return [today.tern.binary("tern"), "--config", today.tern.config, "--json", "export", "--out", out]


def export(out, _options):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    with session.Session(out, "--seconds", 4, "--set", "journal.segment_bytes=2097152") as today:
        today.start()
        today.wait_orders(200)
        files, killed = os.path.join(out, "parquet"), 0
        while today.exchange.running():
            process = subprocess.Popen(exporter(today, files), stdout=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.002, 0.05))
            if process.poll() is None:
                process.kill()
                killed += 1
            assert process.wait() in (0, -9), f"seed {seed}: tern-export: exit {process.returncode}"
        today.wait_closed()
        today.tern.settle()
        today.stop()
        report = json.loads(subprocess.run(exporter(today, files), check=True, capture_output=True, text=True).stdout)
        counts, sums, expected = read_back(today, files)
        told = {table: rows for table, rows in report["rows"].items() if rows}
        assert told == counts["journal"], f"seed {seed}: {told} exported, the journal has {counts['journal']}"
        for reader in ("duckdb", "chdb"):
            assert counts[reader] == counts["journal"], f"seed {seed}: {reader} {counts[reader]}, journal {counts['journal']}"
            for table, figures in expected.items():
                assert same(sums[reader][table], figures), f"seed {seed}: {table}: {reader} {sums[reader][table]}, journal {figures}"
        assert report["unreadable"] == 0 and report["records"] == sum(told.values()) + report["left_out"], report
        assert counts["journal"]["orders"] > 200 and killed > 0, f"{counts['journal']}, killed {killed}"
        return (f"{sum(told.values()):,} rows of {len(told)} tables, {report['segments']} segments, exporter killed {killed} times: "
                f"the same in DuckDB, ClickHouse and the journal (seed {seed})")


def same(some, others):
    """As numbers: of a sum of decimals that is whole, readers write the zeros behind the point or not."""
    return [Decimal(value) for value in some] == [Decimal(value) for value in others]


def read_back(today, files):
    """What each reader says: rows a table, and sums; and what those must be, from the journal itself."""
    queries = {"sums": SUMS, "files": files}
    python = os.path.join(ROOT, ".venv", "bin", "python")
    told = subprocess.run([python, os.path.join(session.HERE, "export_read.py")], input=json.dumps(queries), check=True,
                          capture_output=True, text=True)
    told = json.loads(told.stdout)
    counts, expected = journal_says(today)
    return {"journal": counts, **told["counts"]}, told["sums"], expected


def journal_says(today):
    """Rows a table by the journal's own kinds, and the sums of SUMS, with whole numbers."""
    kinds = {"order": "orders", "refusal": "refusals", "order_event": "order_events", "position": "positions", "stages": "stages",
             "trust": "trust", "state": "states", "counters": "counters", "conn": "connections", "command": "commands",
             "start": "starts", "shed": "shed", "set_limits": "limit_commands", "limits": "limit_outcomes", "rescue": "rescues", "day": "day_steps",
             "instrument_trust": "instrument_trust", "reconcile": "differences", "strategy": "strategies",
             "strategy_state": "strategy_states", "outlier": "outliers",
             "manual": "manual_commands", "manual_outcome": "manual_outcomes",
             "adjustment": "adjustments"}
    counts, bodies = {}, {table: [] for table in SUMS}
    for record in compare.cat(today.tern.binary("tern"), today.tern.config, ",".join(kinds)):
        table = kinds[record["kind"]]
        counts[table] = counts.get(table, 0) + 1
        if table in bodies:
            bodies[table].append(record["body"])
    money = lambda total: f"{total // 10000}.{total % 10000:04d}" if total >= 0 else f"-{-total // 10000}.{-total % 10000:04d}"  # noqa: E731
    orders, events, positions, stages = (bodies[table] for table in SUMS)
    worth = lambda all_of: money(sum(body["price"] * body["quantity"] for body in all_of))  # noqa: E731
    return counts, {
        "orders": [worth(orders), len({body["order"] for body in orders}), sum(1 for body in orders if body["cause_ns"])],
        "order_events": [worth(events), sum(body["leaves"] for body in events), sum(1 for body in events if body["match_number"])],
        "positions": [money(sum(body["cash"] for body in positions)), money(sum(body["realized"] for body in positions)),
                      len({body["symbol"] for body in positions})],
        "stages": [sum(body["backlog"] for body in stages), sum(1 for body in stages if body["order"]),
                   sum(1 for body in stages if "submitted" in body["stage_ns"])],
    }
