"""The units of systemd: what systemd itself says of them, where it is there."""

import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = os.path.join(HERE, "..", "..", "packaging", "systemd")
MOUNT = "run-tern-bpf.mount"
PROGRAMS = ("ternd", "tern-metrics", "tern-audit", "tern-sink")
# Exposure that `systemd-analyze security` may find, tenths of 0 to 10: what each has to keep is said in the unit.
EXPOSURE_MAX = {"ternd@.service": 50, "tern-metrics@.service": 30, "tern-audit@.service": 35, "tern-sink@.service": 35}


def units(_out, _options):
    if not shutil.which("systemd-analyze"):
        return "SKIP: systemd-analyze is not here: nothing is known of the units"
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(UNITS, MOUNT), folder)
        said = run("verify", "--man=no", os.path.join(folder, MOUNT))
        assert said.returncode == 0 and not said.stdout.strip(), f"{MOUNT}: {said.stdout}"
        found = [f"{name} {check(name, folder)}" for name in EXPOSURE_MAX]
        account(folder)
    return "exposure of 0 to 10: " + ", ".join(found) + "; users, groups and folders are made"


def check(name, folder):
    """Verified without a word, and no more open than it has to be."""
    with open(os.path.join(UNITS, name), encoding="utf-8") as file:
        text = file.read()
    named = set(re.findall(r"/usr/bin/(tern[a-z-]*)", text))
    assert named and named <= set(PROGRAMS), f"{name}: {named}"
    # stands for programs that are not installed here
    instance = os.path.join(folder, name.replace("@", "@check"))
    with open(instance, "w", encoding="utf-8") as file:
        file.write(re.sub(r"/usr/bin/tern[a-z-]*", shutil.which("true"), text))
    said = run("verify", "--man=no", instance)
    assert said.returncode == 0 and not said.stdout.strip(), f"{name}: {said.stdout}"
    limit = EXPOSURE_MAX[name]
    said = run("security", "--offline=true", "--no-pager", f"--threshold={limit}", instance)
    if "unrecognized option" in said.stdout:
        return "(not rated: systemd is older than 250)"
    assert said.returncode == 0, f"{name} is more open than {limit / 10}:\n{said.stdout}"
    return re.findall(r"exposure level[^:]*: ([0-9.]+)", said.stdout)[-1]


def run(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "SYSTEMD_COLORS": "0"})


def account(folder):
    """Users, groups and folders, made in a root of their own."""
    root = os.path.join(folder, "root")
    os.makedirs(os.path.join(root, "etc"))
    for program, name in (("systemd-sysusers", "tern.sysusers"), ("systemd-tmpfiles", "tern.tmpfiles")):
        if not shutil.which(program):
            continue
        arguments = ["--create"] if program == "systemd-tmpfiles" else []
        done = subprocess.run([program, f"--root={root}", *arguments, os.path.abspath(os.path.join(UNITS, name))],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, f"{name}: {done.stdout}"
    if os.path.exists(os.path.join(root, "etc", "group")):
        with open(os.path.join(root, "etc", "group"), encoding="utf-8") as file:
            groups = {line.split(":")[0] for line in file}
        assert {"tern", "tern-operator", "tern-risk"} <= groups, groups
