"""No room: on the journal's disk, in the order ring. Trading stops; nothing that the exchange got is missing."""

import os
import signal
import time

import sandbox
import session
import venue


def disk_full(out, _options):
    place = f"{out}-disk"
    os.makedirs(place, exist_ok=True)
    sandbox.run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place)
    ballast = os.path.join(place, "ballast")
    with session.Session(out, "--seconds", 9, "--set", f'paths.journal="{place}/journal"',
                         "--set", "journal.segment_bytes=1048576") as today:
        today.start()
        trouble = today.wait("the daemon reports the full disk",
                             lambda: ((today.status().get("daemon") or {}).get("journal") or {}).get("trouble"))
        today.wait("trading stops", lambda: not today.status()["trading"])
        status = today.status()
        assert not status["healthy"] and status["problems"], status
        stopped = today.counters()["loop"]
        time.sleep(0.5)
        assert today.counters()["loop"]["orders_new"] == stopped["orders_new"], "new orders on a full disk"
        sandbox.run("mount", "-o", "remount,size=200m", place)
        today.wait("the journal goes on once there is room",
                   lambda: not today.status()["daemon"]["journal"]["trouble"] and today.status()["seq"]["waiting"] == 0)
        assert today.tern.tern("resume")["resumed"], today.status()
        today.wait_orders(venue.orders_sent(stopped) + 20)
        today.wait_closed()
        today.tern.settle()
        today.tern.stop()
        journal, theirs = today.consistent(cut=True)
        today.verify_journal()
        assert not os.path.exists(ballast)
        return (f"\"{trouble}\"; halted after {venue.orders_sent(stopped)} order messages ({status['halt_reason']}), 0 new until "
                f"there was room; resumed, {len(theirs.orders)} at the exchange, all in the journal ({len(journal.orders)})")


def ring_full(out, _options):
    """The daemon is stopped, so nobody empties a small order ring."""
    with session.Session(out, "--seconds", 6, "--set", "rings.order_slots=1024", "--set", "rings.capture_bytes=1048576") as today:
        today.start()
        today.wait_orders(50)
        daemon = today.tern.process.pid
        os.kill(daemon, signal.SIGSTOP)
        try:
            today.wait("the order ring is full", lambda: ring(today.counters()) > 0)
            first = today.counters()["loop"]
            time.sleep(0.7)
            second = today.counters()
            assert second["loop"]["orders_new"] == first["orders_new"], (first, second["loop"])
        finally:
            os.kill(daemon, signal.SIGCONT)
        today.wait_closed()
        today.tern.settle()
        counters = today.counters()
        today.tern.stop()
        journal, theirs = today.consistent(cut=True)
        today.verify_journal()
        return (f"{counters['refusals']['ring_reserve']} intents refused by the reserve, {counters['loop']['refused_ring_full']} "
                f"for a full ring, {counters['loop']['record_refused']} records refused, {counters['loop']['capture_shed']} "
                f"captured datagrams shed; {len(theirs.orders)} order messages at the exchange, all in the journal "
                f"({len(journal.orders)})")


def ring(counters):
    return counters["refusals"]["ring_reserve"] + counters["loop"]["refused_ring_full"] + counters["loop"]["record_refused"]
