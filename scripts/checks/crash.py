"""SIGKILL at random moments under load: the exchange never got an order that the journal does not have."""

import random
import sys
import time

import compare
import sandbox
import session


def crash(out, options):
    """Sessions of a few seconds: the daemon is killed and started again while the data plane trades on, then the data
    plane or both are killed. So each session has two of the moments."""
    network = sandbox.Network()
    figures = {"orders": 0, "fills": 0, "died_with_bytes": 0, "daemon": 0, "data plane": 0, "both": 0}
    points = 0
    while points < options.points:
        number = points // 2
        seed = options.seed * 1000 + number
        victim = ("data plane", "both")[number % 2]
        points += day(f"{out}/{number}", network, seed, victim, figures, alone=options.points - points == 1)
        print(f"crash: {points} of {options.points} ({victim}), seed {seed}: {figures['orders']} orders", file=sys.stderr)
    return (f"{points} kills ({figures['daemon']} daemon, {figures['data plane']} data plane, {figures['both']} both): "
            f"{figures['orders']} orders at the exchange, all in the journal; {figures['died_with_bytes']} recorded whose "
            f"bytes died unsent; {figures['fills']} fills, positions equal; journal and venue's log agree after each restart; no order after one, on books "
            f"that nobody may trust; no id twice")


def day(out, network, seed, victim, figures, alone):
    rng = random.Random(seed)
    with session.Session(out, "--seconds", 30, "--seed", seed, "--rate", 10000, "--exchange-option=--linger-ms=1500",
                         network=network, capture=False) as today:
        today.start()
        today.wait_orders(20)
        if not alone:
            time.sleep(rng.uniform(0, 0.6))
            kill_daemon(today, rng)
            figures["daemon"] += 1
        time.sleep(rng.uniform(0, 0.6))
        kill_data_plane(today, rng, victim == "both")
        figures[victim] += 1
        today.close()
        today.tern.settle()
        today.tern.stop()
        journal, theirs = today.consistent(cut=True)
        today.verify_journal()
        starts = [record["seq"] for record in compare.cat(today.tern.binary("tern"), today.tern.config, "start")]
        late = [order for order in journal.orders if order["seq"] > max(starts) and order["action"] != "cancel"]
        assert not late, f"{len(late)} orders left after the restart, on books that nobody may trust: {late[:3]}"
        figures["orders"] += len(theirs.orders)
        figures["fills"] += len(theirs.fills)
        figures["died_with_bytes"] += len(compare.orders(journal, theirs)[0])
    return 1 if alone else 2


def kill_daemon(today, rng):
    """Kills ternd alone; the data plane goes on. A new one takes it over."""
    pid = today.pid()
    session.kill(today.tern.process.pid)
    today.tern.process.wait()
    time.sleep(rng.uniform(0, 0.4))
    again(today)
    today.wait("the new daemon adopts the data plane",
               lambda: (today.status().get("daemon") or {}).get("adopted") and today.pid() == pid)


def kill_data_plane(today, rng, daemon_too):
    """Kills the data plane, and the daemon with it or not; one that nobody cleaned up for starts."""
    pid, run = today.pid(), today.status()["run"]
    assert pid and session.alive(pid), "no data plane to kill"
    if daemon_too:
        victims = [today.tern.process.pid, pid]
        rng.shuffle(victims)
        for victim in victims:
            session.kill(victim)
        today.tern.process.wait()
        again(today)
    else:
        session.kill(pid)

    def back():
        status = today.status()
        return status["dataplane"]["running"] and status["run"] > run
    today.wait("another data plane runs", back, 40)
    today.wait("the venue's log is compared with the journal",
               lambda: (today.status()["halt"] or {}).get("reason") == "restarted", 40)
    # the segment says it a moment before the journal does
    found = today.wait("the journal has the comparison's end", lambda: ended(today.tern.tern("recover")["comparison"]))
    assert found["agreed_or_accepted"] and found["differences"] == 0, f"nothing was lost, and they differ: {found}"
    today.tern.tern("resume")


def ended(comparison):
    """A comparison that came to an end, or None."""
    return comparison if comparison["agreed_or_accepted"] or comparison["differences"] else None


def again(today):
    """Another ternd for the same instance."""
    today.tern.log += "+"
    today.tern.start()
