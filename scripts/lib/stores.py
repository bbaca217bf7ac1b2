"""A PostgreSQL and a NATS server for checks, each in a folder that goes with it, and the sinks that follow a journal into them."""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOBODY = 65534


def postgres_tool(name):
    """A program of PostgreSQL: unpacked by scripts/setup --test, or installed."""
    for base in (os.path.join(ROOT, ".tools"), "/"):
        found = glob.glob(os.path.join(base, "usr/lib/postgresql/*/bin", name))
        if found:
            return max(found)
    raise RuntimeError(f"{name} of PostgreSQL is missing: scripts/setup --test unpacks it")


def free_ports(count):
    """Ports that nobody has now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait(what, condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


class Store:
    """A server that can be stopped and started again with what it has."""

    def __init__(self):
        # not below --out, which who runs the server may not be allowed to see
        self.folder = tempfile.mkdtemp(prefix="tern-store-")
        os.chmod(self.folder, 0o755)
        self.log, self.process = os.path.join(self.folder, "log"), None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        wait(f"{type(self).__name__} answers", self.is_up)
        return self

    def is_up(self):
        # what answers is to be ours, not one that has its port already
        assert self.process.poll() is None, f"{type(self).__name__} ended with {self.process.returncode}: {self.said()}"
        return self.answers() and self.process.poll() is None

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]

    def stop(self, how=signal.SIGINT):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Store):
    """On a socket only, run by nobody: the server refuses root."""

    AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")

    def __init__(self):
        super().__init__()
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.data, 0o700)
        for path in (self.data, self.folder):
            os.chown(path, NOBODY, NOBODY)
        self.url = f"host={self.folder} user=tern dbname=postgres"
        subprocess.run([*self.AS_NOBODY, postgres_tool("initdb"), "-U", "tern", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync",
                        "-D", self.data], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def command(self):
        return [*self.AS_NOBODY, postgres_tool("postgres"), "-D", self.data, "-k", self.folder, "-c", "listen_addresses=",
                "-c", "dynamic_shared_memory_type=mmap"]

    def answers(self):
        return self.ask("SELECT 1", check=False) == [["1"]]

    def ask(self, query, check=True):
        done = subprocess.run([postgres_tool("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-F", "\t", "-c", query, self.url], capture_output=True,
                              text=True, cwd="/")
        if done.returncode != 0 and check:
            raise RuntimeError(f"{query}: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines()]


class Nats(Store):
    """One server that syncs each message."""

    def __init__(self):
        super().__init__()
        # kept over a restart: the sink knows no others
        self.port, self.monitor = free_ports(2)
        self.arguments = ("--server", f"127.0.0.1:{self.port}", "--monitor", f"127.0.0.1:{self.monitor}", "--replicas", "1", "--host", "demo")

    def command(self):
        config = os.path.join(self.folder, "nats.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'listen: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\n'
                       f'jetstream {{ store_dir: "{self.folder}/data", sync_interval: always }}\n')
        return [os.path.join(ROOT, ".venv", "bin", "nats-server"), "-c", config]

    def answers(self):
        # both: a port that somebody else has would end the server, or leave it without its monitor
        for port in (self.port, self.monitor):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                return False
        return True


class Sink:
    """tern-sink into one of them."""

    def __init__(self, binary, out, name, journal, *arguments):
        self.status_file, self.errors = os.path.join(out, f"{name}.json"), os.path.join(out, f"{name}.log")
        command = [binary, name, journal, *arguments, "--behind", "2", "--json", "--status", self.status_file]
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True)

    def status(self):
        try:
            with open(self.status_file, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {}

    def said(self):
        with open(self.errors, encoding="utf-8") as file:
            return file.read()

    def end(self):
        """Its report."""
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, f"{self.process.args[1]}: exit {self.process.returncode}: {self.said()}"
        return json.loads(said)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
