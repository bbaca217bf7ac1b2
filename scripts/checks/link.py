"""The order session's link fails in the ways that links do."""

import time

import compare
import sandbox
import session
import venue


def reset(out, _options):
    """A TCP reset in the middle of a message."""
    with session.Session(out, "--seconds", 5, "--exchange-option=--reset-after=300") as today:
        today.start()
        today.wait("the session is up again", lambda: today.counters().get("session", {}).get("sessions_up", 0) >= 2)
        before = venue.orders_sent(today.counters()["loop"])
        today.wait_orders(before + 100)
        today.wait_closed()
        found = today.findings()
        session.require(found, but=("orders", "trading"))
        journal, theirs = today.consistent(cut=True)
        counters = found["counters"]["session"]
        assert counters["tcp_resets"] >= 1, counters
        lost = len(compare.orders(journal, theirs)[0])
        return (f"{counters['tcp_resets']} reset, {counters['sessions_up']} logins, {lost} order messages lost in it, "
                f"{len(theirs.orders)} at the exchange, all in the journal; {found['fills']} fills, positions and books equal")


def exchange_gone(out, _options):
    """The exchange dies and comes back as another day: Tern stops trading and stays stopped."""
    with session.Session(out, "--seconds", 20) as today:
        today.start()
        today.wait_orders(200)
        session.kill(today.exchange.process.pid)
        venue.end(today.exchange.capture)
        today.wait("the loss of the session is counted", lambda: today.counters()["session"]["sessions_down"] == 1)
        gone = today.counters()
        time.sleep(1)
        still = today.counters()
        assert venue.orders_sent(still["loop"]) == venue.orders_sent(gone["loop"]), "orders left without an exchange"
        assert today.status()["dataplane"]["pid"] == today.pid() and today.tern.running()
        # what the dead exchange had written down is in the journal
        got = read_cut_log(today.exchange.orders_log)
        today.tern.settle()
        ours = {order["order"] for order in compare.Journal(today.tern.binary("tern"), today.tern.config).orders}
        foreign = {number for number in got if number not in ours}
        assert not foreign, f"{len(foreign)} orders of the dead exchange's log are not in the journal"
        # another day under another name: neither its feed nor its order log is the one that we know
        today.options.exchange_option += ["--session", "TERN000002"]
        today.exchange.orders_log += "+"
        today.open()
        today.wait("its feed is refused", lambda: today.counters()["loop"]["dropped_wrong_session"] > 0)
        today.wait("its order log is refused", lambda: today.counters()["session"]["sessions_down"] >= 2)
        back, status = today.counters(), today.status()
        assert venue.orders_sent(back["loop"]) == venue.orders_sent(gone["loop"]), "orders left for another day"
        assert not status["trusted_streams"] and status["daemon"]["restarts"] == 0, status
        return (f"{len(got)} orders at the dead exchange, all in the journal; none left while it was gone; the other session "
                f"that came back: {back['loop']['dropped_wrong_session']} datagrams refused, its log too "
                f"({back['session']['sessions_down']} sessions down), no order ({'; '.join(status['problems'])})")


def read_cut_log(path):
    """Ids of the orders in a log whose writer was killed."""
    import json
    found = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if entry["type"] == "received" and entry["fields"]["kind"] in "OU":
                found.append(entry["fields"]["user_ref"])
    return found


class LossyNetwork(sandbox.Network):
    """The two hosts are not joined by a cable but by a bridge that loses and reorders TCP segments."""

    def __init__(self):
        super().__init__()
        run = sandbox.run
        run("ip", "-n", self.VENUE, "link", "del", "veth-venue")
        run("ip", "netns", "add", "wire")
        for host, link, address in ((self.VENUE, "veth-venue", self.VENUE_ADDRESS),
                                    (self.HOST, "veth-host", self.HOST_KERNEL_ADDRESS)):
            far = f"wire-{host}"
            run("ip", "link", "add", link, "type", "veth", "peer", "name", far)
            for name, end in ((host, link), ("wire", far)):
                run("ip", "link", "set", end, "netns", name)
                run(*self.command(name, "sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1"), check=False)
                run(*self.command(name, "ethtool", "-K", end, "tx", "off", "gso", "off", "tso", "off", "gro", "off"), check=False)
                run("ip", "-n", name, "link", "set", end, "up")
            run("ip", "-n", host, "addr", "add", f"{address}/24", "dev", link)
            run("ip", "-n", host, "route", "add", "239.0.0.0/8", "dev", link)


def lossy_link(out, options):
    """1 % of the order segments lost and 1 % reordered, in each direction."""
    network = LossyNetwork()
    with session.Session(out, "--seconds", 8, "--rate", 5000, network=network) as today:
        shim = network.spawn("wire", venue.binary("tern-exchange"), "shim", "--interfaces", "wire-venue", "wire-host",
                             "--loss-percent", "1", "--reorder-percent", "1", "--seed", str(options.seed),
                             log=f"{out}/shim.log")
        try:
            today.start()
            today.wait_closed()
            found = today.findings()
        finally:
            venue.end(shim)
        session.require(found, but=("trading", "orders"))
        today.consistent(cut=True)
        counters = found["counters"]["session"]
        assert counters["tcp_retransmits"] > 0, "nothing had to be sent again"
        assert found["fills"] > 0
        said = " | ".join(venue.tail(f"{out}/shim.log").split("\n")[-3:]).strip(" |")
        return (f"{said}; {counters['tcp_retransmits']} segments sent again, {counters['sessions_up']} login(s), "
                f"{found['orders']['received']} order messages on both sides, {found['fills']} fills, books and positions equal")


def arp(out, _options):
    """The exchange forgets our address again and again, and in the middle of the day cannot learn it for a while."""
    with session.Session(out, "--seconds", 5) as today:
        today.start()
        today.wait_orders(100)
        for _ in range(10):
            sandbox.run("ip", "-n", today.network.VENUE, "neigh", "flush", "dev", "veth-venue")
            sandbox.run("ip", "-n", today.network.VENUE, "neigh", "flush", "nud", "permanent", "dev", "veth-venue", check=False)
            time.sleep(0.2)
        before = venue.orders_sent(today.counters()["loop"])
        today.wait_orders(before + 50)
        today.wait_closed()
        found = today.findings()
        session.require(found, but=("trading", "orders"))
        today.consistent(cut=True)
        asked = found["steer_counters"]["redirect_arp"]
        assert asked >= 5, f"only {asked} ARP frames reached the socket"
        return (f"entry flushed 10 times, {asked} ARP frames answered, {found['orders']['received']} order messages on both "
                f"sides, {found['fills']} fills, {found['counters']['session']['sessions_up']} login, all comparisons green")
