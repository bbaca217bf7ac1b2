"""A strategy that panics, in a real process: it alone stops, and an operator brings it back with its state."""

import json
import os

import compare
import kill
import session

ROOT = os.path.dirname(os.path.dirname(session.HERE))
# dataplane/examples/fragile.rs, as it is compiled for the tests: its first strategy, the maker, panics at this execution of its own
FRAGILE = os.path.join(os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target"), "debug", "examples", "fragile")
PANICS_AT = 30
MAKER = 1


def strategy_crash(out, _options):
    with session.Session(out, "--seconds", 20, "--exchange-option=--linger-ms=1500", capture=False) as today:
        today.tern.program = beside_audit(out, today.tern.binary)
        today.start()
        problem = today.wait("the maker panics and the status says so", lambda: panic_of(today.status()))
        assert f"execution {PANICS_AT} is one too many" in problem and "fragile.rs:" in problem, problem
        today.wait("its orders are gone", lambda: not open_orders(today))
        status = today.status()
        assert status["trading"] and status["halt"] is None, status["halt"]
        assert status["audit"]["pid"], "the second opinion does not run"
        restricted = {scope["scope"]: scope["state"] for scope in status["restricted"]}
        assert restricted == {"strategy:maker": "cancel_only"}, restricted
        before = orders_of(today, lambda strategy: strategy != MAKER)
        today.wait("the others trade on", lambda: orders_of(today, lambda strategy: strategy != MAKER) >= before + 10)
        said = today.tern.tern("resume", "--scope", "strategy:maker")
        assert said["lifted"] and said["acknowledged"], said
        today.wait("it trades again, and counts on", lambda: counts(today)[-1] >= PANICS_AT + 5)
        status = today.status()
        assert not panic_of(status) and not status["restricted"], status["problems"]
        assert today.counters()["loop"]["strategy_panics"] == 1, today.counters()["loop"]
        today.close()
        today.tern.settle()
        today.tern.stop()
        journal, theirs = today.consistent(cut=True, stopped=True)
        panicked, restarted = lives(today)
        entered = [order for order in journal.orders if order["action"] != "cancel" and panicked < order["seq"] < restarted]
        own = [order for order in entered if order["strategy"] == MAKER]
        assert not own and entered, f"{len(own)} of {len(entered)} orders while it was stopped are its own: {own[:3]}"
        cancelled = taken_back(journal, panicked, restarted)
        assert counts(today) == list(range(1, counts(today)[-1] + 1)), f"it lost count of its executions: {counts(today)}"
        code, said = today.tern.replay()
        # what the strategy says over its panic comes with it
        outcome = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        assert code == 0 and outcome["mismatches"] == 0 and outcome["shed"] == 0, outcome
        found = today.tern.audit()
        assert found["disagreements"] == 0 and found["orders"] == len(journal.orders), found
        return (f"the maker panics at execution {PANICS_AT}: its {cancelled} open orders ended by the venue, 0 new ones, {len(entered)} of "
                f"the taker meanwhile; resumed, it counts on to {counts(today)[-1]}; the journal replays byte for byte, "
                f"{len(theirs.fills)} executions, positions equal")


def beside_audit(out, binary):
    """The data plane's program in a folder with the second opinion's, which ternd looks for beside it."""
    folder = os.path.join(out, "bin")
    os.makedirs(folder)
    for path in (binary(FRAGILE), binary("tern-audit")):
        os.symlink(os.path.abspath(path), os.path.join(folder, os.path.basename(path)))
    return os.path.abspath(os.path.join(folder, os.path.basename(FRAGILE)))


def panic_of(status):
    """What `tern status` says of the maker's panic."""
    return next((problem for problem in status.get("problems", ()) if problem.startswith("strategy:maker is taken out")), None)


def open_orders(today):
    """The maker's, as `tern orders` lists them from the journal."""
    today.tern.settle()
    return [order for order in today.tern.tern("orders")["orders"] if order["strategy"] == MAKER]


def orders_of(today, which):
    """How many orders the journal has of the strategies."""
    records = compare.cat(today.tern.binary("tern"), today.tern.config, "order")
    return sum(1 for record in records if record["body"]["action"] == "new" and which(record["body"]["strategy"]))


def counts(today):
    """What the maker handed out as its state, in order."""
    records = compare.cat(today.tern.binary("tern"), today.tern.config, "strategy_state")
    states = [record["body"]["state"] for record in records if record["body"]["strategy"] == MAKER]
    return [int.from_bytes(bytes.fromhex(state), "little") for state in states] or [0]


def lives(today):
    """Record numbers of its panic and of its restart; there are no others."""
    records = list(compare.cat(today.tern.binary("tern"), today.tern.config, "strategy"))
    told = [(record["body"]["strategy"], record["body"]["event"]) for record in records]
    assert told == [(MAKER, "panicked"), (MAKER, "restarted")], told
    assert records[1]["body"]["state_bytes"] == 4, records[1]
    return records[0]["seq"], records[1]["seq"]


def taken_back(journal, panicked, restarted):
    """Every order of the maker that was open at the panic was ended by the venue's word before the restart; how many."""
    def ended(until):
        over = {event["order"] for event in journal.events
                if event["seq"] < until and event["session_seq"] and event["leaves"] == 0 and event["kind"] in kill.ENDED}
        return over | {event["previous"] for event in journal.events if event["seq"] < until and event["kind"] == "replaced"}
    # what waited for TCP never left; the journal says so of the order, or of the one that was to be replaced
    unsent = {kind: {event["order"] for event in journal.events if event["kind"] == kind and not event["session_seq"]}
              for kind in ("canceled", "replace_rejected")}
    entered = {order["order"] for order in journal.orders
               if order["action"] == "new" and order["order"] not in unsent["canceled"]
               or order["action"] == "replace" and order["replaces"] not in unsent["replace_rejected"]}
    own = {order["order"] for order in journal.orders if order["strategy"] == MAKER and order["seq"] < panicked}
    was_open = own & entered - ended(panicked)
    assert was_open, "nothing was open when it panicked"
    left = was_open - ended(restarted)
    assert not left, f"{len(left)} of its orders are not known to be over: {sorted(left)[:5]}"
    return len(was_open)
