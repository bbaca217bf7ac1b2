"""Faults of every sort, and the time from each to the alert in the command's hands: under five seconds (RTS 6, Article 16(5))."""

import json
import os
import signal
import subprocess
import time

import session

LIMIT_S = 5.0
# stands in for a pager: writes down when it was started, and with what
PAGER = """#!/bin/sh
read -r line
printf '%s %s\\n' "$(date +%s%N)" "$line" >> {out}
"""


def alerts(out, _options):
    with session.Session(out, "--seconds", 60, "--rate", 4000, "--exchange-option=--linger-ms=1500", "--set", "daemon.heartbeat_loss_ms=1000",
                         "--set", "daemon.restart_pause_ms=1500", "--set", "alerts.disk_free_mb=0", "--set", "session.after_restart=\"agreement\"",
                         "--set", "daemon.silence_ms=1000", capture=False) as today:
        pager, pages = os.path.join(out, "pager"), os.path.join(out, "pages")
        with open(pager, "w", encoding="utf-8") as file:
            file.write(PAGER.format(out=pages))
        os.chmod(pager, 0o755)
        set_command(today.tern.config, pager)
        today.start()
        today.wait_orders(200)
        took = {}

        def measured(name, fault, alert):
            """Causes a fault, and waits for its page; seconds from the one to the other."""
            seen = len(raised(pages, alert))
            began_ns = time.time_ns()
            fault()
            today.wait(f"a page for {name}", lambda: len(raised(pages, alert)) > seen, LIMIT_S + 5, pause=0.05)
            stamp, event = raised(pages, alert)[seen]
            took[name] = (stamp - began_ns) / 1e9
            assert took[name] < LIMIT_S, f"{name}: {took[name]:.1f} s to the alert {event}"
            return event

        event = measured("kill", lambda: today.tern.tern("kill", check=False), "trading_stopped")
        assert event["detail"].startswith("operator_kill") and event["severity"] == "critical" and event["todo"], event
        assert "trading_stopped" in [alert["alert"] for alert in today.status()["alerts"]]
        today.tern.tern("resume")
        today.wait("the alert is cleared", lambda: "trading_stopped" not in [alert["alert"] for alert in shown(today)["active"]], 10)

        measured("a limit nearly used", lambda: today.tern.tern("risk", "set", "gross_max=1", "--why", "alarm"), "limit_near")

        plane = today.pid()
        measured("data plane stuck", lambda: os.kill(plane, signal.SIGSTOP), "data_plane_stuck")
        os.kill(plane, signal.SIGCONT)
        daemon = today.tern.process.pid

        def pause():
            os.kill(daemon, signal.SIGSTOP)
            time.sleep(1.6)
            os.kill(daemon, signal.SIGCONT)
        measured("daemon stopped for 1.6 s", pause, "daemon_silent")

        def link(state):
            session.sandbox.run("ip", "-n", today.network.VENUE, "link", "set", "veth-venue", state)
        measured("feed silent (link down)", lambda: link("down"), "feed_silent")
        measured("feed gap (link up again)", lambda: link("up"), "feed_untrusted")
        measured("data plane dead", lambda: session.kill(today.pid()), "data_plane_down")
        today.wait("it is started again", lambda: raised(pages, "data_plane_restarted") and today.pid(), 30)
        today.wait("the session is up", lambda: "ready" in today.status().get("sessions", {}).values(), 30)
        measured("order session cut", lambda: today.exchange.process.terminate(), "session_down")
        delivery = shown(today)["delivery"]
        assert delivery["delivered"] > 6 and delivery["failed"] == 0, delivery
        today.tern.settle()
        journaled = journaled_alerts(today)
        assert {"trading_stopped", "data_plane_stuck", "data_plane_down", "limit_near"} <= journaled, journaled
        worst = max(took, key=took.get)
        figures = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
        return f"{len(took)} faults, each paged within {took[worst]:.1f} s ({figures}); {delivery['delivered']} pages delivered; all journaled"


def set_command(path, pager):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    line = f'command = ["{pager}"]\n'
    text = text.replace("[alerts]\n", "[alerts]\n" + line) if "[alerts]\n" in text else text + "[alerts]\n" + line
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def raised(pages, alert):
    """(when the pager was started, event) of each time that this alert was raised."""
    if not os.path.exists(pages):
        return []
    with open(pages, encoding="utf-8") as file:
        lines = [line.split(" ", 1) for line in file if line.endswith("\n")]
    events = [(int(stamp), json.loads(event)) for stamp, event in lines]
    return [(stamp, event) for stamp, event in events if event["alert"] == alert and event["event"] == "raised"]


def shown(today):
    return today.tern.tern("alerts", check=False)


def journaled_alerts(today):
    done = subprocess.run([today.tern.binary("tern"), "--config", today.tern.config, "--json", "journal", "cat", "--kind", "command"],
                          stdout=subprocess.PIPE, text=True, check=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return {record["body"]["alert"]["alert"] for record in records if record["body"].get("alert")}
