#!/usr/bin/env python3
"""Compares our ITCH decode with that of itchfeed (PyPI), message for message, field for field.

usage: itch_decode.py DUMP_BINARY FILE...

DUMP_BINARY is the `itch_dump` example of tern-venues. A type that itchfeed does not know is counted and named; any
other difference ends the check with exit code 1.
"""

import re
import struct
import subprocess
import sys

from itch.messages import messages as THEIRS

FIELD = re.compile(r'U(?:16|32|64)\((\d+)\)|: (\d+)ns|"((?:[^"\\]|\\.)*)"|: (\d+)(?=[,} ])')


def frames(data):
    """The messages of a file; a zero length prefix means: by the type's own length."""
    at = 0
    while at + 2 <= len(data):
        length = struct.unpack_from("!H", data, at)[0]
        kind = data[at + 2:at + 3]
        if length == 0:
            if kind not in THEIRS:
                raise SystemExit(f"byte {at}: type {kind!r} without a length")
            length = struct.calcsize(THEIRS[kind].message_format) + 1
        yield data[at + 2:at + 2 + length]
        at += 2 + length


def their_values(raw):
    """What itchfeed reads: locate, tracking number, time, then the fields in the message's order."""
    kind = THEIRS[raw[:1]]
    message = kind(raw)
    locate, tracking, high, low, *fields = struct.unpack(kind.message_format, raw[1:])
    # its own object must agree with its own table
    assert (message.stock_locate, message.tracking_number) == (locate, tracking)
    values = [locate, tracking, message.timestamp]
    assert values[2] == high << 32 | low
    for field in fields:
        if isinstance(field, bytes):
            values.append(field[0] if len(field) == 1 else field)
        else:
            values.append(field)
    return values


def our_values(line):
    """The same from one line of the dump."""
    body = line[line.index("stock_locate"):]
    values = []
    for number, stamp, text, small in FIELD.findall(body):
        if number or stamp or small:
            values.append(int(number or stamp or small))
        else:
            values.append(text.encode().decode("unicode_escape").encode("latin-1"))
    return values


def widen(values):
    """Single characters count as numbers on both sides."""
    return [value[0] if isinstance(value, bytes) and len(value) == 1 else value for value in values]


def compare(dump, path):
    with open(path, "rb") as file:
        data = file.read()
    ours = subprocess.Popen([dump, path], stdout=subprocess.PIPE, text=True)
    agreed, unknown, by_type = 0, {}, {}
    for index, raw in enumerate(frames(data)):
        line = ours.stdout.readline()
        kind = raw[:1].decode("latin-1")
        if raw[:1] not in THEIRS:
            unknown[kind] = unknown.get(kind, 0) + 1
            continue
        theirs, mine = widen(their_values(raw)), widen(our_values(line))
        if theirs != mine:
            raise SystemExit(f"{path}: message {index} ({kind}) differs\n  itchfeed {theirs}\n  ours     {mine}\n  {line}")
        agreed += 1
        by_type[kind] = by_type.get(kind, 0) + 1
    if ours.stdout.readline() or ours.wait() != 0:
        raise SystemExit(f"{path}: our dump has more lines than the file has messages, or failed")
    if agreed == 0:
        raise SystemExit(f"{path}: no message was compared")
    types = " ".join(f"{kind} {count}" for kind, count in sorted(by_type.items()))
    print(f"{path.rsplit('/', 1)[-1]}: {agreed} messages agree ({types})" +
          (f"; unknown to itchfeed: {unknown}" if unknown else ""))


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for path in sys.argv[2:]:
        compare(sys.argv[1], path)


if __name__ == "__main__":
    main()
