"""The venue's process stops with orders out: the deadlines of adr/0017, the stop, and what comes late."""

import os
import signal
import time
from collections import Counter

import compare
import kill
import session

ACK_MS = 600
# the loop looks every millisecond; the rest is what a busy host may keep it from its core
LATE_MS = 300
# something was sent shortly before the exchange stopped, or shortly after it
WAITED_MS, FIRST_MS = 300, 400


def silent_venue(out, _options):
    with session.Session(out, "--seconds", 20, "--rate", 5000, "--exchange-option=--linger-ms=1500",
                         "--set", f"session.ack_timeout_ms={ACK_MS}", "--set", "loop.feed_silence_ms=20000", capture=False) as today:
        today.start()
        today.wait_orders(200)
        os.kill(today.exchange.process.pid, signal.SIGSTOP)
        stopped_ns = tai_ns()
        today.wait("an order is told as not answered", lambda: today.counters()["loop"]["orders_unanswered"] > 0, 10, pause=0.02)
        halt = today.wait("trading stops", lambda: today.status()["halt"], 10, pause=0.02)
        status, loop = today.status(), today.counters()["loop"]
        assert halt["reason"] == "no_answer" and not status["trading"], halt
        why = [problem for problem in status["problems"] if "answer" in problem]
        assert why, status["problems"]
        assert loop["open_orders"] > 0 and loop["orders_unanswered"] > 0, "nothing counts as open"
        time.sleep(1.0)
        silent = today.counters()["loop"]
        assert sent(silent) == sent(today.counters()["loop"]), "orders leave after the stop"
        on_ns = tai_ns()
        os.kill(today.exchange.process.pid, signal.SIGCONT)
        today.wait("the late answers are taken", lambda: open_or_late(today) == 0)
        status = today.status()
        assert not status["trading"] and status["halt"]["reason"] == "no_answer", f"it lets itself go on: {status['halt']}"
        resumed = today.tern.tern("resume")
        assert resumed["resumed"] and resumed["cleared"]["reason"] == "no_answer", resumed
        today.wait("it trades again", lambda: sent(today.counters()["loop"]) > sent(silent) + 20)
        today.close()
        today.tern.settle()
        today.tern.stop()
        journal, theirs = today.consistent()
        late = told(today, stopped_ns, on_ns)
        assert today.tern.audit()["disagreements"] == 0, today.tern.audit()["found"]
        assert not kill.still_open(journal, theirs), kill.still_open(journal, theirs)
        return (f"exchange stopped: {late['unanswered']} orders told as not answered, {late['least_ms']} to {late['most_ms']} ms after they "
                f"were asked about (deadline {ACK_MS}), trading stopped after {late['halt_ms']} ms, {late['cancels']} cancels, at most "
                f"{late['most']} an order; gone on: every answer taken, none twice, still stopped; resumed, {len(theirs.fills)} executions, "
                f"positions equal")


def sent(loop):
    return loop["orders_new"] + loop["orders_replace"]


def open_or_late(today):
    loop = today.counters()["loop"]
    return loop["open_orders"] + loop["orders_unanswered"]


def told(today, stopped_ns, on_ns):
    """What the journal says of the silence: no deadline was missed, and no order was bothered more often than adr/0017 says."""
    asked, answered, delays, halted, cancels, tellings = {}, set(), [], None, Counter(), Counter()
    for record in compare.cat(today.tern.binary("tern"), today.tern.config, "order,order_event,state"):
        at, body = record["tai_ns"], record["body"]
        if record["kind"] == "order":
            # what is asked of a live order is told under the id that it has until then
            asked.setdefault(body["replaces"] if body["action"] == "replace" else body["order"], at)
            if body["action"] == "cancel" and stopped_ns < at < on_ns:
                cancels[body["order"]] += 1
        elif record["kind"] == "state":
            halted = halted or (at if body["reason"] == "no_answer" else None)
        elif body["kind"] == "unanswered":
            tellings[body["order"]] += 1
            if tellings[body["order"]] == 1 and body["order"] in asked:
                delays.append((at - asked[body["order"]]) / 1e6)
        else:
            asked.pop(body["order"], None)
            asked.pop(body["previous"], None)
            if body["session_seq"]:
                assert body["session_seq"] not in answered, f"message {body['session_seq']} of the venue was taken twice"
                answered.add(body["session_seq"])
    assert halted and delays and cancels, (halted, len(delays), len(cancels))
    late = (min(delays), max(delays))
    assert ACK_MS <= late[0] and late[1] < ACK_MS + LATE_MS, f"told {late[0]:.0f} to {late[1]:.0f} ms after it was sent"
    halt_ms = (halted - stopped_ns) / 1e6
    assert 2 * ACK_MS - WAITED_MS < halt_ms < 2 * ACK_MS + LATE_MS + FIRST_MS, f"stopped after {halt_ms:.0f} ms"
    # once for what was asked, once for the cancel of it
    assert max(tellings.values()) <= 2 and max(cancels.values()) <= 2, (max(tellings.values()), max(cancels.values()))
    return {"unanswered": len(tellings), "cancels": cancels.total(), "most": max(cancels.values()), "least_ms": round(late[0]),
            "most_ms": round(late[1]), "halt_ms": round(halt_ms)}


def tai_ns():
    return time.clock_gettime_ns(time.CLOCK_TAI)
