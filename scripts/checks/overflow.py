"""Too much for a tiny ring: every lost datagram is in a counter, and nothing is traded on books with a hole."""

import os
import signal
import time

import session
import venue


def overflow(out, _options):
    ring = 2048
    with session.Session(out, "--seconds", 8, "--set", f"port.ring_frames={ring}", "--set", "daemon.heartbeat_loss_ms=20000") as today:
        today.start()
        today.wait_orders(100)
        pid = today.pid()
        os.kill(pid, signal.SIGSTOP)
        before = today.network.sent()
        try:
            # twice the ring by the kernel's own count, however slow the exchange is on this host
            today.wait("the ring overflows", lambda: today.network.sent() - before > 2 * ring, 15)
        finally:
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
        time.sleep(2.0)
        today.close()
        found = today.findings()
        session.require(found, but=("trading", "gaps", "books", "orders"))
        today.consistent(cut=True)
        assert found["counters"]["loop"]["orders_new"] == before, "new orders after the halt"
        return (f"heartbeat lost, halted ({status['halt_reason']}; {'; '.join(status['problems'])}), 0 new orders afterwards, "
                f"{found['orders']['received']} order messages on both sides")


def stuck_kill(out, _options):
    """A kill that the loop cannot heed ends the venue's session from outside, and the venue cancels what is open."""
    with session.Session(out, "--seconds", 14, "--rate", 5000, "--exchange-option=--linger-ms=1500", "--set",
                         "daemon.heartbeat_loss_ms=20000") as today:
        today.start()
        today.wait_orders(300)
        pid = today.pid()
        assert sessions(today) == 1, "the exchange has no session"
        os.kill(pid, signal.SIGSTOP)
        said = today.tern.tern("kill", "--timeout-ms", "200", check=False)
        asked = time.monotonic()
        assert not said["acknowledged"] and said["orders"]["unknown"] > 100, said
        assert [ended["resets"] > 0 for ended in said["sessions_reset"]] == [True], said
        today.wait("the exchange sees the session end", lambda: sessions(today) == 0, 5, pause=0.005)
        took_ms = (time.monotonic() - asked) * 1000
        os.kill(pid, signal.SIGCONT)
        today.wait("the loop halts and logs in again", lambda: not today.status()["trading"] and sessions(today) == 1, 10)
        today.wait("nothing is open", lambda: today.counters()["loop"]["open_orders"] == 0, 10)
        orders = today.counters()["loop"]["orders_new"]
        today.close()
        today.tern.settle()
        today.tern.stop()
        today.consistent(cut=True)
        assert today.tern.tern("report", check=False) is not None
        return (f"{said['orders']['unknown']} orders UNKNOWN to the CLI, session ended from outside, seen by the exchange within "
                f"{took_ms:.0f} ms; the loop came back halted, nothing open, {orders} orders in all, both sides agree")


def stuck_kill_socket(out, _options):
    """The same over kernel sockets: the kernel destroys the socket, and resets the connection."""
    with session.Session(out, "--seconds", 14, "--rate", 5000, "--port", "socket", "--exchange-option=--linger-ms=1500",
                         "--set", "daemon.heartbeat_loss_ms=20000") as today:
        today.start()
        today.wait_orders(300)
        pid = today.pid()
        assert sessions(today) == 1, "the exchange has no session"
        os.kill(pid, signal.SIGSTOP)
        said = today.tern.tern("kill", "--timeout-ms", "200", check=False)
        asked = time.monotonic()
        assert not said["acknowledged"] and said["orders"]["unknown"] > 0, said
        assert [ended["how"] in ("destroyed", "disconnected") for ended in said["sessions_reset"]] == [True], said
        today.wait("the exchange sees the session end", lambda: sessions(today) == 0, 5, pause=0.005)
        took_ms = (time.monotonic() - asked) * 1000
        os.kill(pid, signal.SIGCONT)
        return comes_back_halted(today, f"{said['orders']['unknown']} orders UNKNOWN to the CLI, socket {said['sessions_reset'][0]['how']}, "
                                        f"seen by the exchange within {took_ms:.0f} ms")


def stuck_loop_socket(out, _options):
    """A loop that stands still for long, with nobody at the keyboard: ternd has the venue's session ended."""
    with session.Session(out, "--seconds", 14, "--rate", 5000, "--port", "socket", "--exchange-option=--linger-ms=1500",
                         "--set", "daemon.heartbeat_loss_ms=1000", "--set", "daemon.stuck_session_ms=500") as today:
        today.start()
        today.wait_orders(300)
        pid = today.pid()
        assert sessions(today) == 1, "the exchange has no session"
        os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        today.wait("the exchange sees the session end", lambda: sessions(today) == 0, 5, pause=0.005)
        took_ms = (time.monotonic() - stopped) * 1000
        assert took_ms > 1400, f"ended after {took_ms:.0f} ms, before its time"
        today.wait("the daemon says so", lambda: today.status()["daemon"].get("sessions_ended") == 1, 3)
        os.kill(pid, signal.SIGCONT)
        return comes_back_halted(today, f"seen by the exchange {took_ms:.0f} ms after the loop stood still (deadlines 1000 and 500 ms)")


def comes_back_halted(today, line):
    today.wait("the loop halts and logs in again", lambda: not today.status()["trading"] and sessions(today) == 1, 10)
    today.wait("nothing is open", lambda: today.counters()["loop"]["open_orders"] == 0, 10)
    orders = today.counters()["loop"]["orders_new"]
    today.close()
    today.tern.settle()
    today.tern.stop()
    today.consistent(cut=True)
    return f"{line}; the loop came back halted, nothing open, {orders} orders in all, both sides agree"


def dead_data_plane(out, _options):
    """The data plane dies: the daemon ends the venue's session at once, and the venue cancels what is open."""
    with session.Session(out, "--seconds", 12, "--rate", 5000, "--exchange-option=--linger-ms=1500", "--set",
                         "daemon.restart_pause_ms=3000") as today:
        today.start()
        today.wait_orders(300)
        open_orders = today.counters()["loop"]["open_orders"]
        assert sessions(today) == 1, "the exchange has no session"
        session.kill(today.pid())
        died = time.monotonic()
        today.wait("the exchange sees the session end", lambda: sessions(today) == 0, 2, pause=0.005)
        took_ms = (time.monotonic() - died) * 1000
        today.wait("the daemon says so", lambda: today.status()["daemon"].get("sessions_ended") == 1, 3)
        today.wait_closed()
        today.tern.settle()
        today.tern.stop()
        today.consistent(cut=True)
        return f"{open_orders} orders open when it died, the venue saw the session end within {took_ms:.0f} ms, before any restart"


def sessions(today):
    """Order sessions that the exchange's kernel has open. (Its log is written when there is enough to write.)"""
    network = today.network
    listed = session.sandbox.run(*network.command(network.VENUE, "ss", "-Htn", "state", "established", "sport", "=", f":{venue.ORDERS_PORT}"))
    return len((listed or "").splitlines())
