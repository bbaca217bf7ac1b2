"""The two sides of a demo: the exchange in one namespace, Tern in the other."""

import bisect
import json
import os
import re
import signal
import struct
import subprocess
import time

import itch
import sandbox

BIN = os.environ.get("TERN_BIN", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "target", "release"))
GROUP, PORT = "239.77.1.1", 26400
ORDERS_PORT = 9000
DROP_COPY_PORT = 9001

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

[limits]
orders_per_second_max = 5000
order_burst_max = 1000
cancel_reserve = 1000
# what the generated market does to two simple strategies is not what these limits are for
gross_max = 500_000_000_0000
net_max = 500_000_000_0000
strategy_gross_max = 500_000_000_0000
strategy_net_max = 500_000_000_0000
daily_loss_max = 10_000_000_0000
strategy_daily_loss_max = 10_000_000_0000
drawdown_max = 10_000_000_0000
executions_max = 1_000_000

# two shared cores run the exchange, the daemon, the capture and the loop: a pause of a second is no fault here
[daemon]
heartbeat_loss_ms = 5000
silence_ms = 5000

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

# two shared cores: the second opinion may wait for its turn
[audit]
lag_ms_max = 20000

[drop_copy]
address = "{venue}:{drop_copy_port}"
user = "DROP01"
password = "copied"
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
        raise RuntimeError(f"{path} is missing: build it first (`scripts/test release` does)")
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
                   "--drop-copy", f"{self.network.VENUE_ADDRESS}:{DROP_COPY_PORT}", "--drop-copy-user", "DROP01:copied",
                   "--seed", str(options.seed), "--wait-for-clients", "1", "--start-delay-ms", "300",
                   "--log", self.orders_log, "--book-dump", self.book_dump, "--book-dumps", "10"]
        # the venue's port is as the configuration says that it is
        if "session.cancel_on_disconnect=false" not in options.set:
            command.append("--cancel-on-disconnect")
        if options.itch:
            command += ["--itch", os.path.abspath(options.itch), "--pace", options.pace]
            if options.pace == "scaled":
                command += ["--scale", str(scale_of(options.itch, options.seconds))]
        else:
            command += ["--rate", str(options.rate)]
        # a scaled file ends by itself; cut off at --seconds, it would lose its last messages
        if not (options.itch and options.pace == "scaled"):
            command += ["--seconds", str(options.seconds)]
        if not any(option.startswith("--break-percent") for option in options.exchange_option):
            command += ["--break-percent", "0.5"]
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
        # the program of the data plane; a check may have one of its own
        self.program = "tern-dataplane"
        self.process, self.counters, self.rss_bytes, self.started_ns = None, {}, 0, 0
        # kernel sockets use an address that the kernel has
        own = network.TERN_ADDRESS if options.port == "xdp" else network.HOST_KERNEL_ADDRESS
        text = CONFIG.format(out=out, port=options.port, attach=options.attach, huge_pages=options.huge_pages,
                             wait=options.wait, tern=own, venue=network.VENUE_ADDRESS, group=GROUP,
                             group_port=PORT, orders_port=ORDERS_PORT, drop_copy_port=DROP_COPY_PORT, instruments=options.instruments,
                             orders=options.orders)
        text += OBSERVE if options.observe else STRATEGIES
        for setting in options.set:
            text = with_setting(text, setting)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    binary = staticmethod(binary)

    def start(self):
        self.started_ns = time.time_ns()
        self.process = self.network.spawn(self.network.HOST, binary("ternd"), "--config", self.config,
                                          "--dataplane-bin", binary(self.program), log=self.log)

    def running(self):
        return self.process.poll() is None

    def wait_ready(self, seconds=30.0):
        """Until the data plane says what it runs on."""
        deadline = time.monotonic() + seconds
        while not os.path.exists(os.path.join(self.run_folder, "dataplane.json")):
            if not self.running():
                sandbox.heed_interrupt()
                raise RuntimeError(f"ternd ended (exit {self.process.returncode}):\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the data plane was not ready after {seconds:.0f} s:\n{tail(self.log)}")
            time.sleep(0.02)

    def tern(self, *arguments, check=True):
        """Output of `tern --json`, parsed."""
        command = self.network.command(self.network.HOST, binary("tern"), "--config", self.config, "--json", *arguments)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0 and check:
            raise RuntimeError(f"tern {' '.join(arguments)}: exit {done.returncode}: "
                               f"{done.stderr.strip()} {done.stdout.strip()[:2000]}".rstrip())
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def status(self):
        """A few figures for the progress line."""
        counters = self.tern("counters", check=False)
        if not counters:
            return {}
        loop, session = counters["loop"], counters["session"]
        return {"datagrams": counters["feed"]["datagrams"], "messages": counters["feed"]["messages"],
                "orders": orders_sent(loop), "fills": session["venue_executed"], "open": loop["open_orders"]}

    def settle(self, seconds=20.0):
        """Until everything that was recorded by now is in the journal and on the disk. (Timers go on being recorded.)"""
        deadline = time.monotonic() + seconds
        wanted, seq = None, {}
        while time.monotonic() < deadline:
            seq = self.tern("status", check=False).get("seq", {})
            wanted = wanted or seq.get("last")
            if seq and seq["durable"] >= wanted:
                return
            time.sleep(0.1)
        raise RuntimeError(f"the journal did not catch up within {seconds:.0f} s: {seq}")

    def observe_counters(self):
        """Reads, while both sides still run, what is gone after them."""
        self.counters = self.counted()
        self.link = self.network.link_drops()
        pid = self.tern("status", check=False)["dataplane"]["pid"]
        self.rss_bytes = resident_bytes(pid)
        with open(os.path.join(self.run_folder, "dataplane.json"), encoding="utf-8") as file:
            self.dataplane = json.load(file)
        with open(os.path.join(self.run_folder, "dataplane.log"), "rb") as file, \
                open(os.path.join(self.out, "dataplane.log"), "wb") as copy:
            copy.write(file.read())

    def counted(self, seconds=3.0):
        """The counters, once the loop has looked at all that was handed to its socket: it may wait for a turn on its
        core, and is given some seconds to get one."""
        deadline = time.monotonic() + seconds
        while True:
            counters = self.tern("counters")
            steered = sum(count for name, count in counters["steer"].items() if name.startswith("redirect_"))
            lost = counters["xdp_statistics"]["xsk_rx_dropped"] + counters["xdp_statistics"]["xsk_rx_ring_full"]
            if counters["loop"]["frames_received"] + lost >= steered or time.monotonic() > deadline:
                return counters
            time.sleep(0.05)

    def dropped(self):
        """Datagrams that did not reach the loop, by the counter that says so: each lost one is in exactly one of them.

        `xsk_rx_fill_ring_empty` and `xsk_rx_invalid_descs` are not among them: the kernel counts such a frame in
        `xsk_rx_dropped` too."""
        names = ("xsk_rx_dropped", "xsk_rx_ring_full", "socket_overflow")
        drops = {name: self.counters["xdp_statistics"][name] for name in names}
        drops["veth_venue_tx_dropped"] = self.link
        drops["steer_pass_other_queue"] = self.counters["steer"].get("pass_other_queue", 0)
        drops["steer_pass_no_socket"] = self.counters["steer"].get("pass_no_socket", 0)
        drops["steer_pass_unsubscribed"] = self.counters["steer"].get("pass_unsubscribed", 0)
        drops["steer_pass_no_headroom"] = self.counters["steer"].get("pass_no_headroom", 0)
        return drops

    def facts(self):
        port = self.dataplane["ports"][0]
        return {"port": {key: port[key] for key in ("kind", "attach_mode", "zero_copy")},
                "wait": self.dataplane["wait"], "fallbacks": self.dataplane["fallbacks"],
                "huge_pages": "yes" if self.dataplane["arenas_huge_pages"] else "no"}

    def report(self):
        return self.tern("report")

    def audit(self):
        """What the second opinion says of the journal."""
        done = subprocess.run([binary("tern-audit"), "--journal", f"{self.out}/journal", "--once", "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"tern-audit: exit {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def drop_copy(self):
        """What came of holding the drop copy against the journal, as it was written last."""
        with open(os.path.join(self.run_folder, "audit.json"), encoding="utf-8") as file:
            return json.load(file)["drop_copy"]

    def first_order_ms(self, tai_ns):
        """From the start of ternd to the first order. (The clock is TAI; where the kernel knows no offset it is UTC.)"""
        if tai_ns is None:
            return None
        return round((tai_ns - tai_offset_ns() - self.started_ns) / 1e6)

    def replay(self, *arguments):
        """Runs the journal through the pipeline again; (exit code, what it said)."""
        done = subprocess.run([binary(self.program), "--replay", f"{self.out}/journal", *arguments],
                              capture_output=True, text=True)
        return done.returncode, (done.stdout + done.stderr).strip()

    def compare_books(self, exchange):
        """Our books, rebuilt from the journal by the same pipeline, against the exchange's dumps."""
        theirs, sequences = read_dump(exchange.book_dump)
        ours_file = os.path.join(self.out, "tern-books.jsonl")
        code, said = self.replay("--dump-books", ",".join(map(str, sequences)), "--dump-to", ours_file)
        ours, ours_sequences = read_dump(ours_file) if os.path.exists(ours_file) else ({}, [])
        keys = set(theirs) | set(ours)
        different = sorted(key for key in keys if theirs.get(key) != ours.get(key))
        return {"sequences": sequences, "compared": len(keys), "different": len(different),
                "examples": [{"sequence": k[0], "symbol": k[1], "side": k[2], "exchange": theirs.get(k), "tern": ours.get(k)}
                             for k in different[:3]],
                "replay_ok": code == 0 and ours_sequences == sequences, "replay": said.splitlines()[-1] if said else f"exit {code}"}

    def sequences(self, wanted):
        """Feed sequence number of each journaled datagram whose record number is `wanted`."""
        found = {}
        if not wanted:
            return found
        command = [binary("tern"), "--config", self.config, "--json", "journal", "cat", "--kind", "datagram", "--payload", "20"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                record = json.loads(line)
                if record["seq"] in wanted:
                    found[record["seq"]] = int(record["body"]["payload"][20:36], 16)
        return found

    def stop(self):
        end(self.process)


def scale_of(path, seconds):
    """How many times as fast as recorded an ITCH file has to go to take so many seconds."""
    with open(path, "rb") as file:
        stamps = [int.from_bytes(message[5:11], "big") for message in itch.messages(file.read()) if len(message) >= 11]
    span_seconds = (max(stamps) - stamps[0]) / 1e9 if stamps else 0
    return max(span_seconds, 1e-3) / seconds


def orders_sent(loop):
    return loop["orders_new"] + loop["orders_replace"] + loop["orders_cancel"]


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        peak = next(line for line in file if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


def tai_offset_ns():
    """What CLOCK_TAI is ahead of UTC on this host."""
    return round((time.clock_gettime_ns(time.CLOCK_TAI) - time.time_ns()) / 1e9) * 1_000_000_000


def read_dump(path):
    """A book dump: (sequence, symbol, side) -> levels as the book has them, and the sequence numbers."""
    books, sequences = {}, []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry.get("end"):
                sequences.append(entry["sequence"])
            else:
                key = entry["sequence"], entry["stock"].strip(), entry["side"]
                books.setdefault(key, []).append([entry["price"], entry["orders"]])
    # a book is a sequence of levels; the dumps may list them from either end
    return {key: sorted(levels) for key, levels in books.items()}, sequences


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


def stamps(path, cancels=None):
    """First stamp of each datagram by its MoldUDP64 sequence number, and of each order message by its order id; the stamp
    of each Cancel Order is added to `cancels`."""
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
            begin = header + (frame[header + 12] >> 4) * 4
            streams.setdefault(source, Stream(cancels)).segment(
                int.from_bytes(frame[header + 4:header + 8], "big"), 14 + total - begin, frame[begin:14 + total], stamp, arrived)
    return sent, arrived


class Stream:
    """One connection's SoupBinTCP packets as a capture saw them: repeated bytes count once, and after bytes that it
    missed (the capture dropped a frame, or cut it) reading goes on at the next segment that begins with a packet."""

    PACKETS = b"+LUROD"

    def __init__(self, cancels=None):
        self.tail, self.next = bytearray(), None
        self.cancels = [] if cancels is None else cancels

    def segment(self, sequence, length, payload, stamp, arrived):
        if length == 0:
            return
        ahead = 0 if self.next is None else (sequence - self.next + (1 << 31)) % (1 << 32) - (1 << 31)
        if ahead < 0:
            payload, length = payload[-ahead:], length + ahead
            if length <= 0:
                return
        elif ahead > 0 or self.next is None:
            self.tail.clear()
            if len(payload) < 3 or payload[2] not in self.PACKETS:
                self.next = None
                return
        self.next = (sequence + max(-ahead, 0) + length) % (1 << 32)
        self.tail += payload
        self.order_ids(stamp, arrived)
        if len(payload) < length:
            self.next = None

    def order_ids(self, stamp, arrived):
        """Notes the first stamp of each Enter Order and Replace, and that of each Cancel Order."""
        while len(self.tail) >= 3:
            length = int.from_bytes(self.tail[:2], "big")
            if len(self.tail) < length + 2:
                return
            kind, message = self.tail[2:3], bytes(self.tail[3:length + 2])
            if kind == b"U" and message[:1] == b"O":
                arrived.setdefault(int.from_bytes(message[1:5], "big"), stamp)
            elif kind == b"U" and message[:1] == b"U":
                arrived.setdefault(int.from_bytes(message[5:9], "big"), stamp)
            elif kind == b"U" and message[:1] == b"X":
                self.cancels.append(stamp)
            del self.tail[:length + 2]


def percentiles(samples):
    """The figures that the report shows, and the curve that it draws."""
    if not samples:
        return {"n": 0}
    samples.sort()

    def at(percent):
        return samples[min(len(samples) - 1, int(len(samples) * percent / 100))]

    return {"n": len(samples), "p50": at(50), "p99": at(99), "p999": at(99.9), "max": samples[-1],
            "curve": [*((p, at(p)) for p in (0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9)), (99.99, samples[-1])]}
