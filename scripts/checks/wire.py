"""An independent decoder reads our wire without a complaint."""

import subprocess
from collections import Counter

import session
import venue

# tshark's word for each kind of complaint about TCP that a clean run must not give rise to.
TCP_FLAWS = ("lost_segment", "ack_lost_segment", "out_of_order", "zero_window", "fast_retransmission")
FIELDS = ("frame.protocols", "ip.src", "moldudp64.count", "_ws.malformed", "_ws.short", "ip.checksum.status",
          "udp.checksum.status", "tcp.checksum.status", "tcp.checksum", "tcp.analysis.retransmission",
          *(f"tcp.analysis.{flaw}" for flaw in TCP_FLAWS))
BAD = "0"  # a checksum's status


def tshark(out, _options):
    with session.Session(out, "--seconds", 3, "--rate", 5000, "--snap-bytes", 0) as today:
        today.start()
        today.wait_closed()
        found = today.findings()
        session.require(found, but=("trading",))
        counts, messages = Counter(), 0
        for frame in frames(today.exchange.pcap):
            ours = frame["ip.src"] == today.network.TERN_ADDRESS
            counts["mold"] += "moldudp64" in frame["frame.protocols"]
            counts["tcp"] += ":tcp" in frame["frame.protocols"]
            messages += sum(int(count) for count in frame["moldudp64.count"].split(",") if count and int(count) != 0xFFFF)
            counts["malformed"] += bool(frame["_ws.malformed"] or frame["_ws.short"])
            counts["bad IP or UDP checksums"] += BAD in (frame["ip.checksum.status"], frame["udp.checksum.status"])
            # Linux writes a checksum of zero as ones, for TCP too; that is the exchange's kernel, and adds up the same.
            counts["bad TCP checksums"] += frame["tcp.checksum.status"] == BAD and (ours or frame["tcp.checksum"] != "0xffff")
            counts["segments sent again by us"] += ours and bool(frame["tcp.analysis.retransmission"])
            # The exchange's kernel probes for a lost tail when our loop was not scheduled for some milliseconds.
            counts["probes"] += not ours and bool(frame["tcp.analysis.retransmission"])
            for flaw in TCP_FLAWS:
                counts[flaw] += bool(frame[f"tcp.analysis.{flaw}"])
        mold, tcp, probes = (counts.pop(name) for name in ("mold", "tcp", "probes"))
        bad = {name: number for name, number in counts.items() if number}
        assert not bad, f"tshark complains: {bad}"
        assert mold == found["datagrams"]["sent"], f"{mold} MoldUDP64 frames of {found['datagrams']['sent']} datagrams"
        assert messages == found["messages"], f"tshark counts {messages} messages, the feed {found['messages']}"
        assert probes * 50 <= tcp, f"{probes} segments that the exchange's kernel sent again, of {tcp}"
        return (f"{mold} MoldUDP64 datagrams with {messages} messages, {tcp} TCP segments; none malformed, no bad checksum, "
                f"none sent again by us, {probes} by the exchange's kernel, no other expert complaint about TCP")


def frames(pcap):
    """The fields of each frame, by one run of tshark."""
    command = ["tshark", "-n", "-r", pcap, "-d", f"udp.port=={venue.PORT},moldudp64", "-o", "tcp.check_checksum:TRUE",
               "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields"]
    for field in FIELDS:
        command += ["-e", field]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for line in process.stdout:
            yield dict(zip(FIELDS, line.rstrip("\n").split("\t")))
    assert process.returncode == 0, f"tshark: exit {process.returncode}"
