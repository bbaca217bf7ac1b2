"""Metrics with a real Prometheus and Alertmanager: each fault has to arrive at a webhook, and scrapers must not be felt."""

import os
import signal
import subprocess
import time

import compare
import prometheus
import session

LISTEN = ("--set", f"metrics.listen=\"127.0.0.1:{prometheus.METRICS}\"")
# scrape, rule and group intervals of a second each, on two cores that everything shares
LIMIT_S = 12.0
FLOOD_S, SCRAPERS, HERTZ = 5, 4, 100
# a loop that waits for a scraper, or for one that hangs, takes milliseconds; how much less it takes is the benchmark's (`loop_under_load`)
WAITS_NS = 1_000_000


def metrics_rules(_out, _options):
    """The rules file and its unit tests, by promtool."""
    promtool = prometheus.tool("promtool")
    said = session.sandbox.run(promtool, "check", "rules", prometheus.RULES) + session.sandbox.run(promtool, "test", "rules", prometheus.TESTS)
    assert said.count("SUCCESS") == 2, said
    with open(prometheus.TESTS, encoding="utf-8") as file:
        cases = file.read().count("  - name: ")
    return f"promtool: {said.split('SUCCESS: ')[1].split(' found')[0]} are sound, {cases} unit tests of them pass"


def metrics_alerts(out, _options):
    """Faults of every sort, and the time from each to the alert at the webhook."""
    with session.Session(out, "--seconds", 150, "--rate", 4000, "--exchange-option=--linger-ms=1500", "--set", "daemon.heartbeat_loss_ms=1000",
                         "--set", "daemon.restart_pause_ms=4000", "--set", "daemon.silence_ms=20000", "--set", "daemon.silence_halt_ms=0",
                         "--set", "alerts.disk_free_mb=16", "--set", "alerts.refusals_per_second=1000", "--set", "port.ring_frames=4096",
                         "--set", "session.after_restart=\"agreement\"", *LISTEN, capture=False) as today:
        disk = os.path.join(out, "journal")
        os.makedirs(disk)
        session.sandbox.run("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", disk)
        watchers = prometheus.Watchers(today.network, out)
        watchers.start()
        try:
            today.start()
            today.wait_orders(200)
            return faults(today, watchers, disk)
        finally:
            watchers.stop()


def faults(today, watchers, disk):
    took = {}

    def measured(name, fault, *alerts):
        """Causes a fault, and waits until the webhook is told of each of the alerts; seconds from the one to the other."""
        seen = {alert: len(watchers.told(alert)) for alert in alerts}
        began_ns = time.time_ns()
        fault()
        for alert in alerts:
            today.wait(f"{alert} at the webhook for {name}", lambda: len(watchers.told(alert)) > seen[alert], 3 * LIMIT_S, pause=0.1)
            took[f"{name}: {alert}"] = (watchers.told(alert)[seen[alert]][0] - began_ns) / 1e9

    def tern(*arguments):
        return lambda: today.tern.tern(*arguments, check=False)

    # so often that everything has a rate
    today.wait("Prometheus has scraped", lambda: watchers.ask(["tern_trading == 1 and count_over_time(tern_intents_total[10s]) > 5"]) == [1], 30)
    drawn = dashboard(watchers)
    form = check_form(watchers.scrape())

    measured("kill", tern("kill"), "TernTradingStopped", "TernKilled")
    today.tern.tern("resume")
    today.wait("the kill is resolved", lambda: watchers.told("TernKilled", "resolved"), 3 * LIMIT_S)

    filler = os.path.join(disk, "filler")
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    measured("disk nearly full", lambda: session.sandbox.run("fallocate", "-l", str(free - (12 << 20)), filler), "TernDiskNearlyFull", "TernDiskLow")
    os.unlink(filler)

    measured("metrics stopped", lambda: os.kill(exporter(today), signal.SIGSTOP), "TernMetricsDown")
    session.kill(exporter(today))
    today.wait("ternd starts it again", lambda: watchers.ask(["up == 1"]) == [1], 30)

    daemon = today.tern.process
    measured("daemon killed", lambda: (session.kill(daemon.pid), daemon.wait()), "TernDaemonDown")
    today.tern.log += "+"
    today.tern.start()
    today.wait("the new daemon adopts the data plane", lambda: (today.status().get("daemon") or {}).get("adopted"))
    today.wait("its metrics are there", lambda: watchers.ask(["tern_process_up{process=\"ternd\"} == 1"]) == [1], 30)

    measured("a limit of 1", tern("risk", "set", "gross_max=1", "--why", "alarm"), "TernLimitUse", "TernLimitNear", "TernRefusalsBurst")

    measured("a loss near its limit", tern("risk", "set", "drawdown_max=1", "--why", "alarm"), "TernLossUse", "TernLossNear")

    def link(state):
        return lambda: session.sandbox.run("ip", "-n", today.network.VENUE, "link", "set", "veth-venue", state)
    measured("feed silent (link down)", link("down"), "TernFeedSilent")
    measured("feed gap (link up again)", link("up"), "TernFeedGap", "TernFeedUntrusted")

    plane = today.pid()
    measured("data plane stuck", lambda: os.kill(plane, signal.SIGSTOP), "TernDataPlaneStuck")
    overfull(today, plane)
    measured("its ring ran over", lambda: os.kill(plane, signal.SIGCONT), "TernFramesDropped")
    measured("data plane dead", lambda: session.kill(today.pid()), "TernDataPlaneDown", "TernDataPlaneRestarted")
    today.wait("the session is up", lambda: "ready" in today.status().get("sessions", {}).values(), 60)
    measured("order session cut", today.exchange.process.terminate, "TernSessionDown")

    bad = {name: seconds for name, seconds in took.items() if seconds > LIMIT_S}
    assert not bad, f"more than {LIMIT_S:.0f} s from fault to webhook: {bad}"
    worst = max(took, key=took.get)
    figures = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    return f"{len(took)} alerts at the webhook, the last within {took[worst]:.1f} s ({figures}); {form}; {drawn}"


def exporter(today):
    with open(os.path.join(today.tern.run_folder, "metrics.pid"), encoding="ascii") as file:
        return int(file.read())


def overfull(today, plane):
    """A stopped loop's ring has run over once more has come than it holds."""
    before = today.network.sent()
    today.wait("more than the ring holds", lambda: today.network.sent() > before + 3 * 4096, 30)
    assert session.alive(plane)


def dashboard(watchers):
    """Every expression of the dashboard is one, and nearly all have data."""
    asked = prometheus.expressions()
    said = watchers.ask(asked)
    assert len(said) == len(asked), f"{len(said)} answers to {len(asked)} expressions"
    wrong = [(expr, answer) for expr, answer in zip(asked, said) if not isinstance(answer, int)]
    assert not wrong, f"Prometheus does not take {wrong[:3]}"
    # nobody is restricted, nothing is halted, no sink follows
    empty = [expr for expr, answer in zip(asked, said) if answer == 0]
    may = ("tern_halt_info", "tern_scope_restricted", "tern_sink_behind", "histogram_quantile")
    missing = [expr for expr in empty if not expr.startswith(may)]
    assert not missing, f"no data for {missing}"
    return f"{len(asked)} expressions of the dashboard, {len(asked) - len(empty)} with data"


def check_form(text):
    """promtool finds nothing wrong with what is scraped."""
    done = subprocess.run([prometheus.tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    # a level that ends like a counter's name, and the like, would be said here
    assert done.returncode == 0 and not done.stderr.strip(), f"promtool check metrics: exit {done.returncode}: {done.stderr[:2000]}"
    return f"{sum(1 for line in text.splitlines() if not line.startswith('#'))} values scraped, sound"


def metrics_flood(out, _options):
    """Scrapers at 100 Hz each and two that hang, in turns with quiet: the loop's tick to order, and that nothing is lost."""
    turns = 2
    with session.Session(out, "--seconds", 2 * turns * FLOOD_S + 4, "--rate", 10000, "--exchange-option=--linger-ms=1500", *LISTEN) as today:
        watchers = prometheus.Watchers(today.network, out)
        today.start()
        today.wait_orders(200)
        windows, got = {"quiet": [], "flood": []}, {}
        for turn in range(2 * turns):
            kind = "flood" if turn % 2 else "quiet"
            from_ns = time.clock_gettime_ns(time.CLOCK_TAI)
            if kind == "flood":
                hanging = [today.network.spawn(today.network.HOST, "python3", prometheus.__file__, "deaf", "127.0.0.1",
                                               str(prometheus.METRICS), str(FLOOD_S), log=os.path.join(out, "deaf.log")) for _ in range(2)]
                said = watchers.inside("flood", f"http://127.0.0.1:{prometheus.METRICS}/metrics", SCRAPERS, HERTZ, FLOOD_S)
                for outcome, count in session.json.loads(said).items():
                    got[outcome] = got.get(outcome, 0) + count
                for process in hanging:
                    process.wait(20)
            else:
                time.sleep(FLOOD_S)
            windows[kind].append((from_ns, time.clock_gettime_ns(time.CLOCK_TAI)))
        last = watchers.scrape()
        cut = value(last, 'tern_metrics_requests_total{outcome="cut"}')
        today.wait_closed()
        findings = today.findings()
        session.require(findings)
        today.consistent()
    took = {kind: tick_to_order(today, spans) for kind, spans in windows.items()}
    ratios = [took["flood"][at] / took["quiet"][at] for at in (0.5, 0.99)]
    assert got.get("whole", 0) > SCRAPERS * HERTZ * FLOOD_S * turns * 0.5 and not got.get("torn"), got
    assert cut > 0, "none that hangs was cut off"
    assert took["flood"][0.5] < WAITS_NS, f"tick to order {took}, scraped and not"
    return (f"{sum(got.values())} scrapes ({', '.join(f'{count} {name}' for name, count in got.items())}), {cut:.0f} that hung cut off; tick to order "
            f"p50 {took['quiet'][0.5]} -> {took['flood'][0.5]} ns ({ratios[0]:.2f}), p99 {took['quiet'][0.99]} -> {took['flood'][0.99]} ns ({ratios[1]:.2f}), "
            f"{took['quiet']['n']} and {took['flood']['n']} orders; nothing lost, both sides agree")


def value(text, series):
    return float(next(line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(series)))


def tick_to_order(today, windows):
    """Percentiles of the loop's tick to order over these windows, from the journal's stage records."""
    samples = []
    for record in compare.cat(today.tern.binary("tern"), today.tern.config, "stages"):
        stages = record["body"]["stage_ns"]
        if record["body"]["order"] and "encoded" in stages and any(begin <= record["tai_ns"] <= end for begin, end in windows):
            samples.append(stages["encoded"] - stages["frame_seen"])
    samples.sort()
    assert len(samples) > 200, f"only {len(samples)} orders"
    return {"n": len(samples), **{at: samples[int(len(samples) * at)] for at in (0.5, 0.99)}}
