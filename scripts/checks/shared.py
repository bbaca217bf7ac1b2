"""Two instances on one interface, each with a queue, an address, a group and a venue of its own: they share the XDP program, get what is
theirs, and the crash of one is nothing to the other."""

import os
import signal
import subprocess

import compare
import sandbox
import session
import venue

HERE = os.path.dirname(os.path.abspath(__file__))
BPFFS = "/run/tern/bpf"
# of the second: what nic.bpf.c steers to queue 1
GROUP, MAC, ADDRESS = "239.77.1.2", "02:00:00:00:00:04", "10.77.0.4"
PORTS = {venue.ORDERS_PORT: 9100, venue.DROP_COPY_PORT: 9101}


class Network(sandbox.Network):
    """Two queues, with the venue's end doing what a NIC would."""

    def __init__(self, out):
        super().__init__(queues=2)
        program = f"{out}.nic.o"
        os.makedirs(os.path.dirname(out), exist_ok=True)
        subprocess.run(["clang", "-O2", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", os.path.join(HERE, "nic.bpf.c"), "-o", program],
                       check=True)
        for arguments in (("qdisc", "add", "dev", "veth-venue", "clsact"),
                          ("filter", "add", "dev", "veth-venue", "egress", "bpf", "da", "obj", program, "sec", "classifier")):
            sandbox.run(*self.command(self.VENUE, "tc", *arguments))


class Second(venue.Tern):
    """The other instance, on queue 1."""

    def __init__(self, options, out, network):
        os.makedirs(out, exist_ok=True)
        super().__init__(options, out, network)
        self.run_folder = "/run/tern/two"
        with open(self.config, encoding="utf-8") as file:
            text = file.read()
        text = text.replace('"demo"', '"two"').replace("tern-demo", "tern-two").replace("/run/tern/demo", self.run_folder)
        text = text.replace(venue.GROUP, GROUP).replace(f"{network.TERN_ADDRESS}/24", f"{ADDRESS}/24")
        for ours, theirs in PORTS.items():
            text = text.replace(f":{ours}", f":{theirs}")
        text = venue.with_setting(venue.with_setting(text, "port.queues=[1]"), f'port.mac="{MAC}"')
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)


class SecondExchange(venue.Exchange):
    """Its venue."""

    def command(self):
        command = [part.replace(venue.GROUP, GROUP) for part in super().command()]
        for ours, theirs in PORTS.items():
            command = [part.replace(f":{ours}", f":{theirs}") for part in command]
        return command


def xdp(tern):
    return tern.tern("xdp", "status", "--seconds", "0.3", check=False)


def claims(said):
    return {claim["queue"]: claim["owner"] for claim in said["claims"]}


def shared_interface(out, _options):
    network = Network(out)
    with session.Session(out, "--seconds", 60, "--wait", "block", "--rate", 2000, network=network, capture=False) as today:
        two = Second(today.options, f"{out}/two", network)
        exchange = SecondExchange(today.options, f"{out}/two", network)
        try:
            return day(today, two, exchange)
        finally:
            venue.end(exchange.process)
            two.stop()
            session.kill_left(two.run_folder)


def day(today, two, exchange):
    one = today.tern
    for instance in (one, two):
        instance.start()
        instance.wait_ready()
    today.open()
    exchange.process = today.network.spawn(today.network.VENUE, *exchange.command(), log=exchange.log)
    for instance in (one, two):
        today.wait("both trade", lambda: venue.orders_sent(instance.tern("counters", check=False)["loop"]) >= 200, 40)
    saw = [xdp(instance) for instance in (one, two)]
    owners = {0: one.run_folder, 1: two.run_folder}
    for said, queue, group in zip(saw, (0, 1), (venue.GROUP, GROUP)):
        assert said["healthy"], said["problems"]
        assert claims(said) == owners, said["claims"]
        assert [claim["queue"] for claim in said["claims"] if claim["ours"]] == said["queues"] == [queue], said["claims"]
        assert [row["group"] for row in said["subscriptions"]] == [group], said["subscriptions"]
    program = saw[0]["programs"][0]["id"]
    assert [said["programs"][0]["id"] for said in saw] == [program] * 2, "two programs"
    why = one.tern("xdp", "why", f"{venue.GROUP}:{venue.PORT}", "--seconds", "0.5", check=False)
    assert why["cause"] is None, why
    # the pictures of docs/OPERATIONS.md are these
    one.tern("xdp", "status", "--svg", f"{today.out}/xdp.svg", check=False)
    why = one.tern("xdp", "why", f"{GROUP}:{venue.PORT}", "--seconds", "0.5", "--svg", f"{today.out}/xdp-why.svg", check=False)
    assert why["cause"] == "not_subscribed", why

    # a third cannot have what is the second's
    third = Second(today.options, f"{today.out}/three", today.network)
    third.run_folder = "/run/tern/three"
    with open(third.config, encoding="utf-8") as file:
        text = file.read().replace('"two"', '"three"').replace("tern-two", "tern-three").replace("/run/tern/two", third.run_folder)
    with open(third.config, "w", encoding="utf-8") as file:
        file.write(text)
    third.start()
    third.process.wait(20)
    said = venue.tail(third.log)
    assert third.process.returncode != 0 and two.run_folder in said and "queue 1" in said, said

    # the second crashes as a whole
    plane = two.tern("status", check=False)["dataplane"]["pid"]
    session.kill(two.process.pid)
    two.process.wait()
    session.kill(plane)
    before = venue.orders_sent(today.counters()["loop"])
    today.wait("the first goes on", lambda: venue.orders_sent(today.counters()["loop"]) >= before + 200)
    said = xdp(one)
    assert said["healthy"] and claims(said) == owners, (said["problems"], said["claims"])
    two.log += "+"
    os.unlink(f"{two.run_folder}/dataplane.json")
    two.start()
    two.wait_ready()
    said = xdp(two)
    assert said["programs"][0]["id"] == program and claims(said) == owners, said["claims"]
    left = two.tern("status", check=False)["daemon"]["leftovers"]
    assert any(f"cleared queue 1 of {two.run_folder}" in text for text in left), left
    today.wait("the second hears its market again", lambda: two.tern("counters", check=False)["feed"]["datagrams"] > 100)

    # it leaves, after its venue; then so does the first, and nothing is left
    exchange.process.send_signal(signal.SIGTERM)
    exchange.process.wait(30)
    two.settle()
    two.stop()
    assert two.process.returncode == 0, venue.tail(two.log)
    theirs = of_two(two, exchange)
    said = xdp(one)
    assert said["healthy"] and claims(said) == {0: one.run_folder}, (said["problems"], said["claims"])
    before = venue.orders_sent(today.counters()["loop"])
    today.wait("the first still trades", lambda: venue.orders_sent(today.counters()["loop"]) >= before + 100)
    today.close()
    one.settle()
    one.observe_counters()
    counters, dropped = one.counters, one.dropped()
    one.stop()
    journal, log = today.consistent()
    sent = log.totals["datagrams_sent"] + log.totals["heartbeats_sent"]
    received, lost = counters["feed"]["datagrams"], sum(dropped.values())
    assert received + lost == sent, f"{sent} datagrams sent, {received} received, dropped {dropped}"
    assert counters["feed"]["gaps"] == 0, counters["feed"]
    assert not os.path.exists(BPFFS), f"{BPFFS} is left"
    shown = sandbox.run("ip", "-n", today.network.HOST, "link", "show", "veth-host")
    assert "prog/xdp" not in shown, shown
    return (f"one program, two queues; {len(journal.orders)} orders of the first agree, {received} datagrams of {sent}, dropped {lost}, no gap through the "
            f"other's crash, return and end; {theirs} order messages of the second are all in its journal; a third refused")


def of_two(two, exchange):
    """Every order message that its venue got is in its journal; how many."""
    journal, theirs = compare.Journal(two.binary("tern"), two.config), compare.Exchange(exchange.orders_log)
    only_ours, only_theirs = compare.orders(journal, theirs)
    assert not only_theirs, f"only at the exchange: {only_theirs[:5]}"
    unexplained = session.Session.not_in_a_tail(session.OneOf(two), journal, compare.without(only_ours, journal.taken_back))
    assert not unexplained, f"only in the journal: {unexplained[:5]}"
    return len(theirs.orders)
