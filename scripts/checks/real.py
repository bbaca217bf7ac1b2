#!/usr/bin/env python3
"""The demo on each real ITCH file, against what the file's own bytes say.

Each file runs twice. Under --observe, a message a datagram: what the loop was sent is the file byte for byte, the books
at the end are those of the file order by order, unknown references are counted as they are there, and each book loses
trust with the very message that names the first one. Trading: no order before the venue says that the symbol trades,
none after its book lost trust.
"""

import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "scripts", "lib"))

import itch  # noqa: E402
import venue  # noqa: E402

SHARED = os.environ.get("TERN_SHARED", os.path.join(ROOT, "..", "shared"))

# What is known of each file, so that a reader that reads nothing cannot agree with itself.
# types: messages by type; unknown: references that no message of the file added; first: symbol -> message that names the
# first such reference (the file is a sample: what added the order was left out); trading: symbols whose state is T;
# orders: whether we send any.
EXPECTED = {
    "nasdaq-start-of-day-1000.itch": {
        "types": {"S": 1, "R": 993, "H": 3, "Y": 3}, "symbols": 993, "live": 0, "unknown": 0, "first": {},
        "trading": 3, "orders": False, "why": "no order in the file, so no price",
    },
    "nasdaq-20191230-first-500-book-messages.itch": {
        "types": {"A": 495, "D": 4, "U": 1}, "symbols": 198, "live": 491, "unknown": 0, "first": {},
        "trading": 0, "orders": False, "why": "nothing in the file says that a symbol trades",
    },
    "bx-20191230-sampled-3-symbols.itch": {
        "types": {"S": 6, "R": 3, "H": 3, "A": 4997, "F": 3, "E": 198, "X": 45, "D": 1745, "U": 12, "P": 5000},
        "symbols": 3, "live": 3204, "unknown": 117, "first": {"BOB": 110, "CHAR": 402, "ALC": 2479},
        "trading": 3, "orders": True, "why": "until each book's first unknown reference",
    },
}


class Mismatch(Exception):
    """What was expected, what came."""


def expect(what, ours, theirs):
    if ours != theirs:
        raise Mismatch(f"{what}: {ours} instead of {theirs}")


def demo(path, out, *options):
    command = [sys.executable, os.path.join(ROOT, "scripts", "lib", "demo.py"), "--itch", path, "--out", out, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Mismatch(f"the demo failed (exit {done.returncode}):\n{done.stdout[-3000:]}\n{done.stderr[-1000:]}")
    with open(os.path.join(out, "report.json"), encoding="utf-8") as file:
        return json.load(file)


def journal(out, kind, *options):
    """Records of one kind."""
    command = [venue.binary("tern"), "--config", os.path.join(out, "tern.toml"), "--json", "journal", "cat", "--kind", kind]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode != 0:
        raise Mismatch(f"tern journal cat: exit {process.returncode}")


def published(out):
    """(journal record, message) of everything that the loop was sent, by the journal's raw datagrams."""
    for record in journal(out, "datagram", "--payload", "2000"):
        payload = bytes.fromhex(record["body"]["payload"])
        count, at = int.from_bytes(payload[18:20], "big"), 20
        for _ in range(count if count != 0xFFFF else 0):
            length = int.from_bytes(payload[at:at + 2], "big")
            yield record["seq"], payload[at + 2:at + 2 + length]
            at += 2 + length


def replayed(out, sequences):
    """Book dumps after these sequence numbers: (books, untrusted symbols by sequence number)."""
    target = os.path.join(out, "asked.jsonl")
    command = [venue.binary("tern-dataplane"), "--replay", os.path.join(out, "journal"), "--dump-to", target,
               "--dump-books", ",".join(map(str, sorted(sequences)))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Mismatch(f"the replay failed: {done.stdout}{done.stderr}")
    with open(target, encoding="utf-8") as file:
        ends = [entry for entry in map(json.loads, file) if entry.get("end")]
    return venue.read_dump(target)[0], {entry["sequence"]: entry["untrusted"] for entry in ends}


def observed(path, book, expected, out, seconds):
    """The file goes through untouched."""
    report = demo(path, out, "--observe", "--seconds", str(seconds), "--exchange-option=--datagram-messages=1")
    with open(path, "rb") as file:
        flow = list(itch.messages(file.read()))
    sent = [message for _, message in published(out)]
    expect("messages that reached the loop", len(sent), len(flow))
    if sent != flow:
        first = next(index for index, (ours, theirs) in enumerate(zip(sent, flow)) if ours != theirs)
        raise Mismatch(f"message {first + 1} is {sent[first].hex()} instead of {flow[first].hex()}")
    counters = report["counters"]["feed"]
    for name, count in (("messages", len(flow)), ("unknown_orders", book.unknown), ("duplicate_orders", 0), ("gaps", 0),
                        ("unknown_message_types", 0), ("trailing_bytes", 0), ("bad_fields", 0), ("book_full", 0),
                        ("unknown_instruments", 0)):
        expect(name, counters[name], count)
    expect("orders sent", report["orders"]["sent"], 0)
    last = len(flow)
    asked = {last} | {number + step for number in book.first_unknown.values() for step in (-1, 0)}
    books, untrusted = replayed(out, asked)
    for sequence in asked:
        lost = {symbol: "unknown_order" for symbol, number in book.first_unknown.items() if number <= sequence}
        expect(f"untrusted books after message {sequence}", untrusted[sequence], lost)
    ours = {(symbol, side): levels for (sequence, symbol, side), levels in books.items() if sequence == last}
    theirs = book.dump()
    different = [key for key in set(ours) | set(theirs) if ours.get(key) != theirs.get(key)]
    expect("sides that differ order by order", different, [])
    expect("live orders", sum(len(orders) for levels in ours.values() for _, orders in levels), expected["live"])
    return untrusted[last]


def traded(path, expected, out, seconds):
    """Orders only where and while they are allowed; what was sent, by symbol."""
    report = demo(path, out, "--seconds", str(seconds))
    book, allowed, lost = itch.Book(), {}, {}
    for seq, message in published(out):
        book.apply(message)
        for symbol, state in book.states.items():
            if state == "T":
                allowed.setdefault(symbol, seq)
        for symbol in book.first_unknown:
            lost.setdefault(symbol, seq)
    sent = {}
    for record in journal(out, "order"):
        symbol = record["body"]["symbol"].strip()
        if record["body"]["action"] == "cancel":
            continue
        sent[symbol] = sent.get(symbol, 0) + 1
        if symbol not in allowed or record["seq"] < allowed[symbol]:
            raise Mismatch(f"record {record['seq']}: an order in {symbol}, whose trading state was not T")
        if record["seq"] > lost.get(symbol, record["seq"]):
            raise Mismatch(f"record {record['seq']}: an order in {symbol}, whose book lost trust at record {lost[symbol]}")
    expect("whether orders were sent", bool(sent), expected["orders"])
    rejected = report["counters"]["session"]["venue_rejected"]
    if expected["orders"] and rejected * 10 > sum(sent.values()):
        raise Mismatch(f"{rejected} of {sum(sent.values())} orders were rejected by the venue")
    return sent


def check(name, out, seconds):
    path, expected = os.path.join(SHARED, "data", "itch", name), EXPECTED[name]
    book, _, _ = itch.read(path)
    expect("messages by type", book.counts, expected["types"])
    expect("symbols", len(book.symbols), expected["symbols"])
    expect("symbols in state T", sum(state == "T" for state in book.states.values()), expected["trading"])
    expect("unknown references", book.unknown, expected["unknown"])
    expect("first unknown reference", book.first_unknown, expected["first"])
    untrusted = observed(path, book, expected, os.path.join(out, name, "observe"), seconds)
    sent = traded(path, expected, os.path.join(out, name, "trade"), seconds)
    return row(book, expected, untrusted, sent)


def row(book, expected, untrusted, sent):
    def of(kinds):
        return sum(book.counts.get(kind, 0) for kind in kinds)

    trust = f"{len(book.symbols) - len(untrusted)} of {len(book.symbols)} books"
    if untrusted:
        trust += " (lost at " + ", ".join(f"{symbol} {number}" for symbol, number in book.first_unknown.items()) + ")"
    orders = " ".join(f"{symbol} {count}" for symbol, count in sorted(sent.items())) or "0"
    return [f"{book.number:,}", f"{of('AF'):,}/{of('D'):,}/{of('U')}/{of('EC')}/{of('X')}", f"{len(book.orders):,}",
            str(book.unknown), trust, f"{orders}: {expected['why']}"]


def skip(text):
    print(f"SKIP: {text}")
    path = os.environ.get("TERN_PRIVILEGED_LOG")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"skipped {text}\n")


def note(name):
    path = os.environ.get("TERN_PRIVILEGED_LOG")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"ran {name}\n")


def main():
    parser = argparse.ArgumentParser(prog="scripts/checks/real", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=4, help="how long a file's day takes (default 4)")
    parser.add_argument("--out", default=os.path.join(ROOT, "target", "real"), help="where files go (default target/real)")
    parser.add_argument("--only", metavar="TEXT", default="", help="files whose name has this in it")
    options = parser.parse_args()
    if os.geteuid() != 0:
        skip("the demo on real ITCH files needs root (namespaces, XDP)")
        return 0
    failed, rows = 0, [["file", "messages", "add/delete/replace/execute/cancel", "live at the end", "unknown references",
                        "trusted at the end", "our orders"]]
    for name in (name for name in EXPECTED if options.only in name):
        if not os.path.exists(os.path.join(SHARED, "data", "itch", name)):
            skip(f"{name} is not in {SHARED}/data/itch")
            continue
        try:
            rows.append([name.removesuffix(".itch"), *check(name, options.out, options.seconds)])
            note(f"real {name}")
        except Mismatch as mismatch:
            failed += 1
            print(f"FAIL {name}: {mismatch}")
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    for line in rows:
        print(" | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    print(f"real ITCH files: {len(rows) - 1} agree, {failed} do not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
