"""`tern kill`: all open orders are cancelled, nothing new leaves, `resume` trades again."""

import collections
import os
import signal
import threading
import time

import compare
import link
import session
import venue

ENDED = {"canceled", "executed", "rejected", "broken", "replaced", "restated"}


def kill(out, _options):
    with session.Session(out, "--seconds", 5) as today:
        today.start()
        killed_ns, said, resumed_ns = kill_and_resume(today)
        assert said["ternd_told"], said
        today.wait_closed()
        found = today.findings()
        session.require(found, but=("trading", "orders"))
        today.consistent(cut=True)
        return f"{line(said)}; {quiet(today, killed_ns, resumed_ns)}"


def kill_without_daemon(out, _options):
    with session.Session(out, "--seconds", 8) as today:
        today.start()
        today.wait_orders(200)
        pid = today.pid()
        session.kill(today.tern.process.pid)
        today.tern.process.wait()

        def daemon():
            today.tern.log += "+"
            today.tern.start()
            today.wait("the new daemon adopts the data plane",
                       lambda: (today.status().get("daemon") or {}).get("adopted") and today.pid() == pid)
        killed_ns, said, resumed_ns = kill_and_resume(today, before_resume=daemon)
        assert not said["ternd_told"], said
        today.wait_closed()
        found = today.findings()
        session.require(found, but=("trading", "orders"))
        today.consistent(cut=True)
        return f"{line(said)}, by the CLI alone; {quiet(today, killed_ns, resumed_ns)}"


def kill_window_closed(out, _options):
    """The exchange stops reading orders until its window is closed; then comes the kill."""
    stall_ms = 2500
    with session.Session(out, "--seconds", 6, "--exchange-option=--stall-orders-after=300",
                         f"--exchange-option=--stall-ms={stall_ms}") as today:
        # a small window, so that it closes soon
        for name, value in (("tcp_rmem", "2048 2048 2048"), ("tcp_moderate_rcvbuf", "0")):
            session.sandbox.run(*today.network.command(today.network.VENUE, "sysctl", "-qw", f"net.ipv4.{name}={value}"))
        today.start()

        def closed():
            counters = today.counters()
            return counters["loop"]["refused_window_closed"] + counters["refusals"]["window_closed"] > 0
        today.wait_orders(250)
        today.wait("the exchange's window is closed", closed)
        said = today.tern.tern("kill", check=False)
        killed_ns = time.time_ns()
        assert said.get("acknowledged"), said
        kept = today.counters()["loop"]
        today.wait("the window opens and every order is cancelled",
                   lambda: today.counters()["loop"]["open_orders"] == 0, 10)
        today.wait_closed()
        today.tern.settle()
        today.tern.stop()
        today.stop()
        _, theirs = today.consistent()
        journal, _ = today.sides()
        recalled = journal.taken_back
        late = after(today, killed_ns)
        assert not late, f"{len(late)} new orders on the wire after the kill was acknowledged: {late[:5]}"
        assert not still_open(journal, theirs), still_open(journal, theirs)
        return (f"{line(said)}; {len(recalled)} order messages recalled (counter {kept['dropped_at_kill']}), none of them at the "
                f"exchange; 0 new orders on the wire afterwards; {len(theirs.orders)} order messages at the exchange")


# ConnRecord.value: we dropped the connection, for a kill.
DROPPED_FOR_KILL = 16 + 5


def kill_in_flight(out, options):
    """The link goes dead with orders under way, so that TCP has to send them again; the kill comes right before it does, and
    the link is mended right after the kill."""
    network = link.LossyNetwork()
    with session.Session(out, "--seconds", 6, "--rate", 5000, network=network) as today:
        shim = network.spawn("wire", venue.binary("tern-exchange"), "shim", "--interfaces", "wire-venue", "wire-host",
                             "--loss-percent", "0", "--reorder-percent", "0", "--seed", str(options.seed), log=f"{out}/shim.log")
        try:
            today.start()
            today.wait_orders(300)
            shim.send_signal(signal.SIGUSR1)
            cut_ns = time.time_ns()
            before = venue.orders_sent(today.counters()["loop"])
            today.wait_orders(before + 5)
            # TCP repeats what was lost a second after it was sent
            time.sleep(max(0.0, 0.8 - (time.time_ns() - cut_ns) / 1e9))
            killing = threading.Thread(target=today.tern.tern, args=("kill",), kwargs={"check": False})
            killing.start()
            today.wait("the loop heeds the kill", lambda: today.counters()["loop"]["kills"] == 1, pause=0.01)
            killed_ns = time.time_ns()
            shim.send_signal(signal.SIGUSR2)
            killing.join()
            today.wait("the connection is reset for the kill", lambda: today.counters()["loop"]["tcp_recalled"] == 1)
            today.wait("the next login cancels every open order",
                       lambda: today.counters()["session"]["sessions_up"] >= 2 and today.counters()["loop"]["open_orders"] == 0)
            today.wait_closed()
            counters = today.counters()["loop"]
            found = today.findings()
        finally:
            venue.end(shim)
        session.require(found, but=("trading", "orders"))
        journal, theirs = today.consistent(cut=True)
        late = after(today, killed_ns)
        assert not late, f"{len(late)} new orders on the wire after the kill: {late[:5]}"
        lost = compare.orders(journal, theirs)[0]
        # a replace that never arrived is told under the id that its order still has: undone, or the venue ended that order,
        # as it does with all of a connection that is reset
        entered = {key[2] or key[1] for key in lost if key[0] != "cancel"}
        assert entered, "no order was under way at the kill"
        assert counters["tcp_recalled_bytes"] > 0, counters
        unsaid = entered - journal.recalled - {event["order"] for event in journal.events if event["leaves"] == 0}
        assert not unsaid, f"the journal does not say how {len(unsaid)} recalled orders ended: {sorted(unsaid)[:5]}"
        downs = [record["body"]["value"] for record in compare.cat(today.tern.binary("tern"), today.tern.config, "conn")
                 if record["body"]["event"] == "down"]
        assert downs[0] == DROPPED_FOR_KILL, downs
        assert not still_open(journal, theirs), still_open(journal, theirs)
        return (f"{len(lost)} order messages ({len(entered)} orders entered or replaced, {counters['tcp_recalled_bytes']} bytes up to the "
                f"last of them) in TCP's hands at the kill, {(killed_ns - cut_ns) / 1e6:.0f} ms after the link went dead; link mended, "
                f"none of them on the wire or at the exchange; in the journal the connection as reset for a kill and each order as ended")


def kill_scope(out, _options):
    """One strategy is halted while the other trades on, one symbol is stopped, both survive the data plane's death."""
    with session.Session(out, "--seconds", 10, "--exchange-option=--linger-ms=1500") as today:
        today.start()
        today.wait_orders(200)
        said = today.tern.tern("kill", "--scope", "strategy:maker")
        halted_ns = tai_ns()
        assert said["acknowledged"] and said["orders"]["pending"] == 0 and said["orders"]["unknown"] == 0, said
        time.sleep(0.7)
        lifted_ns = tai_ns()
        back = today.tern.tern("resume", "--scope", "strategy:maker")
        assert back["lifted"] and back["acknowledged"], back
        time.sleep(0.4)
        symbol = busiest(today)
        stopped = today.tern.tern("kill", "--scope", f"symbol:{symbol}", "--state", "cancel-only")
        stopped_ns = tai_ns()
        assert stopped["acknowledged"] and stopped["orders"] is None, stopped
        time.sleep(0.7)
        end_ns = tai_ns()
        run = today.status()["run"]
        session.kill(today.pid())
        today.wait("another data plane runs", lambda: today.status().get("run", 0) > run and today.pid(), 40)
        status = today.wait("it acts by what was restricted", lambda: (lambda now: now["restricted"] and now)(today.status()))
        assert [(scope["scope"], scope["state"]) for scope in status["restricted"]] == [(f"symbol:{symbol}", "cancel_only")], status
        today.wait_closed()
        today.tern.settle()
        today.tern.stop()
        journal, _ = today.consistent(cut=True)

        def entered(of, begin_ns, until_ns):
            return [order for order in journal.orders if order["action"] != "cancel" and begin_ns < order["tai_ns"] < until_ns and of(order)]
        maker, taker = (lambda order: order["strategy"] == 1), (lambda order: order["strategy"] == 2)
        in_symbol, elsewhere = (lambda order: order["symbol"].strip() == symbol), (lambda order: order["symbol"].strip() != symbol)
        assert not entered(maker, halted_ns, lifted_ns), entered(maker, halted_ns, lifted_ns)[:3]
        assert not entered(in_symbol, stopped_ns, end_ns), entered(in_symbol, stopped_ns, end_ns)[:3]
        others = [len(entered(taker, halted_ns, lifted_ns)), len(entered(maker, lifted_ns, stopped_ns)),
                  len(entered(elsewhere, stopped_ns, end_ns))]
        assert all(others), others
        commands = [record for record in compare.cat(today.tern.binary("tern"), today.tern.config, "command,start")]
        last_start = max(number for number, record in enumerate(commands) if record["kind"] == "start")
        told = [record["body"]["set_state"] for record in commands[last_start:] if record["kind"] == "command" and record["body"]["set_state"]]
        assert [(scope["kind"], scope["key"], scope["state"]) for scope in told] == [("symbol", symbol, "cancel_only")], told
        return (f"maker halted ({line(said)}): 0 orders of it in {(lifted_ns - halted_ns) / 1e6:.0f} ms, {others[0]} of the taker; lifted: "
                f"{others[1]}; {symbol} cancel-only: 0 orders in it, {others[2]} elsewhere; still so after the data plane's death")


def busiest(today):
    """The symbol with the most orders of ours so far."""
    journal = compare.Journal(today.tern.binary("tern"), today.tern.config)
    return collections.Counter(order["symbol"].strip() for order in journal.orders).most_common(1)[0][0]


def tai_ns():
    return time.clock_gettime_ns(time.CLOCK_TAI)


def quote_all(today, instruments):
    """Has the maker quote so many instruments."""
    with open(today.tern.config, encoding="utf-8") as file:
        text = file.read()
    maker = 'name = "maker"\nid = 1\n'
    assert maker in text, "the configuration names no maker"
    with open(today.tern.config, "w", encoding="utf-8") as file:
        file.write(text.replace(maker, f"{maker}params = {{ instruments = {instruments} }}\n"))


# of one day: later on positions are so large that fewer orders are quoted
KILLS_A_DAY = 20


def kill_latency(out, options):
    """With a thousand orders open: from the moment at which the kill word was written to the last cancel on the wire."""
    rounds, samples, least = max(2, options.points // 2), [], []
    network = session.sandbox.Network()
    while len(samples) < rounds:
        number = len(samples) // KILLS_A_DAY
        day_of_kills(f"{out}/{number}", options.seed + number, network, min(KILLS_A_DAY, rounds - len(samples)), samples, least)
    samples.sort()
    # by rank; of fewer than a hundred the worst
    p99 = samples[-(-len(samples) * 99 // 100) - 1]
    return (f"{rounds} kills with at least {min(least)} orders open: from the kill word to the last cancel on the wire "
            f"p50 {samples[len(samples) // 2]:.1f} ms, p99 {p99:.1f} ms, worst {samples[-1]:.1f} ms")


def day_of_kills(out, seed, network, rounds, samples, least):
    """So many kills of one day, those that found a thousand orders open; adds how long each took, ms, and how many these were."""
    with session.Session(out, "--seconds", 8 + 8 * rounds, "--rate", 20000, "--instruments", 1000, "--seed", seed,
                         "--exchange-option=--symbols=950", "--exchange-option=--opening-orders=8000",
                         "--set", "limits.open_orders_max=3000", network=network) as today:
        quote_all(today, 950)
        today.start()
        marks = []
        for _ in range(2 * rounds):
            # some trade until the kill is there, more where it waits for a core
            today.wait("a thousand orders are open", lambda: today.counters()["loop"]["open_orders"] >= 1060, 30, pause=0.02)
            said = today.tern.tern("kill")
            assert said["acknowledged"] and said["orders"]["pending"] == 0, said
            if said["orders"]["open_before"] >= 1000:
                marks.append((today.status()["halt"]["since_ns"] - (tai_ns() - time.time_ns()), time.time_ns(), said["orders"]["open_before"]))
            assert today.tern.tern("resume")["resumed"]
            if len(marks) == rounds:
                break
        assert len(marks) == rounds, f"{len(marks)} of {2 * rounds} kills found a thousand orders open"
        today.exchange.process.terminate()
        today.wait_closed()
        today.consistent(cut=True)
        cancels = []
        venue.stamps(today.exchange.pcap, cancels)
        for killed_ns, resumed_ns, open_orders in marks:
            of_kill = [stamp - killed_ns for stamp in cancels if killed_ns < stamp < resumed_ns]
            assert len(of_kill) >= open_orders * 0.9, f"{len(of_kill)} cancels on the wire for {open_orders} open orders"
            samples.append(max(of_kill) / 1e6)
            least.append(open_orders)


def kill_and_resume(today, before_resume=lambda: None):
    """Kill under load, a quiet second, resume; (acknowledged at ns, what the kill said, resumed at ns)."""
    today.wait_orders(200)
    said = today.tern.tern("kill")
    killed_ns = time.time_ns()
    assert said["acknowledged"] and said["orders"]["pending"] == 0 and said["orders"]["unknown"] == 0, said
    kept = today.counters()["loop"]
    time.sleep(0.7)
    now = today.counters()["loop"]
    assert now["open_orders"] == 0, f"{now['open_orders']} orders open after the kill"
    assert now["orders_new"] == kept["orders_new"] and now["orders_replace"] == kept["orders_replace"], (kept, now)
    status = today.status()
    assert status["killed"] and not status["trading"], status
    halt = status["halt"]
    assert (halt["reason"], halt["uid"], halt["kills"]) == ("operator_kill", os.getuid(), status["kills"]), halt
    before_resume()
    refused = today.tern.tern("resume", "--kills", str(status["kills"] - 1), check=False)
    assert refused["refused"] and refused["killed_since"], refused
    resumed_ns = time.time_ns()
    said_resume = today.tern.tern("resume")
    assert said_resume["resumed"] and said_resume["cleared"]["reason"] == "operator_kill", said_resume
    today.wait_orders(venue.orders_sent(now) + 50)
    return killed_ns, said, resumed_ns


def quiet(today, killed_ns, resumed_ns):
    """No new order between the two on the wire, and none open at the exchange at the end of that time."""
    late = [number for number, stamp in venue.stamps(today.exchange.pcap)[1].items() if killed_ns < stamp < resumed_ns]
    assert not late, f"{len(late)} new orders on the wire while killed: {late[:5]}"
    journal, theirs = today.sides()
    open_orders = still_open(journal, theirs)
    assert not open_orders, open_orders
    arrived = venue.stamps(today.exchange.pcap)[1]
    later = len(after(today, resumed_ns))
    assert later, (f"no order after resume at {resumed_ns}: {len(arrived)} of {len(theirs.orders)} order messages in the capture, "
                   f"the last at {max(arrived.values(), default=0)}")
    return f"0 new orders on the wire in the {(resumed_ns - killed_ns) / 1e6:.0f} ms until resume, {later} after it"


def after(today, stamp_ns):
    return [number for number, stamp in venue.stamps(today.exchange.pcap)[1].items() if stamp > stamp_ns]


def still_open(journal, theirs):
    """Orders that the exchange accepted and by its own messages never ended."""
    ended = {event["order"] for event in journal.events if event["session_seq"] and event["leaves"] == 0
             and event["kind"] in ENDED}
    ended |= {event["previous"] for event in journal.events if event["kind"] == "replaced"}
    accepted = {event["order"] for event in journal.events if event["session_seq"] and event["kind"] in ("accepted", "replaced")}
    known = {entry["fields"]["user_ref"] for entry in theirs.orders}
    return sorted((accepted & known) - ended)[:5]


def line(said):
    orders = said["orders"]
    return (f"{orders['open_before']} open orders, {orders['cancelled']} gone and {orders['pending']} pending "
            f"in {said['waited_ms']} ms")
