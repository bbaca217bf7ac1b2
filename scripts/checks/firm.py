"""Two data planes of a firm on one host, against one exchange: what they may do together is never more than the firm's total,
wherever a move of an allotment is cut."""

import os
import signal
import threading
import time

import compare
import kill
import session
import venue

LIMIT = "open_orders_max"
# by instance: what it may use of LIMIT at first
ALLOTTED = {"one": 60, "two": 1000}
TOTAL = 1100
# the other limits that are handed out: ample, the same for both, and in the configuration as in the firm file
AMPLE = {"gross_max": 500_000_000_0000, "net_max": 500_000_000_0000, "position_max": 1000, "daily_loss_max": 10_000_000_0000,
         "drawdown_max": 10_000_000_0000, "orders_per_second_max": 5000, "messages_per_day_max": 10_000_000}
ENDS = ("canceled", "executed", "rejected")


class Instance(venue.Tern):
    """One of the firm's, on a kernel-socket port: shared_interface is about the other."""

    def __init__(self, name, number, options, out, network):
        self.name = name
        folder = os.path.join(out, name)
        os.makedirs(folder)
        super().__init__(options, folder, network)
        self.run_folder, self.user = f"/run/tern/{name}", f"TERN{number:02}"
        with open(self.config, encoding="utf-8") as file:
            text = file.read()
        text = text.replace('name = "demo"', f'name = "{name}"').replace("tern-demo", f"tern-{name}")
        text = text.replace("/run/tern/demo", self.run_folder).replace("TERN01", self.user).replace("DROP01", f"DROP{number:02}")
        for key, value in {**AMPLE, LIMIT: ALLOTTED[name]}.items():
            text = venue.with_setting(text, f"limits.{key}={value}")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text + f'\n[firm]\nfile = "{out}/firm.toml"\n')

    def pid(self):
        return (self.tern("status", check=False).get("dataplane") or {}).get("pid") or 0

    def loop(self):
        return self.tern("counters", check=False)["loop"]

    def set(self, value, check=True):
        return self.tern("risk", "set", f"{LIMIT}={value}", "--why", "more of the firm's", check=check)


def firm_file(path):
    def table(name, extra, times=1):
        values = {**{key: value * times for key, value in AMPLE.items()}, **extra}
        return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
    text = '[firm]\nname = "acme"\n' + table("total", {LIMIT: TOTAL}, times=2)
    for name, allotted in ALLOTTED.items():
        text += f'[[instance]]\nname = "{name}"\nsegment = "/dev/shm/tern-{name}"\n' + table("instance.allotment", {LIMIT: allotted})
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def firm_of_two(out, _options):
    with session.Session(out, "--seconds", 40, "--port", "socket", "--wait", "block", "--rate", 5000, "--exchange-option=--linger-ms=1500",
                         "--set", "daemon.restarts_max=0", "--exchange-option=--user=TERN02:secret", "--exchange-option=--drop-copy-user=DROP02:copied", capture=False) as today:
        firm_file(f"{out}/firm.toml")
        one, two = (Instance(name, number, today.options, out, today.network) for number, name in enumerate(ALLOTTED, 1))
        today.tern = one
        try:
            return day(today, one, two)
        finally:
            two.stop()
            session.kill_left(two.run_folder)


def day(today, one, two):
    for instance in (one, two):
        instance.start()
        instance.wait_ready()
    today.open()
    today.wait("one has used its allotment up", lambda: one.tern("counters", check=False)["refusals"].get(LIMIT.removesuffix("_max"), 0) > 0)
    before = venue.orders_sent(two.loop())
    today.wait("two goes on", lambda: two.loop()["open_orders"] > 2 * ALLOTTED["one"] and venue.orders_sent(two.loop()) > before + 100)
    refused = one.set(ALLOTTED["one"] + 1, check=False)
    assert refused["verdict"] == "refused", f"one loosened itself: {refused}"

    # more than it can do without is not taken from it
    used = two.loop()["open_orders"]
    assert not move(one, ALLOTTED["two"] - used // 2), "what two uses was given to one"
    assert ceilings(one) == (60, 1000), ceilings(one)
    assert move(one, 300)["verdict"] == "moved", "not moved"
    assert ceilings(one) == (360, 700), ceilings(one)
    one.set(360)
    today.wait("one uses what it was given", lambda: one.loop()["open_orders"] > ALLOTTED["one"])

    half_done(today, one, two, 50)
    assert ceilings(one) == (360, 650), f"the half of it that is not given is nobody's: {ceilings(one)}"
    assert one.set(361, check=False)["verdict"] == "refused", "one may set what two has not given yet"
    daemon(today, two)
    assert one.tern("firm", "finish")["verdict"] == "moved"
    assert ceilings(one) == (410, 650), ceilings(one)
    one.set(410)

    half_done(today, one, two, 40)
    assert one.tern("firm", "undo")["verdict"] == "undone", "whichever daemon lives can undo it"
    assert ceilings(one) == (410, 650), ceilings(one)
    daemon(today, two)
    assert one.set(411, check=False)["verdict"] == "refused", "what was undone was given"
    left = stays_down(today, one, two)
    today.close()
    figures = []
    for instance in (one, two):
        instance.settle()
        instance.stop()
        figures.append(agrees(today, instance, died=instance is two))
    most_allowed, most_open, moments = never_above(one, two)
    return (f"{figures[0]} and {figures[1]} executions, positions equal; one refused at {ALLOTTED['one']} open orders while two went on; moved 300 "
            f"and, finished after its ternd died over it, 50; undone 40; all but {left} "
            f"taken from two after its data plane stayed down with these open; at each of {moments} moments of both journals at most {most_allowed} "
            f"allowed and {most_open} open of {TOTAL}")


def move(instance, amount, check=False):
    return instance.tern("firm", "move", "--limit", LIMIT, "--from", "two", "--to", "one", "--amount", str(amount),
                         "--why", "where it is needed", check=check)


def ceilings(instance):
    """What each may set of the limit now."""
    said = next(limit for limit in instance.tern("firm", "show", check=False)["limits"] if limit["limit"] == LIMIT)
    return tuple(found["ceiling"] for found in said["instances"])


def half_done(today, one, two, amount):
    """two's ternd dies in the middle of a move: its data plane has not confirmed yet."""
    pid = two.pid()
    os.kill(pid, signal.SIGSTOP)
    moving = threading.Thread(target=move, args=(one, amount))
    moving.start()
    today.wait("the ledger says that it began", lambda: one.tern("firm", "show", check=False)["moving"], 3, pause=0.01)
    session.kill(two.process.pid)
    two.process.wait()
    moving.join()
    os.kill(pid, signal.SIGCONT)
    assert one.tern("firm", "show", check=False)["moving"]["amount"] == amount


def stays_down(today, one, two):
    """two's data plane dies and is not started again: what it left open stays with it, the rest is one's; how much that was."""
    session.kill(two.pid())
    today.wait("ternd gives it up", lambda: any("stays down" in problem for problem in two.tern("status", check=False)["problems"]))
    left, has = two.tern("orders")["open"], ceilings(one)[1]
    assert left > 0, "nothing was open when it died"
    assert not move(one, has - left + 1), "what two left open was given to one"
    assert move(one, has - left)["verdict"] == "moved"
    assert ceilings(one) == (410 + has - left, left), ceilings(one)
    one.set(410 + has - left)
    return left


def daemon(today, two):
    pid = two.pid()
    two.log += "+"
    two.start()
    # not by the status: it shows what the last daemon wrote until the new one has written
    today.wait("the new daemon adopts the data plane", lambda: f"adopted the data plane that runs pid={pid}" in venue.tail(two.log))


def agrees(today, instance, died):
    """The instance's journal is what the exchange's log says of its account, but for what came after its data plane died;
    its executions."""
    journal = compare.Journal(instance.binary("tern"), instance.config)
    theirs = compare.Exchange(today.exchange.orders_log, instance.user)
    only_ours, only_theirs = compare.orders(journal, theirs)
    assert not only_theirs, f"{instance.name}: only at the exchange: {only_theirs[:5]}"
    unexplained = session.Session.not_in_a_tail(session.OneOf(instance), journal, compare.without(only_ours, journal.taken_back))
    assert not unexplained, f"{instance.name}: only in the journal: {unexplained[:5]}"
    sums = {} if died else compare.differences(journal.positions(), theirs.positions())
    unheard = set(journal.fills) - {(fill["user_ref"], fill["match_number"]) for fill in theirs.fills}
    assert not unheard, f"{instance.name}: executions only in the journal: {sorted(unheard)[:5]}"
    assert not sums, f"{instance.name}: positions differ (ours, exchange): {dict(list(sums.items())[:5])}"
    assert died or not kill.still_open(journal, theirs), kill.still_open(journal, theirs)
    found = instance.audit()
    assert found["disagreements"] == 0, found["found"]
    return len(theirs.fills)


def changes(instance):
    """(TAI ns, instance, open orders, limit in force) at each change, as its journal has them."""
    opened, limit, wanted = set(), ALLOTTED[instance.name], {}
    for record in compare.cat(instance.binary("tern"), instance.config, "order,order_event,set_limits,limits"):
        kind, body = record["kind"], record["body"]
        if kind == "set_limits":
            wanted[record["seq"]] = body["values"][LIMIT]
            continue
        if kind == "limits":
            limit = wanted[body["cause_seq"]] if body["outcome"] == "set" else limit
        elif kind == "order":
            opened |= {body["order"]} if body["action"] == "new" else set()
            assert body["action"] != "new" or len(opened) <= limit, f"{instance.name}: {len(opened)} orders open, {limit} allowed"
        elif body["kind"] == "replaced":
            opened = opened - {body["previous"]} | {body["order"]}
        elif body["kind"] in ENDS and body["leaves"] == 0:
            opened.discard(body["order"])
        yield record["tai_ns"], instance.name, len(opened), limit


def never_above(one, two):
    """At no moment of both journals are the limits in force, or the open orders, more than the total together. Once two's data
    plane is dead, its limit allows nothing but what it left open."""
    opened, allowed = dict.fromkeys(ALLOTTED, 0), dict(ALLOTTED)
    most_open = most_allowed = moments = 0
    of_two = list(changes(two))
    for at, name, open_now, limit in sorted([*changes(one), *of_two], key=lambda change: change[0]):
        opened[name], allowed[name] = open_now, limit
        if at > of_two[-1][0]:
            allowed["two"] = opened["two"]
        most_open, most_allowed = max(most_open, sum(opened.values())), max(most_allowed, sum(allowed.values()))
        assert most_allowed <= TOTAL and most_open <= TOTAL, f"at {at}: {allowed} allowed, {opened} open, of {TOTAL}"
        moments += 1
    return most_allowed, most_open, moments
