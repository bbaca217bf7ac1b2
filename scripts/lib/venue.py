"""The two sides of a demo: the exchange in one namespace, Tern in the other."""

import bisect
import json
import os
import re
import signal
import struct
import subprocess
import time

import sandbox

BIN = os.environ.get("TERN_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "target", "release"))
GROUP, PORT = "239.77.1.1", 26400
ORDERS_PORT = 9000

CONFIG = """
[instance]
name = "demo"

[paths]
segment = "/dev/shm/tern-demo"
journal = "{out}/journal"
run = "/run/tern/demo"

[port]
kind = "{port}"
interface = "veth-host"
attach = "{attach}"
huge_pages = "{huge_pages}"
address = "{tern}/24"

[loop]
wait = "{wait}"

[capacity]
instruments = {instruments}
orders = {orders}

[[feed]]
venue = "itch_ouch"
stream = 1
line = "A"
group = "{group}"
port = {group_port}

[session]
venue = "itch_ouch"
address = "{venue}:{orders_port}"
user = "TERN01"
password = "secret"
account = 1
firm = "TERN"
cancel_on_disconnect = true
"""

STRATEGIES = """
[[strategy]]
name = "maker"
id = 1
trader = 1

[[strategy]]
name = "taker"
id = 2
trader = 1
"""

OBSERVE = """
[[strategy]]
name = "observe"
id = 1
trader = 1
"""


def binary(name):
    path = os.path.join(BIN, name)
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{path} is missing: build it first (scripts/demo does)")
    return path


def end(process, patience=20.0):
    """Asks a process of ours to end, and makes it end."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Exchange:
    """tern-exchange, and a capture of its end of the wire."""

    def __init__(self, options, out, network):
        self.options, self.out, self.network = options, out, network
        self.log = os.path.join(out, "exchange.log")
        self.orders_log = os.path.join(out, "exchange.jsonl")
        self.book_dump = os.path.join(out, "exchange-books.jsonl")
        self.pcap = os.path.join(out, "wire.pcap")
        self.process = self.capture = None

    def command(self):
        options = self.options
        command = [binary("tern-exchange"), "run", "--feed", f"{GROUP}:{PORT}", "--interface", self.network.VENUE_ADDRESS,
                   "--orders", f"{self.network.VENUE_ADDRESS}:{ORDERS_PORT}", "--user", "TERN01:secret",
                   "--seed", str(options.seed), "--wait-for-clients", "1", "--start-delay-ms", "300",
                   "--cancel-on-disconnect", "--break-percent", "0.5", "--log", self.orders_log,
                   "--book-dump", self.book_dump, "--book-dumps", "10", "--seconds", str(options.seconds)]
        if options.itch:
            command += ["--itch", os.path.abspath(options.itch), "--pace", options.pace]
        else:
            command += ["--rate", str(options.rate)]
        return command + options.exchange_option

    def start(self):
        capture = ["tcpdump", "-i", "veth-venue", "-w", self.pcap, "-s", str(self.options.snap_bytes), "-B", "16384",
                   "--time-stamp-precision=nano", "-j", "host", "-n", "-U", "udp or tcp or arp"]
        self.capture = self.network.spawn(self.network.VENUE, *capture, log=os.path.join(self.out, "tcpdump.log"))
        self.process = self.network.spawn(self.network.VENUE, *self.command(), log=self.log)

    def running(self):
        return self.process.poll() is None

    def stop(self):
        end(self.process)
        end(self.capture)

    def wire_to_wire(self, tern, journal):
        """From the stamp of the datagram that caused an order to the stamp of the order's first segment, both taken by
        the kernel on the exchange's end of the link: nothing of ours is asked but which datagram caused which order."""
        sent, arrived = stamps(self.pcap)
        samples = []
        causes = tern.sequences({order["cause_seq"] for order in journal.orders if order["cause_ns"]})
        for order in journal.orders:
            if order["action"] == "cancel":
                continue
            begin, done = sent.get(causes.get(order["cause_seq"])), arrived.get(order["order"])
            if begin and done and done >= begin:
                samples.append(done - begin)
        return percentiles(samples)


class Tern:
    """ternd with its data plane."""

    def __init__(self, options, out, network):
        self.options, self.out, self.network = options, out, network
        self.config = os.path.join(out, "tern.toml")
        self.log = os.path.join(out, "ternd.log")
        self.run_folder = "/run/tern/demo"
        self.process, self.counters, self.rss_bytes, self.started_ns = None, {}, 0, 0
        text = CONFIG.format(out=out, port=options.port, attach=options.attach, huge_pages=options.huge_pages,
                             wait=options.wait, tern=network.TERN_ADDRESS, venue=network.VENUE_ADDRESS, group=GROUP,
                             group_port=PORT, orders_port=ORDERS_PORT, instruments=options.instruments,
                             orders=options.orders)
        text += OBSERVE if options.observe else STRATEGIES
        for setting in options.set:
            text = with_setting(text, setting)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    binary = staticmethod(binary)

    def start(self):
        self.started_ns = time.time_ns()
        self.process = self.network.spawn(self.network.HOST, binary("ternd"), "--config", self.config, log=self.log)

    def running(self):
        return self.process.poll() is None

    def wait_ready(self, seconds=30.0):
        """Until the data plane says what it runs on."""
        deadline = time.monotonic() + seconds
        while not os.path.exists(os.path.join(self.run_folder, "dataplane.json")):
            if not self.running():
                raise RuntimeError(f"ternd ended (exit {self.process.returncode}):\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the data plane was not ready after {seconds:.0f} s:\n{tail(self.log)}")
            time.sleep(0.02)

    def tern(self, *arguments, check=True):
        """Output of `tern --json`, parsed."""
        command = self.network.command(self.network.HOST, binary("tern"), "--config", self.config, "--json", *arguments)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0 and check:
            raise RuntimeError(f"tern {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def stop(self):
        end(self.process)


def with_setting(text, setting):
    """The configuration with `table.key=value` set."""
    match = re.fullmatch(r"([a-z_]+)\.([a-z_]+)=(.*)", setting)
    if not match:
        raise RuntimeError(f"--set {setting}: give TABLE.KEY=VALUE")
    table, key, value = match.groups()
    lines, done = [], False
    inside = False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line == f"[{table}]"
            if inside:
                lines += [line, f"{key} = {value}"]
                done = True
                continue
        if inside and re.match(rf"{key}\s*=", line):
            continue
        lines.append(line)
    if not done:
        lines += [f"[{table}]", f"{key} = {value}"]
    return "\n".join(lines) + "\n"


def tail(path, lines=15):
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-lines:])


def packets(path):
    """(stamp ns, frame) of each packet of a nanosecond pcap file."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 24 or struct.unpack_from("<I", data)[0] != 0xA1B23C4D:
        raise RuntimeError(f"{path} is no nanosecond capture")
    at = 24
    while at + 16 <= len(data):
        seconds, nanos, captured, _ = struct.unpack_from("<IIII", data, at)
        at += 16
        if at + captured > len(data):
            break
        yield seconds * 1_000_000_000 + nanos, data[at:at + captured]
        at += captured


def stamps(path):
    """First stamp of each datagram by its MoldUDP64 sequence number, and of each order message by its order id."""
    sent, arrived, streams = {}, {}, {}
    for stamp, frame in packets(path):
        if len(frame) < 34 or frame[12:14] != b"\x08\x00":
            continue
        header = 14 + (frame[14] & 15) * 4
        if frame[23] == 17:
            payload = frame[header + 8:]
            if len(payload) >= 20 and payload[18:20] not in (b"\0\0", b"\xff\xff"):
                sent.setdefault(int.from_bytes(payload[10:18], "big"), stamp)
        elif frame[23] == 6:
            source = frame[26:30] + frame[header:header + 2]
            if int.from_bytes(frame[header + 2:header + 4], "big") != ORDERS_PORT:
                continue
            total = int.from_bytes(frame[16:18], "big")
            payload = frame[header + (frame[header + 12] >> 4) * 4:14 + total]
            order_ids(streams.setdefault(source, bytearray()), payload, stamp, arrived)
    return sent, arrived


def order_ids(tail_bytes, payload, stamp, arrived):
    """Notes the first stamp of each Enter Order and Replace in a stream of SoupBinTCP packets. (Segments that were lost
    or repeated would garble the stream; the runs that quote this figure have none.)"""
    tail_bytes += payload
    while len(tail_bytes) >= 3:
        length = int.from_bytes(tail_bytes[:2], "big")
        if len(tail_bytes) < length + 2:
            return
        kind, message = tail_bytes[2:3], bytes(tail_bytes[3:length + 2])
        if kind == b"U" and message[:1] == b"O":
            arrived.setdefault(int.from_bytes(message[1:5], "big"), stamp)
        elif kind == b"U" and message[:1] == b"U":
            arrived.setdefault(int.from_bytes(message[5:9], "big"), stamp)
        del tail_bytes[:length + 2]


def percentiles(samples):
    """The figures that the report shows, and the curve that it draws."""
    if not samples:
        return {"n": 0}
    samples.sort()

    def at(percent):
        return samples[min(len(samples) - 1, int(len(samples) * percent / 100))]

    return {"n": len(samples), "p50": at(50), "p99": at(99), "p999": at(99.9), "max": samples[-1],
            "curve": [(p, at(p)) for p in (0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99)]}
