"""Alerts about what was usual, what comes and what others say of the clock and the day, fired by a real Prometheus and Alertmanager.

Their rules wait minutes for it to last; here a copy of the rules waits two seconds. The week before is written into Prometheus' storage."""

import os
import re
import subprocess
import time

import faults
import metrics
import prometheus
import session

FOR_S, LIMIT_S = 2, 20.0
WEEK_S, STEP_S = 7 * 86400, 1800
# nothing is as fast
USUAL_S = 1e-7


def hurried(out):
    """The rules with shorter patience."""
    with open(prometheus.RULES, encoding="utf-8") as file:
        text = file.read()
    path = os.path.join(out, "hurried.rules.yml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"for: \d+s", f"for: {FOR_S}s", text))
    return path


def week(out):
    """What the 99th percentile of each five minutes was in the week before, but for the last hours, as blocks of Prometheus."""
    labels = f'{{instance="127.0.0.1:{prometheus.METRICS}",job="tern"}}'
    now = int(time.time())
    lines = [f"tern:tick_to_order_seconds:p99_5m{labels} {USUAL_S} {at}" for at in range(now - WEEK_S + STEP_S, now - 3 * 3600, STEP_S)]
    path = os.path.join(out, "week.om")
    with open(path, "w", encoding="utf-8") as file:
        file.write("# TYPE tern:tick_to_order_seconds:p99_5m gauge\n" + "\n".join(lines) + "\n# EOF\n")
    done = subprocess.run([prometheus.tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", path, os.path.join(out, "prometheus")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return len(lines)


def metrics_slow_alerts(out, _options):
    """A slow day, a clock that nobody keeps, a disk that fills and a drop copy that differs, each until the webhook is told."""
    with faults.Faults(out) as fault, session.Session(
            out, "--seconds", 90, "--rate", 8000, "--exchange-option=--withhold-execution=orders", "--exchange-option=--withhold-after=30",
            "--set", "drop_copy.deadline_ms=40000", "--set", "daemon.silence_ms=20000", "--set", "alerts.disk_free_mb=1",
            *metrics.LISTEN, capture=False) as today:
        disk = os.path.join(out, "journal")
        os.makedirs(disk)
        session.sandbox.run("mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", disk)
        samples = week(out)
        prometheus.RULES = hurried(out)
        watchers = prometheus.Watchers(today.network, out)
        watchers.start()
        try:
            today.start()
            day_ns = time.time_ns()
            today.wait_orders(200)
            took = {}

            def measured(name, alert, begin):
                seen, began_ns = len(watchers.told(alert)), time.time_ns()
                begin()
                today.wait(f"{alert} at the webhook for {name}", lambda: len(watchers.told(alert)) > seen, 3 * LIMIT_S, pause=0.1)
                took[f"{name}: {alert}"] = (watchers.told(alert)[seen][0] - began_ns) / 1e9

            measured("a clock that nobody keeps", "TernClockUnsynchronized", lambda: fault.set(kept=1))
            measured("a clock 500 us off", "TernClockOffset", lambda: fault.set(kept=2))
            fault.set()
            # these are so from the day's first minute on: its journal alone would fill this disk within hours
            for name, alert in (("a disk that fills", "TernDiskFillsUp"), ("a day slower than its week", "TernLatencyBeyondWeek"),
                                ("an execution that the drop copy alone has", "TernDropCopyDiffers")):
                today.wait(f"{alert} at the webhook for {name}", lambda: watchers.told(alert), 3 * LIMIT_S, pause=0.1)
                took[f"{name}: {alert}"] = (watchers.told(alert)[0][0] - day_ns) / 1e9
            figures = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
            return f"{len(took)} alerts at the webhook ({figures}), of rules that wait {FOR_S} s; {samples} samples of the week before"
        finally:
            watchers.stop()

