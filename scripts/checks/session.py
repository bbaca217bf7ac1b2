"""One trading day for a check: the demo's two sides, with hands on both."""

import json
import os
import shutil
import signal
import sys
import time
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import compare  # noqa: E402
import demo  # noqa: E402
import sandbox  # noqa: E402
import venue  # noqa: E402

# Small books: a check is about what happens, not about size, and starts sooner.
SMALL = ("--instruments", "400", "--orders", "200000")


class Session:
    """Exchange and Tern over one network. Use it with `with`: nothing outlives the block."""

    def __init__(self, out, *arguments, network=None, capture=True):
        self.options = demo.arguments([*SMALL, *map(str, arguments)])
        if not any("heartbeat_loss_ms" in setting for setting in self.options.set):
            # on a busy host the loop may wait a second for its core, which is not what most checks are about
            self.options.set.append("daemon.heartbeat_loss_ms=5000")
        self.out, self.capture = out, capture
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        # what a day before left under the same name is none of this one's
        for path in ("/dev/shm/tern-demo", "/run/tern/demo"):
            shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.path.exists(path) and os.unlink(path)
        self.network = network or sandbox.Network()
        self.tern = venue.Tern(self.options, out, self.network)
        self.exchange = venue.Exchange(self.options, out, self.network)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Both sides are up, the market about to open."""
        self.tern.start()
        self.tern.wait_ready()
        self.open()
        return self

    def open(self):
        """Starts the exchange."""
        if self.capture:
            self.exchange.start()
        else:
            self.exchange.process = self.network.spawn(self.network.VENUE, *self.exchange.command(), log=self.exchange.log)

    def stop(self):
        venue.end(self.exchange.process)
        self.tern.stop()
        venue.end(self.exchange.capture)
        kill_left(self.tern.run_folder)

    # ---- what it says

    def counters(self):
        return self.tern.tern("counters", check=False)

    def status(self):
        return self.tern.tern("status", check=False)

    def pid(self):
        """Process id of the data plane, 0 when there is none."""
        return (self.status().get("dataplane") or {}).get("pid") or 0

    def wait(self, what, condition, seconds=20.0, pause=0.05):
        """Until `condition()` is true; its value."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:.0f} s: {what}")
            time.sleep(pause)

    def wait_orders(self, count, seconds=20.0):
        """Until so many order messages were sent."""
        def sent():
            counters = self.counters()
            return counters and venue.orders_sent(counters["loop"]) >= count
        self.wait(f"{count} orders sent", sent, seconds)

    def close(self):
        """Ends the exchange's day before its time."""
        self.exchange.process.terminate()
        self.wait_closed()

    def logins(self):
        """How often the exchange let somebody in, as its log says."""
        with open(self.exchange.orders_log, encoding="utf-8") as lines:
            return sum(1 for line in lines if '"type":"login"' in line and '"accepted":true' in line)

    def wait_closed(self, seconds=60.0):
        """Until the exchange's day is over."""
        self.wait("the exchange ends its day", lambda: not self.exchange.running(), self.options.seconds + seconds)
        code = self.exchange.process.returncode
        assert code == 0, f"tern-exchange: exit {code}:\n{venue.tail(self.exchange.log)}"

    # ---- what it comes to

    def sides(self):
        """(journal, exchange's log), read from their files."""
        return compare.Journal(self.tern.binary("tern"), self.tern.config), compare.Exchange(self.exchange.orders_log)

    def consistent(self, cut=False, stopped=False):
        """Orders, positions and cash of both sides agree; (journal, exchange).

        What only the exchange has is never allowed. What only the journal has must have been recalled by a kill, or
        (`stopped`) by the stop of a strategy in the middle of an input, which the journal says of each order, or
        (`cut`) must be what was under way when a connection or a process ended: TCP loses the tail of a stream, nothing
        in its middle."""
        journal, theirs = self.sides()
        only_ours, only_theirs = compare.orders(journal, theirs)
        assert not only_theirs, f"{len(only_theirs)} order messages only at the exchange: {only_theirs[:5]}"
        unexplained = compare.without(only_ours, journal.taken_back)
        if stopped:
            # a replace that was taken back is told under the id that its order still has
            unexplained = [key for key in unexplained if key[0] == "cancel" or (key[2] or key[1]) not in journal.recalled]
        if cut:
            unexplained = self.not_in_a_tail(journal, unexplained)
        assert not unexplained, f"{len(unexplained)} order messages only in the journal: {unexplained[:5]}"
        sums = compare.differences(journal.positions(), theirs.positions())
        assert not sums, f"positions differ (ours, exchange): {dict(list(sums.items())[:5])}"
        claims = compare.differences(journal.claimed_positions(), theirs.claimed)
        assert not claims, f"claimed positions differ (ours, exchange): {dict(list(claims.items())[:5])}"
        ids = [entry["fields"]["user_ref"] for entry in theirs.orders if entry["fields"]["kind"] in "OU"]
        assert len(ids) == len(set(ids)), "an order id was used twice"
        return journal, theirs

    def not_in_a_tail(self, journal, lost):
        """Those of `lost` that are not among the last messages before the end of a connection or a run. Behind those may stand
        others that were taken back then."""
        lost, taken_back = Counter(lost), Counter(journal.taken_back)
        ends = [record["seq"] for record in compare.cat(self.tern.binary("tern"), self.tern.config, "conn,start")
                if record["kind"] == "start" or record["body"]["event"] == "down"]
        orders = sorted(journal.orders, key=lambda order: order["seq"])
        for end in [*sorted(ends), float("inf")]:
            run = [compare.sent_key(order) for order in orders if order["seq"] < end]
            orders = [order for order in orders if order["seq"] >= end]
            while run and (lost[run[-1]] or taken_back[run[-1]]):
                (lost if lost[run[-1]] else taken_back)[run[-1]] -= 1
                run.pop()
        return list(lost.elements())

    def verify_journal(self):
        said = self.tern.tern("journal", "verify")
        assert said, "journal verify says nothing"
        return said

    def findings(self):
        """The demo's report."""
        self.tern.settle()
        self.tern.observe_counters()
        self.stop()
        found = demo.build(self.options, self.out, self.exchange, self.tern)
        with open(os.path.join(self.out, "report.json"), "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)
        return found


def require(findings, but=()):
    """Every comparison of the report is green, those in `but` excepted."""
    bad = [f"{check['name']}: {check['detail']}" for check in findings["checks"]
           if not check["ok"] and check["name"] not in but]
    assert not bad, "; ".join(bad)


def failed(findings):
    """Names of the comparisons that failed."""
    return {check["name"] for check in findings["checks"] if not check["ok"]}


class OneOf:
    """What a session is asked of another instance than its own."""

    def __init__(self, tern):
        self.tern = tern


def kill(pid):
    """SIGKILL, and wait until the process is gone (or only its parent's to bury)."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} survives SIGKILL"
        time.sleep(0.002)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill_left(run_folder):
    """A data plane whose daemon was killed outlives it; the check's end is its end."""
    path = os.path.join(run_folder, "dataplane.pid")
    if os.path.exists(path):
        with open(path, encoding="ascii") as file:
            pid = int(file.read().split()[0])
        if alive(pid):
            kill(pid)
