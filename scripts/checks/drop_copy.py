"""The venue's drop copy against the journal: what one side lacks stops trading, a lost connection does not."""

import json
import time

import session

DEADLINE_MS = 1500


def withheld(out, where, what):
    """One execution is told on one of the two streams alone."""
    with session.Session(out, "--seconds", 14, "--rate", 8000, f"--exchange-option=--withhold-execution={where}",
                         "--exchange-option=--withhold-after=30", "--set", f"drop_copy.deadline_ms={DEADLINE_MS}",
                         capture=False) as today:
        today.start()
        today.wait_orders(100)
        status = today.wait("trading stops", lambda: (lambda now: now.get("killed") and now)(today.status()), 12)
        halt = status["halt"]
        assert halt["reason"] == "drop_copy" and halt["by"] == "ternd", halt
        copy = today.wait("the difference is shown",
                          lambda: (lambda now: now["differences"] and now)(today.status()["audit"]["drop_copy"]), 3)
        assert copy["differences"] >= 1 and copy["examples"][0].startswith(f"{what} executed"), copy
        assert any("drop copy and journal differ" in problem for problem in today.status()["problems"]), status["problems"]
        with open("/run/tern/demo/drop_copy.jsonl", encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
        executed = [line for line in found if line["of"] == "executed"]
        assert [line["difference"] for line in executed] == [what] and executed[0]["match_number"], found
        sent = today.counters()["loop"]["orders_new"]
        today.tern.tern("resume", check=False)
        time.sleep(2 * DEADLINE_MS / 1000)
        assert not today.status()["killed"], "an operator has seen it, and it stops trading again"
        return (f"an execution withheld from the {where}: {copy['examples'][0]}; trading stopped (drop_copy) after {sent} orders, "
                f"{len(found)} differences written down; resumed by an operator, it stays shown and stops nothing again")


def drop_copy_missing_here(out, _options):
    return withheld(out, "orders", "missing_here")


def drop_copy_missing_there(out, _options):
    return withheld(out, "drop-copy", "missing_there")


def drop_copy_lost(out, _options):
    """The copy's connection is cut in mid-day, and the second opinion is killed: nothing is lost, nothing counted twice."""
    with session.Session(out, "--seconds", 8, "--rate", 8000, "--exchange-option=--cut-drop-copy-after=300",
                         "--set", f"drop_copy.deadline_ms={DEADLINE_MS}", capture=False) as today:
        today.start()
        cut = today.wait("it logs in again", lambda: (lambda now: now and now["logins"] >= 2 and now["connected"] and now)(copy_of(today)), 15)
        assert cut["next_seq"] > 1, cut
        first = today.status()["audit"]
        session.kill(first["pid"])
        today.wait("ternd starts another one", lambda: today.status()["audit"]["pid"] not in (0, first["pid"]), 10)
        today.wait_closed()
        today.tern.settle()
        assert not today.status()["killed"], today.status()["halt"]
        today.tern.stop()
        last = today.tern.drop_copy()
        journal, _ = today.sides()
        assert (last["differences"], last["waiting_here"], last["waiting_there"], last["positions_differ"]) == (0, 0, 0, 0), last
        assert last["executions"] == len(journal.fills), (last, len(journal.fills))
        return (f"cut after 300 messages and read on from {cut['next_seq']}-, second opinion killed and begun anew: {last['matched']} messages "
                f"matched, {last['executions']} executions as in the journal, {last['positions']} positions, 0 differences")


def copy_of(today):
    return (today.status().get("audit") or {}).get("drop_copy")
