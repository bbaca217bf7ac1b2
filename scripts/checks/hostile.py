"""Frames that nobody should send: each is counted, none is believed, nothing falls over."""

import random
import socket
import struct
import sys
import time

import sandbox
import session
import venue


def hostile_frames(out, options):
    with session.Session(out, "--seconds", 5) as today:
        today.start()
        today.wait_orders(100)
        before = today.counters()
        sent = in_venue(today, flood, options.seed)
        today.wait("the bad datagrams are counted",
                   lambda: today.counters()["loop"]["dropped_truncated"] - before["loop"]["dropped_truncated"] >= sent["short"])
        after = today.counters()
        orders = venue.orders_sent(after["loop"])
        trusted = today.status()["trusted_streams"]
        today.wait_closed()
        today.tern.settle()
        today.tern.observe_counters()
        status = today.status()
        assert status["daemon"]["restarts"] == 0, "the data plane fell over"
        counters = today.tern.counters
        received, dropped = counters["feed"]["datagrams"], sum(today.tern.dropped().values())
        today.stop()
        _, theirs = today.consistent(cut=not trusted)
        totals = theirs.totals
        # stray UDP to our own address counts as unsubscribed: it is no datagram of the feed
        expected = totals["datagrams_sent"] + totals["heartbeats_sent"] + sum(sent[kind] for kind in DATAGRAMS) + sent["stray_udp"]
        assert received + dropped == expected, f"{expected} datagrams sent, {received} received + {dropped} dropped"
        loop, steer = counters["loop"], counters["steer"]
        wanted = {"dropped_truncated": sent["short"], "dropped_wrong_session": sent["foreign"]}
        for name, least in wanted.items():
            assert loop[name] >= least, f"{name} {loop[name]}, expected {least}"
        for name in ("pass_fragment", "pass_ip_options", "pass_not_ip", "pass_protocol", "pass_truncated", "pass_tcp_other",
                     "pass_unsubscribed"):
            assert steer[name] > before["steer"][name], f"{name} did not count"
        rose = {name: loop[name] - before["loop"][name] for name in loop
                if name.startswith("dropped_") and loop[name] > before["loop"][name]}
        return (f"{sum(sent.values())} hostile frames: {rose}, bad fields {counters['feed']['bad_fields']}, unknown types "
                f"{counters['feed']['unknown_message_types']}; no restart, trust lost {counters['feed']['trust_lost']}, "
                f"{orders} then {venue.orders_sent(loop)} order messages, all on both sides")


DATAGRAMS = ("short", "foreign", "garbage", "oversized")


def flood(seed):
    """Sends everything; runs in the venue's namespace. How many of each kind."""
    rng = random.Random(seed)
    sent = {}
    group = (venue.GROUP, venue.PORT)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sandbox.Network.VENUE_ADDRESS))

    def many(kind, count, make, to=group):
        for _ in range(count):
            udp.sendto(make(), to)
            time.sleep(0.0005)
        sent[kind] = sent.get(kind, 0) + count

    many("short", 200, lambda: rng.randbytes(rng.randrange(0, 20)))
    many("foreign", 200, lambda: b"OTHERDAY01" + struct.pack(">QH", rng.randrange(1, 1000), 1) + b"\0\x0c" + rng.randbytes(12))
    # any session name but ours, any count, any lengths
    many("garbage", 300, lambda: b"\xff" + rng.randbytes(rng.randrange(20, 400)))
    many("oversized", 50, lambda: b"\xff" + rng.randbytes(1471))
    many("fragmented", 20, lambda: rng.randbytes(4000))
    many("stray_udp", 50, lambda: rng.randbytes(50), (sandbox.Network.TERN_ADDRESS, 7))
    udp.close()
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(("veth-venue", 0))
    ours = mac_of_tern()
    here = raw.getsockname()[4]

    def frames(kind, count, make):
        for _ in range(count):
            raw.send(make())
        sent[kind] = count

    def ip(protocol, body, header=b"\x45", options=b"", total=None, fragment=0, to=sandbox.Network.TERN_ADDRESS):
        total = total if total is not None else 20 + len(options) + len(body)
        head = header + struct.pack(">BHHHBBH4s4s", 0, total, 1, fragment, 64, protocol, 0,
                                    socket.inet_aton(sandbox.Network.VENUE_ADDRESS), socket.inet_aton(to))
        return ours + here + b"\x08\x00" + head + options + body

    segment = struct.pack(">HHIIBBHHH", 1234, 4321, 1, 1, 0x50, 2, 1000, 0, 0)
    frames("ip_options", 20, lambda: ip(6, segment, header=b"\x46", options=b"\x01" * 4))
    frames("cut_headers", 20, lambda: ip(6, segment, total=1500))
    frames("other_protocol", 20, lambda: ip(132, rng.randbytes(30)))
    frames("other_ethertype", 20, lambda: ours + here + b"\x88\xcc" + rng.randbytes(46))
    frames("other_tcp", 20, lambda: ip(6, segment, to=sandbox.Network.HOST_KERNEL_ADDRESS))
    frames("stray_tcp", 100, lambda: ip(6, struct.pack(">HH", rng.randrange(65536), rng.randrange(65536)) + rng.randbytes(rng.randrange(0, 60))))
    # into our very connection's port pair's address, with sequence numbers and flags from nowhere
    frames("forged_tcp", 100, lambda: ip(6, struct.pack(">HH", venue.ORDERS_PORT, rng.randrange(49152, 65536)) + rng.randbytes(36)))
    frames("bad_arp", 20, lambda: ours + here + b"\x08\x06" + rng.randbytes(28))
    frames("vlans", 20, lambda: ours + here + b"\x81\x00\x00\x01" * 6 + rng.randbytes(20))
    frames("tiny", 20, lambda: (ours + here + b"\x08\x00" + rng.randbytes(4)))
    raw.close()
    return sent


def mac_of_tern():
    """The MAC that answers for our address: the host's interface has it."""
    import json
    text = sandbox.run("ip", "-n", sandbox.Network.HOST, "-j", "link", "show", "veth-host")
    return bytes.fromhex(json.loads(text)[0]["address"].replace(":", ""))


def in_venue(today, function, *arguments):
    """Runs `function` of this module in the venue's namespace."""
    import ast
    import os
    code = (f"import sys; sys.path[:0] = {sys.path[:3]!r}; import {function.__module__} as m; "
            f"print(m.{function.__name__}(*{arguments!r}))")
    said = sandbox.run(*today.network.command(today.network.VENUE, "env", f"PYTHONPATH={os.path.dirname(__file__)}",
                                              sys.executable, "-c", code))
    return ast.literal_eval(said)
