"""A throw-away network of two hosts.

Everything runs in mount, PID, IPC and network namespaces of its own, made by `unshare --kill-child`: when the process
that started it ends in any way, SIGKILL included, the kernel ends every process in there and takes the links, mounts,
pins and shared files with them. Nothing has to be cleaned up by hand, so nothing can be forgotten.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time

INSIDE = "TERN_SANDBOX"


def enter(script):
    """Re-runs `script` with our arguments inside fresh namespaces; returns only when already inside."""
    if os.environ.get(INSIDE) == "1":
        prepare()
        # from here on an interrupt is an exception that the script can clean up after; one that came before comes now
        signal.signal(signal.SIGINT, interrupted)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return
    if os.geteuid() != 0:
        sys.exit(f"{os.path.basename(script)}: root is needed (namespaces, veth, XDP): run it with sudo.")
    environment = dict(os.environ, **{INSIDE: "1"})
    arguments = ["unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc",
                 "--propagation", "private", sys.executable, script, *sys.argv[1:]]
    try:
        inner = subprocess.Popen(arguments, env=environment, preexec_fn=die_with_parent)
    except OSError as error:
        sys.exit(f"{script}: cannot run unshare ({error}); is util-linux installed?")
    # unshare itself ignores the polite signals, and Ctrl-C reaches the inside by itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: (inner.kill(), sys.exit(128 + number)))
    sys.exit(inner.wait())


interrupts = []


def interrupted(_number, _frame):
    """Also noted: an exception that comes up while Python cleans an object away is dropped."""
    interrupts.append(True)
    raise KeyboardInterrupt


def heed_interrupt(seconds=0.5):
    """Raises it where one came, or comes within some time: to a process that ended of it it may have come before it came here."""
    time.sleep(0 if interrupts else seconds)
    if interrupts:
        raise KeyboardInterrupt


def die_with_parent():
    """Whoever kills the outer process, with whatever signal, kills unshare, and the kernel everything inside. An interrupt
    waits until the inside can heed it: as the first process of its namespace it would end with 1."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def run(*command, check=True):
    """Runs a command; its error output becomes the exception's text."""
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def prepare():
    """Private /run and /dev/shm, so that pins, sockets and segments vanish with the namespace."""
    for place in ("/run", "/dev/shm"):
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", place)
    run("ip", "link", "set", "lo", "up")


class Network:
    """Two network namespaces, `venue` and `host`, joined by a veth pair."""

    VENUE, HOST = "venue", "host"
    VENUE_ADDRESS, HOST_KERNEL_ADDRESS, TERN_ADDRESS = "10.77.0.1", "10.77.0.3", "10.77.0.2"

    def __init__(self, queues=1):
        for name in (self.VENUE, self.HOST):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", "veth-venue", "numrxqueues", str(queues), "numtxqueues", str(queues), "type", "veth",
            "peer", "name", "veth-host", "numrxqueues", str(queues), "numtxqueues", str(queues))
        for name, link, address in ((self.VENUE, "veth-venue", self.VENUE_ADDRESS),
                                    (self.HOST, "veth-host", self.HOST_KERNEL_ADDRESS)):
            run("ip", "link", "set", link, "netns", name)
            # IPv6 chatter on the link would only blur the counters
            run("ip", "netns", "exec", name, "sysctl", "-qw", f"net.ipv6.conf.{link}.disable_ipv6=1", check=False)
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", link)
            # veth leaves checksums partial unless the sender is told not to; the AF_XDP side verifies them
            run("ip", "netns", "exec", name, "ethtool", "-K", link, "tx", "off", "gso", "off", "tso", "off", check=False)
            run("ip", "-n", name, "link", "set", link, "up")
        run("ip", "-n", self.VENUE, "route", "add", "239.0.0.0/8", "dev", "veth-venue")
        run("ip", "-n", self.HOST, "route", "add", "239.0.0.0/8", "dev", "veth-host")

    @staticmethod
    def command(namespace, *command):
        """`command` to be run in `namespace`. nsenter, as `ip netns exec` would hide mounts of the two from each other."""
        return ["nsenter", f"--net=/run/netns/{namespace}", *command]

    @classmethod
    def spawn(cls, namespace, *command, log):
        """Starts `command` in `namespace`, its output going to the file `log`."""
        with open(log, "wb") as out:
            return subprocess.Popen(cls.command(namespace, *command), stdout=out, stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL)

    @classmethod
    def link_drops(cls):
        """Frames that the exchange's end of the link did not get across, as its own kernel counter says."""
        return cls.sent("dropped")

    @classmethod
    def sent(cls, what="packets"):
        """What the exchange's end of the link has sent so far: `packets`, `bytes`, or `dropped` on the way."""
        text = run("ip", "-n", cls.VENUE, "-j", "-s", "link", "show", "veth-venue")
        return json.loads(text)[0]["stats64"]["tx"][what]
