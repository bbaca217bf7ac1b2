"""What disk and clock may do: slow, read-only, failing syncs, set ahead and back. Made between the program and its kernel (faults.c), so
that it needs no device of its own and the host's clock is never touched."""

import errno
import os
import struct
import subprocess
import time

import compare
import session
import venue

HERE = os.path.dirname(os.path.abspath(__file__))
# a ring that is full within seconds
SMALL_RINGS = ("--set", "rings.order_slots=2048", "--set", "rings.capture_bytes=1048576")


class Faults:
    """The file that says what is wrong; programs that are started while it is open look there."""

    def __init__(self, out):
        self.path, self.library = f"{out}.faults", f"{out}.so"
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self.library, os.path.join(HERE, "faults.c"), "-ldl"], check=True)
        with open(self.path, "wb") as file:
            file.write(bytes(4096))

    def __enter__(self):
        os.environ.update(TERN_FAULTS=self.path, LD_PRELOAD=self.library)
        return self

    def __exit__(self, *_):
        for name in ("TERN_FAULTS", "LD_PRELOAD"):
            os.environ.pop(name, None)

    def set(self, error=0, delay_ns=0, clock_ns=0, kept=0):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("<qqq", error, delay_ns, clock_ns))
            file.seek(32)
            file.write(struct.pack("<q", kept))

    def met(self):
        with open(self.path, "rb") as file:
            return struct.unpack("<q", file.read(32)[24:])[0]


def refused(out, number, words):
    """The disk refuses everything for a while: trading stops, and nothing that the exchange got is missing."""
    with Faults(out) as faults, session.Session(out, "--seconds", 9, "--set", "alerts.disk_free_mb=0") as today:
        today.start()
        today.wait_orders(200)
        faults.set(error=number)
        began = time.monotonic()
        trouble = today.wait("the daemon says what the disk does",
                             lambda: ((today.status().get("daemon") or {}).get("journal") or {}).get("trouble"))
        today.wait("trading stops", lambda: not today.status()["trading"])
        took = time.monotonic() - began
        status = today.status()
        assert words in trouble and status["halt"]["reason"] == "journal_trouble", (trouble, status["halt"])
        today.wait("it is alerted", lambda: "journal_trouble" in [one["alert"] for one in today.status()["alerts"]], 5)
        stopped = today.counters()["loop"]
        time.sleep(0.5)
        assert today.counters()["loop"]["orders_new"] == stopped["orders_new"], "new orders without a journal"
        faults.set()
        today.wait("the journal goes on", lambda: not today.status()["daemon"]["journal"]["trouble"] and today.status()["seq"]["waiting"] == 0)
        assert today.tern.tern("resume")["resumed"], today.status()
        today.wait_orders(venue.orders_sent(stopped) + 20)
        today.wait_closed()
        today.tern.settle()
        today.tern.stop()
        journal, theirs = today.consistent(cut=True)
        today.verify_journal()
        return (f"\"{trouble}\" ({faults.met()} calls failed); halted within {took:.1f} s and alerted, 0 new orders until it was over; resumed, "
                f"{len(theirs.orders)} at the exchange, all in the journal ({len(journal.orders)})")


def disk_read_only(out, _options):
    return refused(out, errno.EROFS, "Read-only")


def disk_errors(out, _options):
    return refused(out, errno.EIO, "Input/output error")


def disk_slow(out, _options):
    """Each write and sync takes most of a second: datagrams are shed and told, then only cancels leave, and no order is lost."""
    with Faults(out) as faults, session.Session(out, "--seconds", 12, "--rate", 8000, "--set", "alerts.disk_free_mb=0", *SMALL_RINGS) as today:
        today.start()
        today.wait_orders(200)
        faults.set(delay_ns=900_000_000)
        today.wait("datagrams are shed", lambda: today.counters()["loop"]["capture_shed"] > 0)
        held = ("daemon_silent", "ring_reserve")
        today.wait("orders are refused while the ring has room for cancels", lambda: any(today.counters()["refusals"][why] > 0 for why in held))
        first = today.counters()["loop"]
        time.sleep(1.0)
        while_slow = today.counters()
        status = today.status()
        faults.set()
        today.wait("the journal catches up", lambda: today.status()["seq"]["waiting"] < 1000)
        assert status["problems"] and status["alerts"], f"nobody was told: {status}"
        today.wait_closed()
        today.tern.settle()
        shed = today.counters()["loop"]["capture_shed"]
        today.tern.stop()
        journal, theirs = today.consistent(cut=True)
        today.verify_journal()
        told = [record["body"]["datagrams"] for record in compare.cat(today.tern.binary("tern"), today.tern.config, "shed")]
        assert sum(told) == shed > 0, f"markers tell {sum(told)} datagrams, {shed} were shed"
        assert while_slow["loop"]["record_refused"] == 0 or not status["trading"], "a record was lost and it trades"
        why = ", ".join(f"{while_slow['refusals'][why]} {why}" for why in held)
        return (f"{faults.met()} calls took 0.9 s longer: {shed} datagrams shed, {len(told)} markers tell all of them; intents refused: {why}; "
                f"{while_slow['loop']['orders_new'] - first['orders_new']} new orders in a second of it; {len(theirs.orders)} at the exchange, all in "
                f"the journal ({len(journal.orders)})")


def clock_step(out, _options):
    """The kernel's clock, as the data plane sees it, is set ahead and back: counted, told, and the record's time never goes back."""
    with Faults(out) as faults, session.Session(out, "--seconds", 9) as today:
        today.start()
        today.wait_orders(200)

        def loop(name):
            return today.counters()["loop"][name]

        def outliers(limit):
            return today.tern.tern("latency", "outliers", "--limit", str(limit))
        # A host that stood still for as long as the step has made that usual: no sample of the step would be beyond it.
        stood = max((one["ns"] for one in outliers(1)["outliers"]), default=0)
        step = max(80_000_000, 3 * stood)
        before = loop("clock_steps")
        faults.set(clock_ns=step)
        today.wait("the step ahead is counted", lambda: loop("clock_steps") > before, 5)
        ahead = loop("clock_stepped_ns")
        assert 0.9 * step < ahead < 2.5 * step, f"{ahead} ns counted of a step of {step}"
        set_ns = time.clock_gettime_ns(time.CLOCK_TAI)
        time.sleep(0.5)
        faults.set()
        today.wait("the step back is counted", lambda: loop("clock_steps") > before + 1, 5)
        time.sleep(0.5)
        assert session.alive(today.pid()) and loop("clock_steps") == before + 2, "each step once"
        today.wait_closed()
        today.tern.settle()
        listed = outliers(100000)
        today.tern.stop()
        journal, theirs = today.consistent(cut=True)
        today.verify_journal()
        times = [record["tai_ns"] for record in compare.cat(today.tern.binary("tern"), today.tern.config, "order,order_event,stages")]
        assert times == sorted(times), "time went back"
        # Until it was set back each frame's stamp was as much behind the loop's clock: all that took about as long are laid to it.
        during = [one for one in listed["outliers"] if set_ns - 100_000_000 < one["arrival_ns"] < set_ns + 500_000_000 and step < one["ns"] < 1.5 * step]
        others = [one for one in during if one["cause"] != "clock_step"]
        stepped = [one for one in listed["outliers"] if one["cause"] == "clock_step"]
        assert during and not others, f"{len(others)} of {len(during)} outliers of the step's length are laid to something else: {others[:2]}"
        return (f"2 steps of {step / 1e6:.0f} ms counted ({ahead / 1e6:.1f} ms the first), time never went back in {len(times)} records; {len(stepped)} of "
                f"{len(listed['outliers'])} outliers laid to it; {len(theirs.orders)} at the exchange, all in the journal ({len(journal.orders)})")
