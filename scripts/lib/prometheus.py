#!/usr/bin/env python3
"""Prometheus, Alertmanager and a webhook for checks, and the little programs that have to run inside a network namespace.

As a program: `webhook PORT FILE`, `get URL`, `ask URL` (expressions on stdin), `flood URL SCRAPERS HERTZ SECONDS`, `deaf HOST PORT SECONDS`.
"""

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RULES = os.path.join(ROOT, "docs", "metrics", "tern.rules.yml")
TESTS = os.path.join(ROOT, "docs", "metrics", "tern.rules.test.yml")
DASHBOARD = os.path.join(ROOT, "docs", "metrics", "tern.dashboard.json")
METRICS, PROMETHEUS, ALERTMANAGER, WEBHOOK = 9464, 9090, 9093, 9099

CONFIG = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files: ["{rules}"]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]
scrape_configs:
  - job_name: tern
    static_configs: [{{targets: ["127.0.0.1:{metrics}"]}}]
"""

ROUTES = """
route: {{receiver: hook, group_by: ["..."], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: hook
    webhook_configs: [{{url: "http://127.0.0.1:{webhook}/", send_resolved: true}}]
"""


def tool(name):
    """Where a program of the Prometheus packages is: unpacked by scripts/setup --test, or installed."""
    for path in (os.path.join(ROOT, ".tools", "usr", "bin", name), shutil.which(name)):
        if path and os.access(path, os.X_OK):
            return path
    raise RuntimeError(f"{name} is missing: scripts/setup --test unpacks it")


class Watchers:
    """The three of them beside an instance, in its namespace."""

    def __init__(self, network, out):
        self.network, self.out, self.processes = network, out, []
        self.pages = os.path.join(out, "webhook.jsonl")

    def start(self):
        share = os.path.join(ROOT, ".tools", "usr", "share")
        # Alertmanager wants its template where its package would have put it: in this mount namespace it is there
        if not os.path.exists("/usr/share/prometheus/alertmanager"):
            subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={share}:/usr/share", "overlay", "/usr/share"], check=True)
        prometheus, alertmanager = self.write("prometheus.yml", CONFIG), self.write("alertmanager.yml", ROUTES)
        self.spawn("webhook", sys.executable, os.path.abspath(__file__), "webhook", str(WEBHOOK), self.pages)
        self.spawn("alertmanager", tool("prometheus-alertmanager"), f"--config.file={alertmanager}", f"--storage.path={self.out}/alertmanager",
                   f"--web.listen-address=127.0.0.1:{ALERTMANAGER}", "--cluster.listen-address=")
        self.spawn("prometheus", tool("prometheus"), f"--config.file={prometheus}", f"--storage.tsdb.path={self.out}/prometheus",
                   f"--web.listen-address=127.0.0.1:{PROMETHEUS}")
        deadline = time.monotonic() + 30
        while not all(self.inside("get", f"http://127.0.0.1:{port}/-/ready") for port in (ALERTMANAGER, PROMETHEUS)):
            assert time.monotonic() < deadline, f"Prometheus or Alertmanager is not ready; their logs are in {self.out}"
            time.sleep(0.2)

    def write(self, name, text):
        path = os.path.join(self.out, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.format(rules=RULES, alertmanager=ALERTMANAGER, metrics=METRICS, webhook=WEBHOOK))
        return path

    def spawn(self, name, *command):
        log = os.path.join(self.out, f"{name}.log")
        # a trading host would not let them onto the loop's core; on two shared cores they come last
        self.processes.append(self.network.spawn(self.network.HOST, "nice", "-n", "10", *command, log=log))

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def inside(self, *arguments, text=None):
        """Output of one of the programs below, run in the namespace; nothing if it failed."""
        command = self.network.command(self.network.HOST, sys.executable, os.path.abspath(__file__), *map(str, arguments))
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def ask(self, expressions):
        """What Prometheus says to each: the number of series, or the error's text."""
        said = self.inside("ask", f"http://127.0.0.1:{PROMETHEUS}", text="\n".join(expressions))
        return [json.loads(line) for line in said.splitlines()]

    def scrape(self):
        return self.inside("get", f"http://127.0.0.1:{METRICS}/metrics")

    def told(self, alert, status="firing"):
        """When, in ns, the webhook was told of the alert, each time, with its labels."""
        if not os.path.exists(self.pages):
            return []
        with open(self.pages, encoding="utf-8") as file:
            pages = [json.loads(line) for line in file if line.endswith("\n")]
        return [(page["at_ns"], one["labels"]) for page in pages for one in page["alerts"]
                if one["labels"]["alertname"] == alert and one["status"] == status]


def expressions():
    """Every expression of the dashboard, as Grafana would ask it."""
    with open(DASHBOARD, encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [expr.replace("$__rate_interval", "10s").replace("$instance", ".*") for expr in asked]


# ---- what runs inside the namespace


def webhook(port, path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802 (the name is the library's)
            page = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            line = json.dumps({"at_ns": time.time_ns(), "alerts": page["alerts"]}) + "\n"
            with open(path, "a", encoding="utf-8") as file:
                file.write(line)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass
    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        sys.stdout.write(answer.read().decode())


def ask(url):
    for expression in sys.stdin.read().splitlines():
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as answer:
                print(json.dumps(len(json.load(answer)["data"]["result"])))
        except OSError as error:
            detail = error.read().decode() if hasattr(error, "read") else str(error)
            print(json.dumps(detail))


def flood(url, scrapers, hertz, seconds):
    """Scrapers that come back `hertz` times a second each; prints what they got."""
    counts, lock, until = {}, threading.Lock(), time.monotonic() + float(seconds)

    def scraper():
        due = time.monotonic()
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    outcome = "whole" if b"tern_build_info" in answer.read() else "torn"
            except OSError as error:
                outcome = str(getattr(error, "code", type(error).__name__))
            with lock:
                counts[outcome] = counts.get(outcome, 0) + 1
            due += 1 / float(hertz)
            time.sleep(max(0.0, due - time.monotonic()))
    threads = [threading.Thread(target=scraper) for _ in range(int(scrapers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(counts))


def deaf(host, port, seconds):
    """One that asks and never reads, and one that never asks, again and again."""
    until, cut = time.monotonic() + float(seconds), 0
    while time.monotonic() < until:
        reader, silent = socket.socket(), socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        for one in (reader, silent):
            one.connect((host, int(port)))
        reader.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        silent.settimeout(10)
        try:
            cut += silent.recv(1) == b""
        except OSError:
            cut += 1
        reader.close()
        silent.close()
    print(json.dumps({"cut": cut}))


if __name__ == "__main__":
    {"webhook": webhook, "get": get, "ask": ask, "flood": flood, "deaf": deaf}[sys.argv[1]](*sys.argv[2:])
