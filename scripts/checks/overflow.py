"""Too much for a tiny ring: every lost datagram is in a counter, and nothing is traded on books with a hole."""

import os
import signal
import time

import session
import venue


def overflow(out, _options):
    with session.Session(out, "--seconds", 4, "--set", "port.ring_frames=2048", "--set", "daemon.heartbeat_loss_ms=5000") as today:
        today.start()
        today.wait_orders(100)
        pid = today.pid()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(1.2)
        os.kill(pid, signal.SIGCONT)
        today.wait("the gap is counted", lambda: today.counters()["feed"]["gaps"] > 0)
        stopped = venue.orders_sent(today.counters()["loop"])
        refused = today.counters()["refusals"]["book_untrusted"]
        assert not today.status()["trusted_streams"], today.status()["trusted_streams"]
        today.wait_closed()
        found = today.findings()
        drops = {name: count for name, count in found["datagrams"]["dropped"].items() if count}
        assert drops, "nothing was dropped"
        session.require(found, but=("gaps", "books", "replay", "trading"))
        code, said = today.tern.replay()
        assert code == 0, f"replay: {said}"
        sent = venue.orders_sent(found["counters"]["loop"])
        news = found["counters"]["loop"]["orders_new"]
        assert found["counters"]["feed"]["trust_lost"] >= 1
        today.consistent()
        return (f"{next(check['detail'] for check in found['checks'] if check['name'] == 'datagrams')}: {drops}; "
                f"{found['counters']['feed']['gaps']} gap(s) of {found['counters']['feed']['gap_messages']} messages, trust lost, "
                f"{sent - stopped} order messages after it ({news} new in all), {refused}+ intents refused as untrusted")


def stuck_loop(out, _options):
    """The data plane hangs: the daemon sets the kill word and says so; it comes back halted."""
    with session.Session(out, "--seconds", 12, "--rate", 5000, "--set", "daemon.heartbeat_loss_ms=1500") as today:
        today.start()
        today.wait_orders(100)
        pid = today.pid()
        os.kill(pid, signal.SIGSTOP)
        today.wait("the daemon notices", lambda: (today.status().get("daemon") or {}).get("heartbeat_losses"), 5)
        os.kill(pid, signal.SIGCONT)
        today.wait("the loop halts", lambda: not today.status()["trading"], 5)
        status = today.status()
        assert status["halt"]["reason"] == "heartbeat_loss" and status["halt"]["by"] == "ternd", status["halt"]
        assert any("heartbeat_loss" in problem for problem in status["problems"]), status["problems"]
        before = today.counters()["loop"]["orders_new"]
        today.wait_closed()
        found = today.findings()
        session.require(found, but=("trading", "gaps", "books", "orders"))
        today.consistent(cut=True)
        assert found["counters"]["loop"]["orders_new"] == before, "new orders after the halt"
        return (f"heartbeat lost, halted ({status['halt_reason']}; {'; '.join(status['problems'])}), 0 new orders afterwards, "
                f"{found['orders']['received']} order messages on both sides")
