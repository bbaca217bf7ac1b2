"""A trading day from prepare to seal, led by `tern` alone, with an incident in the middle: docs/OPERATIONS.md has it as a transcript,
and these are its commands."""

import os
import re
import subprocess

import compare
import session
import venue
from overnight import FIRST, SECOND, date

# what a command ends with, where that is not 0
UNHEALTHY = 3
LED = "## A trading day"


def transcript():
    """The commands of the page, in order: lines that begin with `$ `."""
    path = os.path.join(os.path.dirname(os.path.dirname(session.HERE)), "docs", "OPERATIONS.md")
    with open(path, encoding="utf-8") as file:
        section = file.read().split(f"\n{LED}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^    \$ (tern .*)$", section, re.MULTILINE)


class Script:
    """Runs the page's commands, one after the other, and no others."""

    def __init__(self, today):
        self.today, self.left = today, transcript()

    def run(self, command, code=0):
        wanted = self.left.pop(0) if self.left else "(nothing)"
        assert wanted == command, f"docs/OPERATIONS.md has `{wanted}`, the check `{command}`"
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)][1:]
        tern = self.today.tern
        line = tern.network.command(tern.network.HOST, tern.binary("tern"), "--config", tern.config, *words)
        done = subprocess.run(line, capture_output=True, text=True, cwd=self.today.out)
        assert done.returncode == code, f"{command}: exit {done.returncode}, not {code}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def day(out, _options):
    with session.Session(out, "--seconds", 60, "--rate", 5000, "--exchange-option=--linger-ms=1500",
                         "--exchange-option=--break-percent=0", "--set", "day.managed=true", "--set", "audit.live=true",
                         "--set", f'session.utc_offset="{FIRST}"', "--set", f'opening.date="{date(FIRST)}"', capture=False) as today:
        today.start()
        script = Script(today)
        state = lambda: today.tern.tern("day", "status", check=False)  # noqa: E731
        is_green = lambda *names: all(check["green"] for check in state()["checks"] if check["check"] in names)  # noqa: E731
        today.wait("session and feed are up", lambda: is_green("session", "feed", "trading", "audit"), 30)
        said = script.run("tern day status", UNHEALTHY)
        assert "is new; no order leaves but cancels" in said and "there is no [reference]" in said, said
        said = script.run('tern day arm --why "open"', UNHEALTHY)
        assert "next is `tern day prepare`" in said, said
        script.run('tern day waive reference --minutes 600 --why "no lists of this market; ticket 41"')
        script.run("tern day prepare")
        if not is_green("alerts", "disk"):
            # a busy host may have raised something that is no affair of this check
            for check in ("alerts", "disk"):
                today.tern.tern("day", "waive", check, "--minutes", "600", "--why", "the check's host")
        script.run("tern day ready")
        before = venue.orders_sent(today.counters()["loop"])
        assert before == 0, f"{before} orders left before the day was armed"
        script.run('tern day arm --why "open"')
        today.wait_orders(200)

        # the incident: somebody stops it, looks, and lets it go on
        script.run("tern kill")
        said = script.run("tern status", UNHEALTHY)
        assert "operator_kill" in said, said
        assert state()["state"] == "armed"
        script.run("tern resume")
        again = venue.orders_sent(today.counters()["loop"])
        today.wait_orders(again + 100)

        script.run('tern day wind-down --why "close"')
        said = script.run("tern day seal", UNHEALTHY)
        assert "the day is wind_down" in said, said
        script.run("tern day close")
        today.tern.settle()
        closed = venue.orders_sent(today.counters()["loop"])
        lifted = today.tern.tern("resume", "--scope", "firm", check=False)
        assert not lifted, f"the whole firm was let run in a closed day: {lifted}"
        # what was closed stays closed over a data plane that dies
        pid = today.pid()
        session.kill(pid)
        today.wait("another data plane", lambda: today.pid() not in (0, pid), 30)
        today.wait("it has read the venue's log", lambda: is_green("session"), 30)
        today.wait("journal and venue's log agree", lambda: today.tern.tern("recover")["comparison"]["agreed_or_accepted"], 30)
        assert state()["state"] == "closed", state()["state"]
        script.run("tern day reconcile --roll-to opening.toml")
        script.run("tern day seal")
        sealed = state()
        assert sealed["state"] == "sealed" and os.path.exists(sealed["seal"]), sealed
        sent = [order for order in compare.Journal(today.tern.binary("tern"), today.tern.config).orders if order["action"] != "cancel"]
        armed = next(entry["seq"] for entry in sealed["entries"] if entry["step"] == "armed")
        ended = next(entry["seq"] for entry in sealed["entries"] if entry["step"] == "closed")
        assert sent and all(armed < order["seq"] < ended for order in sent), "an order left outside of the armed day"
        today.tern.settle()
        today.tern.stop()
        said = today.tern.tern("journal", "verify", "--seal", sealed["seal"])
        assert said["sound"], said

        # the next start finds yesterday's journal and its segment as they are: nothing to clean up, and nothing armed
        today.tern.log += "+"
        with open(today.tern.config, encoding="utf-8") as file:
            text = file.read()
        with open(f"{out}/opening.toml", encoding="utf-8") as file:
            held = sum(1 for line in file if line.startswith("[[position]]"))
        with open(today.tern.config, "w", encoding="utf-8") as file:
            file.write(text.replace(FIRST, SECOND).replace(str(date(FIRST)), str(date(SECOND))))
        today.tern.start()
        today.wait("a data plane of the next day", today.pid, 30)
        today.wait("it is a new day", lambda: state().get("state") == "new" and state()["day"] != sealed["day"], 30)
        status = today.status()
        assert any(scope["scope"] == "firm" and scope["by"] == "day" for scope in status["restricted"]), status["restricted"]
        today.tern.settle()
        assert not script.left, f"commands of docs/OPERATIONS.md that were not run: {script.left}"
        journaled = len(sealed["entries"])
        return (f"prepared to sealed in {journaled} journaled steps, {len(sent)} orders, all of them between arm and close; killed "
                f"and resumed in the middle; closed over a SIGKILL of the data plane ({closed} sent by then); {held} positions rolled; "
                f"the next start is a new day that lets nothing leave")

