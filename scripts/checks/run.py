#!/usr/bin/env python3
"""Runs whole days over a veth pair with something going wrong in each, and asserts what must hold afterwards.

Every check runs in a process and namespaces of its own, prints one line of figures and leaves its files in --out.
"""

import argparse
import importlib
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# name -> (module, whether scripts/test runs it, whether it makes its own namespaces)
CHECKS = {
    "crash": ("crash", True, True),
    "recover_power_cut": ("recover", True, True),
    "recover_missing_part": ("recover", True, True),
    "recover_kill_stays": ("recover", True, True),
    "kill": ("kill", True, True),
    "kill_without_daemon": ("kill", True, True),
    "kill_latency": ("kill", False, True),
    "kill_window_closed": ("kill", True, True),
    "kill_in_flight": ("kill", True, True),
    "kill_scope": ("kill", True, True),
    "by_hand": ("by_hand", True, True),
    "adjusted": ("by_hand", True, True),
    "reset": ("link", True, True),
    "exchange_gone": ("link", True, True),
    "lossy_link": ("link", True, True),
    "arp": ("link", True, True),
    "wrong_fill_in_log": ("money", True, True),
    "wrong_fill_to_client": ("money", True, True),
    "broken_trades": ("money", True, True),
    "overflow": ("overflow", True, True),
    "stuck_loop": ("overflow", True, True),
    "stuck_kill": ("overflow", True, True),
    "stuck_kill_socket": ("overflow", True, True),
    "stuck_loop_socket": ("overflow", True, True),
    "dead_data_plane": ("overflow", True, True),
    "alerts": ("alerts", True, True),
    "metrics_rules": ("metrics", True, False),
    "metrics_alerts": ("metrics", True, True),
    "metrics_flood": ("metrics", True, True),
    "page": ("page", True, True),
    "metrics_slow_alerts": ("slow_alerts", False, True),
    "daemon_stopped": ("daemon", True, True),
    "daemon_killed": ("daemon", True, True),
    "strategy_crash": ("strategy", True, True),
    "sandbox_forbidden": ("sandboxed", True, True),
    "firm_of_two": ("firm", True, True),
    "shared_interface": ("shared", True, True),
    "overnight": ("overnight", True, True),
    "day": ("day", True, True),
    "silent_venue": ("silent", True, True),
    "rescue": ("rescue", True, True),
    "rescue_stuck": ("rescue", True, True),
    "drop_copy_missing_here": ("drop_copy", True, True),
    "drop_copy_missing_there": ("drop_copy", True, True),
    "drop_copy_lost": ("drop_copy", True, True),
    "hostile_frames": ("hostile", True, True),
    "fallback_generic": ("fallbacks", True, True),
    "fallback_pages": ("fallbacks", True, True),
    "fallback_socket": ("fallbacks", True, True),
    "fallback_block": ("fallbacks", True, True),
    "export": ("export", True, True),
    "sinks": ("sinks", True, True),
    "segments": ("segments", True, True),
    "disk_full": ("full", True, True),
    "ring_full": ("full", True, True),
    "disk_read_only": ("faults", True, True),
    "disk_errors": ("faults", False, True),
    "disk_slow": ("faults", True, True),
    "clock_step": ("faults", True, True),
    "tshark": ("wire", True, True),
    "units": ("units", True, False),
    "nothing_left": ("left", True, False),
}


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/checks/demo", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="checks to run (default: those of scripts/test)")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--all", action="store_true", help="run all")
    parser.add_argument("--points", type=int, default=8, help="crash: how many processes are killed (default 8)")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that is random (default 1)")
    parser.add_argument("--out", default=os.path.join(ROOT, "target", "checks"), help="where files go (default target/checks)")
    parser.add_argument("--inside", metavar="NAME", help=argparse.SUPPRESS)
    return parser.parse_args()


def note(line):
    """Counts a privileged check, for scripts/test."""
    path = os.environ.get("TERN_PRIVILEGED_LOG")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def inside(options):
    """One check, in this process."""
    module, _, sandboxed = CHECKS[options.inside]
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
    if sandboxed:
        import sandbox
        sandbox.enter(os.path.abspath(__file__))
    check = getattr(importlib.import_module(module), options.inside)
    try:
        print(check(os.path.join(os.path.abspath(options.out), options.inside), options))
    except (AssertionError, RuntimeError) as error:
        sys.exit(f"{options.inside}: {error}")


def start(options, name):
    command = [sys.executable, os.path.abspath(__file__), "--inside", name, "--points", str(options.points),
               "--seed", str(options.seed), "--out", options.out]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True)


def main():
    options = arguments()
    if options.inside:
        return inside(options)
    names = options.names or [name for name, (_, usual, _) in CHECKS.items() if usual or options.all]
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        sys.exit(f"scripts/checks/demo: no check {', '.join(unknown)}; --list names them")
    if options.list:
        print("\n".join(CHECKS))
        return 0
    if os.geteuid() != 0:
        for name in names:
            print(f"SKIP: {name}: needs root (namespaces, veth, XDP)")
            note(f"skipped {name} needs root")
        return 0
    failures = []
    for name in names:
        began = time.monotonic()
        done = start(options, name)
        note(f"ran {name}")
        seconds = time.monotonic() - began
        if done.returncode == 0:
            print(f"ok    {name} ({seconds:.1f} s): {done.stdout.strip()}", flush=True)
        else:
            failures.append(name)
            print(f"FAIL  {name} ({seconds:.1f} s), seed {options.seed}, files in {options.out}/{name}", flush=True)
    print(f"{len(names) - len(failures)} checks passed, {len(failures)} failed" +
          (f": {' '.join(failures)}" if failures else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
