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
        assert status["halt"]["reason"] == "journal_trouble" and status["halt"]["by"] == "ternd", status["halt"]
        assert any("No space left" in problem for problem in status["problems"]), status["problems"]
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
    """The daemon is stopped, so nobody empties a small order ring: orders are refused first, then the loop halts."""
    with session.Session(out, "--seconds", 6, "--set", "rings.order_slots=1024", "--set", "rings.capture_bytes=1048576") as today:
        today.start()
        today.wait_orders(50)
        daemon = today.tern.process.pid
        os.kill(daemon, signal.SIGSTOP)
        try:
            today.wait("the order ring is full", lambda: today.counters()["loop"]["record_refused"] > 0)
            first = today.counters()
            time.sleep(0.7)
            second = today.counters()
            status = today.status()
        finally:
            os.kill(daemon, signal.SIGCONT)
        assert second["loop"]["orders_new"] == first["loop"]["orders_new"], (first["loop"], second["loop"])
        by_reserve = second["refusals"]["ring_reserve"]
        assert by_reserve > 0, f"no intent was refused because of the reserve: {second['refusals']}"
        assert second["loop"]["refused_ring_full"] == by_reserve + second["refusals"]["record_failed"], second
        # each record once, however often it was offered: a handful of sorts of input
        assert second["loop"]["record_refused"] < 100, second["loop"]
        assert second["loop"]["record_retries"] > second["loop"]["record_refused"], second["loop"]
        assert status["halt"]["reason"] == "ring_full" and status["halt"]["by"] == "data_plane", status
        assert status["halt"]["since_ns"] and not status["healthy"], status
        assert any("ring_full" in problem and "tern resume" in problem for problem in status["problems"]), status["problems"]
        today.wait_closed()
        today.tern.settle()
        counters = today.counters()
        today.tern.stop()
        journal, theirs = today.consistent(cut=True)
        today.verify_journal()
        return (f"{by_reserve} intents refused because only the reserve was left, then halted; "
                f"{counters['loop']['record_refused']} records refused ({counters['loop']['record_retries']} more attempts), "
                f"{counters['loop']['capture_shed']} captured datagrams shed; {len(theirs.orders)} order messages at the "
                f"exchange, all in the journal ({len(journal.orders)})")
