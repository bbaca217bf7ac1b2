"""The data plane's sandbox on real processes: what it has shut itself into, and what becomes of one that asks for more."""

import os

import compare
import kill
import overflow
import session
import strategy

# socket(2), as dataplane.log names it
SOCKET_CALL = 41


def sandbox_forbidden(out, _options):
    """A strategy connects to a host of its own: the process ends, trading with it, and nobody but an operator goes on."""
    os.environ["TERN_FRAGILE"] = "phones_home"
    with session.Session(out, "--seconds", 20, "--rate", 10000, "--exchange-option=--linger-ms=1500", "--set", "daemon.restart_pause_ms=500",
                         "--set", 'session.after_restart="agreement"', capture=False) as today:
        today.tern.program = strategy.beside_audit(out, today.tern.binary)
        today.start()
        shut_in(today)
        run = today.status()["run"]
        today.wait("the sandbox ends it, and why is said", lambda: halt_of(today) == "forbidden_call", 20, pause=0.01)
        today.wait("another data plane has read the venue's log", lambda: today.status()["run"] > run
                   and overflow.sessions(today) == 1 and today.tern.tern("recover")["comparison"]["agreed_or_accepted"], 20)
        status = today.status()
        assert status["killed"] and not status["trading"] and halt_of(today) == "forbidden_call", status["halt"]
        assert today.counters()["loop"]["open_orders"] == 0, "orders are open"
        today.wait("the restart is counted", lambda: today.status()["daemon"]["restarts"] == 1, 10)
        shut_in(today)
        said = read(os.path.join(today.tern.run_folder, "dataplane.log"))
        assert f"system call {SOCKET_CALL} at 0x" in said, said[-2000:]
        told = read(today.tern.log)
        assert "ended by its sandbox (SIGSYS)" in told, told[-2000:]
        today.close()
        today.tern.settle()
        today.tern.stop()
        journal, theirs = today.consistent(cut=True)
        starts = [record["seq"] for record in compare.cat(today.tern.binary("tern"), today.tern.config, "start")]
        assert len(starts) == 2, starts
        late = [order for order in journal.orders if order["seq"] > starts[1]]
        assert not late, f"{len(late)} order messages left after it: {late[:3]}"
        opened = kill.still_open(journal, theirs)
        assert not opened, f"open at the end of the day: {opened}"
        today.verify_journal()
        return (f"a strategy asks for socket(2): SIGSYS, kill forbidden_call, {len(theirs.orders)} order messages at the exchange, all in the journal, "
                f"0 after it, none open, positions equal; the next run stays stopped although after_restart is agreement")


def shut_in(today):
    """What the data plane that runs has given away, as the kernel says. It writes its facts a moment before it shuts the door."""
    sandbox = today.status()["sandbox"]
    assert sandbox["system_calls"], f"no seccomp: {today.status()['fallbacks']}"
    today.wait("each thread of the data plane is shut in", lambda: open_threads(today.pid()) == [], 10)


def open_threads(pid):
    """Threads that may do more than they have to, each with the first thing that says so."""
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        lines = read(f"/proc/{pid}/task/{thread}/status").splitlines()
        words = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        wanted = {"Seccomp": "2", "NoNewPrivs": "1", **{name: "0" * 16 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}}
        found += [(thread, name, words[name]) for name in wanted if words[name] != wanted[name]][:1]
    return found


def halt_of(today):
    return (today.status().get("halt") or {}).get("reason")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
