"""Restarts that find less than there was: a power cut that takes the segment and the journal's end, a journal of which
a part is missing."""

import glob
import os
import shutil
import signal
import time

import compare
import crash
import session
import venue

SEGMENT = "/dev/shm/tern-demo"


def recover_power_cut(out, _options):
    """Both processes die, the segment is gone, the journal lost its end: the venue knows orders that we do not."""
    with session.Session(out, "--seconds", 40, "--rate", 10000, "--exchange-option=--linger-ms=1500",
                         capture=False) as today:
        today.start()
        today.wait_orders(300)
        symbol = a_symbol(today)
        # what is lost later was never synced, as far as the head goes: a cut before the head is no power cut
        shutil.copy(f"{out}/journal/head", f"{out}/head")
        today.tern.tern("kill", "--scope", f"symbol:{symbol}", "--state", "cancel-only")
        today.tern.tern("risk", "set", "order_quantity_max=777", "--why", "calm")
        today.wait_orders(600)
        today.tern.settle()
        die(today)
        assert os.path.exists(SEGMENT), "the segment is somewhere else"
        os.unlink(SEGMENT)
        before = new_orders(today)
        cut_tail(today)
        told = today.tern.tern("journal", "verify", check=False)
        assert not told["sound"] and not told["torn_bytes"], f"an end that was cut was taken for a torn one: {told}"
        shutil.copy(f"{out}/head", f"{out}/journal/head")
        lost = before - new_orders(today)
        assert lost > 0, "nothing was lost"
        crash.again(today)
        # the second opinion finds orders in the venue's log of which no record is left, and stops trading for itself
        today.wait("the second opinion has stopped it",
                   lambda: (today.status().get("halt") or {}).get("reason") == "audit_disagreement", 40)
        time.sleep(1)

        def compared():
            # each further order that it finds kills again, and a resume that came before that is refused
            today.tern.tern("resume", "--timeout-ms", "300", check=False)
            return (today.status().get("halt") or {}).get("reason") == "reconcile_mismatch"
        today.wait("it compared the venue's log with the journal, and stopped", compared, 40)
        today.tern.settle()
        found = today.tern.tern("recover", check=False)["comparison"]
        names = {difference["difference"] for difference in found["found"]}
        assert found["differences"] > 0 and "order_unknown" in names, f"{lost} orders lost, and it finds {found}"
        scopes = {scope["scope"]: scope["state"] for scope in today.status()["restricted"]}
        assert scopes.get(f"symbol:{symbol}") == "cancel_only", f"the new segment forgot what was restricted: {scopes}"
        limits = {limit["limit"]: limit["value"] for limit in today.tern.tern("risk", "show")["limits"]}
        assert limits["order_quantity_max"] == 777, f"the new segment forgot which limits were set: {limits}"
        resumed = today.tern.tern("resume", "--timeout-ms", "300", check=False)
        assert resumed and not resumed["resumed"], f"a resume accepts no difference: {resumed}"
        wrong = today.tern.tern("recover", "--accept", str(found["differences"] + 1), check=False)
        assert not wrong, f"another number of differences was accepted: {wrong}"
        accepted = today.tern.tern("recover", "--accept", str(found["differences"]))
        assert accepted["accepted"] and accepted["trading"], accepted
        shares = same_as_exchange(today)
        return (f"the last {lost} order records lost with the segment: {found['differences']} differences "
                f"({', '.join(sorted(names - {'unanswered'}))}) stopped it, a resume did not help, accepted by number; "
                f"{symbol} still cancel-only, then {shares} positions equal")


def recover_missing_part(out, _options):
    """A file of the journal is not there: nothing starts, and it says which; back in its place, everything does."""
    with session.Session(out, "--seconds", 40, "--rate", 10000, "--exchange-option=--linger-ms=1500",
                         "--set", "journal.segment_bytes=1048576", capture=False) as today:
        today.start()
        today.wait_orders(600)
        today.wait("the journal has three files", lambda: len(files(today)) >= 3)
        die(today)
        gone = files(today)[1]
        os.rename(gone, f"{out}/elsewhere")
        today.tern.log += "+"
        today.tern.start()
        today.wait("ternd gives up", lambda: not today.tern.running())
        code, said = today.tern.process.returncode, venue.tail(today.tern.log)
        assert code != 0 and os.path.basename(gone) in said, f"exit {code}: {said}"
        planned = today.tern.tern("recover", "--dry-run", check=False)
        assert not planned, f"a day of which a part is missing was told: {planned}"
        os.rename(f"{out}/elsewhere", gone)
        crash.again(today)
        today.wait("journal and venue's log agree", lambda: (today.status().get("halt") or {}).get("reason") == "restarted", 40)
        shares = same_as_exchange(today)
        return f"without {os.path.basename(gone)} ternd ends with {code} and names it; with it both logs agree, {shares} positions equal"


def recover_kill_stays(out, _options):
    """A kill outlives both processes and the segment; only an operator lifts it, and then the restart asks its own."""
    with session.Session(out, "--seconds", 40, "--rate", 10000, "--exchange-option=--linger-ms=1500",
                         capture=False) as today:
        today.start()
        today.wait_orders(200)
        today.tern.tern("kill")
        today.tern.settle()
        die(today)
        os.unlink(SEGMENT)
        crash.again(today)
        today.wait("the venue's log is compared", lambda: today.tern.tern("recover")["runs"] == 2
                   and today.tern.tern("recover")["comparison"]["agreed_or_accepted"], 40)
        assert today.status()["halt"]["reason"] in ("killed", "operator_kill"), today.status()["halt"]
        before = sent(today)
        today.tern.tern("resume", "--timeout-ms", "300", check=False)
        assert today.tern.tern("resume", check=False)["resumed"], today.status()["halt"]
        shares = same_as_exchange(today)
        return f"killed before the power cut, killed after it ({before} orders of the new run until then); resumed; {shares} positions equal"


def a_symbol(today):
    today.tern.settle()
    orders = compare.Journal(today.tern.binary("tern"), today.tern.config).orders
    return orders[len(orders) // 2]["symbol"]


def sent(today):
    counters = today.counters()["loop"]
    return counters["orders_new"] + counters["orders_replace"]


def files(today):
    return sorted(glob.glob(os.path.join(today.out, "journal", "*.journal")))


def die(today):
    """All at once, as in a power cut."""
    pid = today.pid()
    assert pid, "no data plane"
    victims = [today.tern.process.pid, pid, (today.status().get("audit") or {}).get("pid")]
    for victim in filter(None, victims):
        os.kill(victim, signal.SIGSTOP)
    for victim in filter(None, victims):
        session.kill(victim)
    today.tern.process.wait()
    # what was on its way arrives
    time.sleep(0.3)


def new_orders(today):
    """How many records of new orders the journal has."""
    return sum(1 for record in compare.cat(today.tern.binary("tern"), today.tern.config, "order")
               if record["body"]["action"] == "new")


def cut_tail(today):
    """Cuts the last file, in the middle of a record."""
    # before the head, however far the last sync was behind the end when both processes died
    head = today.tern.tern("journal", "verify")["head"]
    path = files(today)[-1]
    assert path.endswith(f"{head['segment']:08}.journal"), (path, head)
    os.truncate(path, head["bytes"] * 19 // 20 | 5)


def same_as_exchange(today):
    """Ends the day; the journal's positions are the exchange's."""
    today.close()
    today.tern.settle()
    today.tern.stop()
    ours = {}
    for position in today.tern.tern("recover", check=False)["positions"]:
        shares, cash = ours.get(position["symbol"], (0, 0))
        ours[position["symbol"]] = (shares + position["shares"], cash + position["cash"])
    theirs = compare.Exchange(today.exchange.orders_log).positions()
    differ = compare.differences(ours, theirs)
    assert not differ, f"positions differ (ours, exchange): {dict(list(differ.items())[:5])}"
    return len(theirs)
