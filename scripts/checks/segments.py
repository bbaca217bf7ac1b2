"""A day that is over is compressed while the next one trades, with ternd killed in the middle of a file: the journal is proven by the
day's seal, queries by index and by reading agree, and both days replay."""

import glob
import os
import subprocess
import time

import compare
import overnight
import session

PACKED = b"TERNPACK"


def segments(out, _options):
    with session.Session(out, "--seconds", 20, "--exchange-option=--linger-ms=1500", "--exchange-option=--break-percent=0",
                         "--set", f'session.utc_offset="{overnight.FIRST}"', "--rate", 10000, "--set", "journal.segment_bytes=1048576",
                         capture=False) as today:
        today.start()
        today.wait("the journal has four files", lambda: len(glob.glob(f"{out}/journal/*.journal")) >= 4)
        overnight.end_of_day(today)
        seal = only(glob.glob(f"{out}/journal/seals/*.seal"))
        opening = f"{out}/opening.toml"
        today.tern.tern("positions", "roll", "--to", opening, "--date", str(overnight.date(overnight.SECOND)))
        orders = list(compare.cat(today.tern.binary("tern"), today.tern.config, "order"))
        until = max(record["tai_ns"] for record in orders)
        asked = [("--symbol", orders[place]["body"]["symbol"].strip(), "--to", str(until)) for place in (0, len(orders) // 2, -1)]
        told = [query(today, *one) for one in asked]
        assert all(text.count("\n") > 2 for text in told), told
        cold = sorted(glob.glob(f"{out}/journal/*.journal"))
        before = sum(os.path.getsize(path) for path in cold)
        assert len(cold) >= 3, f"only {len(cold)} segments"

        overnight.begin(today, out, opening)
        today.open()
        today.wait_orders(100)
        assert not any(map(packed, cold)), "compressed before another day had begun"
        # one that starts now finds a day that is over; the data plane trades on
        cut = 0
        for turn in range(20):
            session.kill(today.tern.process.pid)
            today.tern.process.wait()
            cut += bool(glob.glob(f"{out}/journal/*.packing")) and turn > 0
            if cut or all(map(packed, cold)):
                break
            today.tern.start()
            deadline = time.monotonic() + 10
            while not glob.glob(f"{out}/journal/*.packing") and time.monotonic() < deadline:
                pass
        assert cut, "ternd was never killed in the middle of a file"
        sound(today, seal)
        today.tern.start()
        today.wait("the day before is compressed", lambda: all(map(packed, cold)), 60)
        assert not glob.glob(f"{out}/journal/*.packing"), "a file that is half written is left"
        after = sum(os.path.getsize(path) for path in cold)
        today.wait_orders(300)
        overnight.end_of_day(today)
        found = sound(today, seal)
        for one, text in zip(asked, told):
            assert query(today, *one) == text, f"{one} finds something else"
            assert query(today, *one, "--no-index") == text, f"{one} finds something else without an index"
        for record in (orders[0], orders[len(orders) // 2]):
            one = ("--order", str(record["body"]["order"]))
            assert query(today, *one) == query(today, *one, "--no-index"), f"{one} is told otherwise without an index"
        assert today.tern.tern("journal", "index", "--check")["wrong"] == [], "an index is wrong"
        code, said = today.tern.replay()
        assert code == 0 and '"mismatches":0' in said.replace(" ", ""), said
        assert today.tern.audit()["disagreements"] == 0
        return (f"{len(cold)} files of the day before compressed from {before >> 20} to {after >> 20} MiB while the next one traded, one of them begun by a "
                f"ternd that was killed in it; {found['records']} records proven by the head and the day's seal, queries find the same as before, by "
                "index and by reading, both days replay, and the second opinion agrees")


def only(found):
    assert len(found) == 1, found
    return found[0]


def packed(path):
    with open(path, "rb") as file:
        return file.read(len(PACKED)) == PACKED


def query(today, *arguments):
    """What a query of all days prints."""
    command = [today.tern.binary("tern"), "--config", today.tern.config, "--json", "journal", "query", "--all-days", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def sound(today, seal):
    """The journal holds, and against the seal of the day before."""
    found = today.tern.tern("journal", "verify", "--seal", seal)
    assert found["sound"] and not found["damages"], found["damages"]
    assert any("seal" in (stretch["proven_by"] or "") for stretch in found["stretches"]), found["stretches"]
    return found
