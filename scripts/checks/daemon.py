"""The daemon stops beating, or dies, under load: no order leaves after the deadline, and every record is in the journal."""

import os
import signal
import time

import compare
import session
import venue

SILENCE_MS, HALT_MS = 1000, 4000
DEADLINES = ("--set", f"daemon.silence_ms={SILENCE_MS}", "--set", f"daemon.silence_halt_ms={HALT_MS}")
# the loop looks every millisecond; the rest is what a busy host may keep it from its core
LATE_NS = 300_000_000


def daemon_stopped(out, _options):
    """ternd is stopped beyond the first deadline and goes on, then beyond the second."""
    with session.Session(out, "--seconds", 22, "--rate", 5000, "--exchange-option=--linger-ms=1500", *DEADLINES) as today:
        today.start()
        today.wait_orders(200)
        pid = today.tern.process.pid
        assert ahead(pid) == 1 and ahead(today.pid()) == 0, "of both only the drain goes before others on its core"
        first = silence(today, lambda: os.kill(pid, signal.SIGSTOP), (SILENCE_MS + HALT_MS) / 2000)
        os.kill(pid, signal.SIGCONT)
        back_ns = tai_ns()
        today.wait("it trades again by itself", lambda: today.status()["trading"], 5)
        today.wait_orders(first["orders"] + 100)
        second = silence(today, lambda: os.kill(pid, signal.SIGSTOP), HALT_MS / 1000 + 1.5)
        assert second["halt"] == "daemon_lost" and second["open"] == 0, second
        os.kill(pid, signal.SIGCONT)
        lifted_ns = lift(today)
        today.close()
        found = today.findings()
        session.require(found, but=("trading", "orders"))
        today.consistent(cut=True)
        none_left(today, first, back_ns)
        none_left(today, second, lifted_ns)
        pulses = told(today)
        assert pulses == ["silent", "steady", "silent", "lost", "steady"], pulses
        return (f"stopped {first['seconds']:.1f} s: {first['halt']}, 0 orders from {SILENCE_MS} ms on, traded again by itself; stopped "
                f"{second['seconds']:.1f} s: {second['halt']}, {second['was_open']} open orders cancelled, traded when resumed; all of it journaled")


def ahead(pid):
    """How many threads of a process go before ordinary ones."""
    count = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8") as stat:
            count += int(stat.read().rsplit(") ", 1)[1].split()[16]) < 0
    return count


def daemon_killed(out, _options):
    """ternd dies and is started again within the first deadline, and beyond both."""
    # a host that has much to do takes seconds for a start; the rings hold what comes in so long
    deadline_ms, halt_ms = 6000, 8000
    with session.Session(out, "--seconds", 26, "--rate", 2500, "--exchange-option=--linger-ms=1500", "--set",
                         f"daemon.silence_ms={deadline_ms}", "--set", f"daemon.silence_halt_ms={halt_ms}") as today:
        today.start()
        today.wait_orders(200)
        plane = today.pid()
        began = time.monotonic()
        die(today)
        again(today, plane)
        away = time.monotonic() - began
        assert away < deadline_ms / 1000, f"the host took {away:.1f} s to start a daemon: nothing can be said of it"
        assert not told(today) and today.status()["trading"], (told(today), today.status()["halt"])
        before = venue.orders_sent(today.counters()["loop"])
        today.wait_orders(before + 100)
        gone = silence(today, lambda: die(today), halt_ms / 1000 + 1.5, deadline_ms=deadline_ms)
        assert gone["halt"] == "daemon_lost" and gone["open"] == 0, gone
        again(today, plane)
        lifted_ns = lift(today)
        today.close()
        found = today.findings()
        session.require(found, but=("trading", "orders"))
        today.consistent(cut=True)
        none_left(today, gone, lifted_ns)
        assert told(today) == ["silent", "lost", "steady"], told(today)
        return (f"killed and started again within {away:.1f} s: nothing noticed; for {gone['seconds']:.1f} s: {gone['halt']}, "
                f"{gone['was_open']} open orders cancelled, 0 orders until resumed; the same data plane all the while, all of it journaled")


def silence(today, begin, seconds, deadline_ms=SILENCE_MS):
    """Has the daemon silent for a while; what is there at its end, as the segment says, for the daemon cannot."""
    was_open = today.counters()["loop"]["open_orders"]
    begin()
    began_ns = tai_ns()
    time.sleep(seconds)
    halt = today.status()["halt"]
    assert halt, "it trades, and nobody drains"
    counters = today.counters()["loop"]
    return {"halt": halt["reason"], "open": counters["open_orders"], "was_open": was_open, "seconds": (tai_ns() - began_ns) / 1e9,
            "orders": venue.orders_sent(counters), "from_ns": began_ns + deadline_ms * 1_000_000 + LATE_NS}


def lift(today):
    """Only an operator re-arms it; when."""
    before = today.counters()["loop"]["orders_new"]
    today.wait("ternd answers", lambda: (today.status().get("halt") or {}).get("reason") == "daemon_lost", 5)
    time.sleep(1.0)
    assert today.counters()["loop"]["orders_new"] == before, "new orders, and nobody resumed"
    lifted_ns = tai_ns()
    assert today.tern.tern("resume")["resumed"]
    today.wait("orders again", lambda: today.counters()["loop"]["orders_new"] > before, 10)
    return lifted_ns


def none_left(today, silent, until_ns):
    """No order and no replace was made between the deadline and its end."""
    journal = compare.Journal(today.tern.binary("tern"), today.tern.config)
    late = [order for order in journal.orders if order["action"] != "cancel" and silent["from_ns"] < order["tai_ns"] < until_ns]
    assert not late, f"{len(late)} orders after the deadline: {late[:3]}"


def told(today):
    """What the loop wrote down of the daemon's heartbeat."""
    if today.tern.running():
        today.tern.settle()
    records = compare.cat(today.tern.binary("tern"), today.tern.config, "command")
    return [record["body"]["pulse"] for record in records if record["body"]["kind"] == "daemon_pulse"]


def die(today):
    session.kill(today.tern.process.pid)
    today.tern.process.wait()


def again(today, plane):
    today.tern.log += "+"
    today.tern.start()
    today.wait("the new daemon adopts the data plane",
               lambda: (today.status().get("daemon") or {}).get("adopted") and today.pid() == plane)


def tai_ns():
    return time.clock_gettime_ns(time.CLOCK_TAI)
