"""The host is the same before and after a demo, however it ends."""

import glob
import os
import random
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DEMO = os.path.join(os.path.dirname(HERE), "lib", "demo.py")
OURS = ("tern", "ternd", "tern-dataplane", "tern-exchange", "tcpdump")
EXIT = {"end": 0, "SIGINT": 130, "SIGTERM": 143, "SIGKILL": -signal.SIGKILL}
# Sysctls that count or tell the time instead of being set.
MOVING = ("nf_conntrack_count",)


def nothing_left(out, options):
    rng = random.Random(options.seed)
    before = host()
    figures = []
    for how in ("end", "SIGINT", "SIGTERM", "SIGKILL", "SIGKILL", "SIGKILL"):
        began = time.monotonic()
        code = demo(out, how, rng)
        # before it can heed one, a signal ends it: a shell says the same of both
        assert code in (EXIT[how], -getattr(signal, how, 0)), f"after {how}: exit {code}, its last words: {words(out)}"
        after = settled(before)
        changed = {name: sorted(after[name] ^ before[name])[:6] for name in before if after[name] != before[name]}
        assert not changed, f"after {how}: {changed}"
        figures.append(f"{how} exit {code} {time.monotonic() - began:.1f} s")
    assert demo(out, "end", rng) == 0, "the demo after all that fails"
    return f"{', '.join(figures)}: host the same each time; one more demo right after: exit 0"


def demo(out, how, rng):
    """Starts a demo as a shell would, in a process group of its own, and ends it."""
    command = [sys.executable, DEMO, "--seconds", "4", "--instruments", "400", "--orders", "200000", "--out", out]
    with open(f"{out}.said", "w", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, stdin=subprocess.DEVNULL, start_new_session=True)
    if how == "end":
        return process.wait(120)
    time.sleep(rng.uniform(0.1, 5))
    if how == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
    else:
        process.send_signal(getattr(signal, how))
    return process.wait(60)


def words(out):
    with open(f"{out}.said", encoding="utf-8", errors="replace") as file:
        return file.read()[-1500:]


def settled(before):
    """The host's state once the kernel has taken namespaces down, which it does in its own time."""
    deadline = time.monotonic() + 15
    while True:
        after = host()
        if after == before or time.monotonic() > deadline:
            return after
        time.sleep(0.2)


def host():
    """Everything that a run could leave behind. Others may work on the host: only what a demo names is looked at where
    it can be told apart."""
    def lines(*command):
        return set(subprocess.run(command, capture_output=True, text=True).stdout.splitlines())

    def only(found, *words):
        return {line for line in found if any(word in line for word in words)}

    processes = set()
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                parts = file.read().split(b"\0")
        except OSError:
            continue
        if any(DEMO.encode() in part or b"/run/tern/demo" in part or part.endswith(b"tern.toml") and b"checks" in part
               for part in parts):
            processes.add(b" ".join(parts).decode(errors="replace"))
    sysctls = {line for line in lines("sysctl", "-a") if line.startswith(("net.", "vm."))
               and not any(word in line for word in MOVING) and ".veth" not in line}
    huge = set()
    with open("/proc/meminfo", encoding="ascii") as file:
        huge = {line.strip() for line in file if line.startswith("HugePages_Total")}
    return {
        "namespaces": only(lines("ip", "netns"), "venue", "host", "wire"),
        "links": only(lines("ip", "-o", "link"), "veth-venue", "veth-host", "wire-"),
        "pins": set(glob.glob("/sys/fs/bpf/**/*tern*", recursive=True)),
        "mounts": only(lines("cat", "/proc/mounts"), "tern", "bpf"),
        "shared files": set(glob.glob("/dev/shm/tern-demo*")),
        "huge-page files": set(glob.glob("/dev/hugepages/*")) | set(glob.glob("/mnt/huge*/*")),
        "huge pages": huge,
        "run": set(glob.glob("/run/tern/demo*")) | set(glob.glob("/run/netns/venue")) | set(glob.glob("/run/netns/host")),
        "processes": processes,
        "sysctls": sysctls,
    }
