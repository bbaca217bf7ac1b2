"""A day with a database and a message store that follow the journal, and are gone for an hour (compressed) in its middle."""

import json
import os
import statistics
import subprocess
import time

import export
import session
import stores
from session import compare

# An hour's outage, compressed: long enough for everything that waits or warns to do so.
GONE_S = 4.0
# Of the orders a second while the servers are there, so many at least while they are gone: the market sends as many all the time.
ORDERS_PART_MIN = 0.5
LOST = ("capture_shed", "record_refused", "stages_refused")


def sinks(out, _options):
    with session.Session(out, "--seconds", 12, capture=False) as today:
        journal, program = os.path.join(out, "journal"), today.tern.binary("tern-sink")
        servers = {"postgres": stores.Postgres(), "nats": stores.Nats()}
        following = {}
        try:
            for server in servers.values():
                server.start()
            os.makedirs(journal, exist_ok=True)
            following["postgres"] = stores.Sink(program, out, "postgres", journal, "--url", servers["postgres"].url)
            following["nats"] = stores.Sink(program, out, "nats", journal, *servers["nats"].arguments)
            return day(today, servers, following, program, journal)
        finally:
            for process in (*following.values(),):
                process.stop()
            for server in servers.values():
                server.remove()


def day(today, servers, following, program, journal):
    today.start()
    today.wait_orders(500)
    marks = [seq(today)]
    time.sleep(3)
    lag = {name: sink.status()["lag"] for name, sink in following.items()}
    marks.append(seq(today))
    for server in servers.values():
        server.stop()
    time.sleep(GONE_S)
    for name, sink in following.items():
        status = sink.status()
        assert status["state"] == "store_gone" and status["trouble"] and status["behind_ms"] > 2_000, f"{name}: {status}"
        assert "records behind, since" in sink.said() and "nothing is lost meanwhile" in sink.said(), f"{name}: {sink.said()}"
    marks.append(seq(today))
    for server in servers.values():
        server.start()
    today.wait_closed()
    today.tern.settle()
    marks.append(seq(today))
    loop = today.counters()["loop"]
    today.stop()
    for name, sink in following.items():
        stores.wait(f"{name} has all", lambda sink=sink: is_level(sink.status()))
    reports = {name: sink.end() for name, sink in following.items()}

    counts, sums = export.journal_says(today)
    database = servers["postgres"]
    stored = {table: int(database.ask(f"SELECT count(*) FROM tern.{table}")[0][0]) for table in counts}
    assert stored == counts, f"postgres has {stored}, the journal {counts}"
    for table, expected in sums.items():
        found = database.ask(f"SELECT {export.SUMS[table]} FROM tern.{table}")[0]
        assert found == [str(figure) for figure in expected], f"postgres: {table}: {found}, journal {expected}"
    replayed = subprocess.run([program, "nats", journal, *servers["nats"].arguments, "--replay", "--json"], capture_output=True, text=True)
    assert replayed.returncode == 0, replayed.stderr
    replayed = json.loads(replayed.stdout)
    assert replayed["rows"] == counts and replayed["unfinished"] == 0, f"nats has {replayed}, the journal {counts}"

    shed = {name: loop[name] for name in LOST if loop[name]}
    assert not shed, f"the loop noticed: {shed}"
    # Latencies are said, not held against each other: on two cores that run all of it they grow in the course of a day, with both
    # servers there all the time as well.
    there, gone, back = parts(today, marks)
    assert gone["rate"] >= ORDERS_PART_MIN * there["rate"], f"orders a second: {there['rate']:.0f} with the servers, {gone['rate']:.0f} without"
    return (f"{sum(counts.values()):,} rows of {len(counts)} tables, both servers gone for {GONE_S:.0f} s: the same in the journal, PostgreSQL and NATS; "
            f"before, while and after they were gone: orders a second {there['rate']:.0f}, {gone['rate']:.0f}, {back['rate']:.0f}, "
            f"p50 from datagram to order {there['p50']}, {gone['p50']}, {back['p50']} ns; " +
            "; ".join(figures(name, lag[name], report) for name, report in reports.items()))


def is_level(status):
    return status["state"] == "following" and status["behind_records"] == 0


def seq(today):
    return today.status()["seq"]["last"]


def figures(name, lag, report):
    """The lag before the outage, and how fast what waited was stored."""
    assert report["losses"] >= 1 and lag["records"] > 100, f"{name}: {report}"
    caught_up = report["catch_up"]
    assert caught_up and caught_up["records"] > 1_000, f"{name}: {report}"
    return (f"{name}: lag p50 {lag['p50_us'] / 1e3:.1f} ms, p99 {lag['p99_us'] / 1e3:.1f} ms, "
            f"caught up {caught_up['records']:,} records at {caught_up['records_per_second']:,.0f} a second")


def parts(today, marks):
    """Orders a second and the median from a datagram's arrival to its order, ns: before the servers went, while they were gone, and after."""
    samples, times = ([], [], []), ([], [], [])
    for record in compare.cat(today.tern.binary("tern"), today.tern.config, "stages"):
        body = record["body"]
        for index, (first, last) in enumerate(zip(marks, marks[1:])):
            if first < record["seq"] <= last and body["order"] and "submitted" in body["stage_ns"]:
                samples[index].append(body["stage_ns"]["submitted"] - body["arrival_ns"])
                times[index].append(body["arrival_ns"])
    assert all(len(part) > 100 for part in samples), [len(part) for part in samples]
    return [{"rate": len(part) / ((max(at) - min(at)) / 1e9), "p50": round(statistics.median(part))} for part, at in zip(samples, times)]
