"""A port that keeps orders on disconnect: what a data plane leaves open, ternd cancels in a session of its own."""

import os
import signal
import time

import compare
import kill
import overflow
import session


def day(out, *arguments):
    return session.Session(out, "--seconds", 25, "--rate", 10000, "--instruments", 1000, "--exchange-option=--symbols=700",
                           "--exchange-option=--opening-orders=6000", "--exchange-option=--linger-ms=1500",
                           "--set", "session.cancel_on_disconnect=false", "--set", "limits.open_orders_max=3000",
                           *arguments, capture=False)


def rescue(out, _options):
    """The data plane is killed with hundreds of orders open; its daemon cancels all of them before another one starts."""
    with day(out, "--set", "daemon.restart_pause_ms=2000") as today:
        kill.quote_all(today, 650)
        today.start()
        many_open(today)
        assert today.status()["venue"]["cancel_on_disconnect"] is False, today.status()["venue"]
        run = today.status()["run"]
        session.kill(today.pid())
        died = time.monotonic()
        fact = today.wait("ternd cancels", lambda: (today.status().get("daemon") or {}).get("rescue"), 15, pause=0.02)
        seen_ms = (time.monotonic() - died) * 1000
        check_fact(fact)
        said = steps(today)
        today.wait("another data plane has read the venue's log", lambda: today.status()["run"] > run
                   and (today.status().get("halt") or {}).get("reason") == "restarted", 40)
        found = today.tern.tern("recover")["comparison"]
        assert found["agreed_or_accepted"] and found["differences"] == 0, found
        assert today.counters()["loop"]["open_orders"] == 0, "the data plane finds open orders"
        finish(today, fact, said)
        return (f"{fact['open_before']} orders open when it died, {fact['open_in_log']} in the venue's log: {fact['cancels_sent']} cancels, "
                f"{fact['cancelled']} cancelled, 0 left open, {fact['took_ms']} ms from the first login to the end "
                f"({seen_ms:.0f} ms from the death until it was seen); all of it in the journal, then the next data plane agreed with the venue's log")


def rescue_stuck(out, _options):
    """The loop is stopped and does not heed a kill: ternd ends it and cancels what it left; the kill says so."""
    with day(out, "--set", "daemon.heartbeat_loss_ms=20000") as today:
        kill.quote_all(today, 650)
        today.start()
        many_open(today)
        os.kill(today.pid(), signal.SIGSTOP)
        said = today.tern.tern("kill", "--timeout-ms", "200", check=False)
        fact = said["rescue"]
        assert fact and not said["acknowledged"], said
        check_fact(fact)
        orders = said["orders"]
        assert orders["unknown"] == 0 and orders["pending"] == 0 and orders["cancelled"] >= 300, orders
        done = steps(today)
        today.wait("the next data plane is up, still killed",
                   lambda: overflow.sessions(today) == 1 and today.status()["killed"] and not today.status()["trading"], 40)
        finish(today, fact, done)
        return (f"a stopped loop with {orders['open_before']} orders open: the kill answered after {said['waited_ms']} ms with "
                f"{orders['cancelled']} cancelled, 0 unknown ({fact['took_ms']} ms of it in ternd's own session)")


def many_open(today):
    """Hundreds of orders are open, and the venue has answered to most of them."""
    today.wait("hundreds of orders are open", lambda: today.counters()["loop"]["open_orders"] >= 500, 30)
    time.sleep(1)


def check_fact(fact):
    assert not fact["error"] and fact["left_open"] == 0, fact
    assert fact["open_in_log"] >= 300 and fact["cancels_sent"] >= fact["open_in_log"], fact
    # what is not cancelled traded before its cancel came
    assert fact["cancelled"] >= fact["open_in_log"] * 0.9, fact


def steps(today):
    """What the journal has of it."""
    today.tern.settle()
    records = [record["body"] for record in compare.cat(today.tern.binary("tern"), today.tern.config, "rescue")]
    names = [record["step"] for record in records]
    assert names[0] == "begun" and names[-1] == "done", names
    return records


def finish(today, fact, records):
    """Ends the day: what the journal says left arrived, and nothing of the account is open."""
    sent = sorted(record["order"] for record in records if record["step"] == "sent" and record["order"])
    assert len(sent) == fact["cancels_sent"], (len(sent), fact)
    assert not any("secret".encode().hex() in (record["bytes"] or "") for record in records), "the password is in the journal"
    today.close()
    today.tern.settle()
    today.tern.stop()
    journal, theirs = today.sides()
    arrived = sorted(entry["fields"]["user_ref"] for entry in theirs.orders if entry["fields"]["kind"] == "X")
    missing = compare.without(sent, arrived)
    assert not missing, f"{len(missing)} cancels of the journal never arrived: {missing[:5]}"
    sums = compare.differences(journal.positions(), theirs.positions())
    assert not sums, f"positions differ (ours, exchange): {dict(list(sums.items())[:5])}"
    opened = kill.still_open(journal, theirs)
    assert not opened, f"open at the end of the day: {opened}"
    today.verify_journal()
