"""An independent decoder reads our wire without a complaint."""

import subprocess

import session
import venue


def tshark(out, _options):
    with session.Session(out, "--seconds", 4, "--rate", 10000, "--snap-bytes", 0) as today:
        today.start()
        today.wait_closed()
        found = today.findings()
        session.require(found, but=("trading",))
        pcap = today.exchange.pcap
        mold = count(pcap, "moldudp64")
        tcp = count(pcap, "tcp")
        sent, _ = venue.stamps(pcap)
        # Linux writes a checksum of zero as ones, for TCP too; that is the exchange's kernel, and adds up the same.
        wrong = {name: count(pcap, name) for name in (
            "_ws.malformed", "_ws.short", "tcp.analysis.flags && !tcp.analysis.window_update && !tcp.analysis.keep_alive && !tcp.analysis.keep_alive_ack",
            f"tcp.checksum.status == 0 && !(tcp.checksum == 0xffff && ip.src == {today.network.VENUE_ADDRESS})",
            "udp.checksum.status == 0", "ip.checksum.status == 0",
            "tcp.analysis.retransmission", "_ws.expert.severity >= 8388608")}  # errors
        bad = {name: number for name, number in wrong.items() if number}
        assert not bad, f"tshark complains: {bad}"
        assert mold == found["datagrams"]["sent"], f"{mold} MoldUDP64 frames of {found['datagrams']['sent']} datagrams"
        messages = sum(int(n) for n in fields(pcap, "moldudp64", "moldudp64.count") if int(n) != 0xFFFF)
        assert messages == found["messages"], f"tshark counts {messages} messages, the feed {found['messages']}"
        return (f"{mold} MoldUDP64 datagrams with {messages} messages, {tcp} TCP segments; 0 malformed, 0 bad checksums, "
                f"0 retransmissions, 0 expert errors ({len(sent)} data datagrams)")


def fields(pcap, selection, field):
    done = subprocess.run([*DECODE, "-r", pcap, "-Y", selection, "-T", "fields", "-e", field],
                          capture_output=True, text=True, check=True)
    return done.stdout.split()


def count(pcap, selection):
    return len(fields(pcap, selection, "frame.number"))


DECODE = ("tshark", "-n", "-d", f"udp.port=={venue.PORT},moldudp64", "-o", "tcp.check_checksum:TRUE",
          "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
