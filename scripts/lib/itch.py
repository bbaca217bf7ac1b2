"""ITCH 5.0 as the checks read it: by the offsets of the specification, with nothing of the product's code."""

import struct

# Length of each type in bytes (TotalView-ITCH 5.0, sections 1.1 to 1.8), for files whose length prefixes are zero.
LENGTHS = {"S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40,
           "E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48}


def messages(data):
    """The messages of a file: each behind its length as 2 big-endian bytes; 0 stands for the type's own length."""
    at = 0
    while at + 2 < len(data):
        length = struct.unpack_from(">H", data, at)[0] or LENGTHS.get(chr(data[at + 2]))
        if length is None or at + 2 + length > len(data):
            raise ValueError(f"byte {at}: no ITCH message")
        yield data[at + 2:at + 2 + length]
        at += 2 + length


class Book:
    """Orders by reference, and what does not resolve. `symbols` holds what each locate was called."""

    def __init__(self):
        self.symbols, self.states, self.orders = {}, {}, {}
        self.counts = {}
        self.unknown = 0
        # symbol -> number of the first message (from 1) that named an order that nobody added
        self.first_unknown = {}
        self.number = 0

    def apply(self, message):
        self.number += 1
        kind = chr(message[0])
        self.counts[kind] = self.counts.get(kind, 0) + 1
        locate = int.from_bytes(message[1:3], "big")
        name_at = {"R": 11, "H": 11, "A": 24, "F": 24, "P": 24}.get(kind)
        if name_at and (kind == "R" or locate not in self.symbols):
            self.symbols[locate] = message[name_at:name_at + 8].decode("latin-1").rstrip()
        if kind == "H":
            self.states[self.symbols[locate]] = chr(message[19])
        elif kind in "AF":
            reference, side, shares = struct.unpack_from(">QcI", message, 11)
            self.orders[reference] = (locate, side, shares, int.from_bytes(message[32:36], "big"))
        elif kind in "ECXDU":
            self.change(kind, locate, message)

    def change(self, kind, locate, message):
        reference = int.from_bytes(message[11:19], "big")
        if reference not in self.orders:
            self.unknown += 1
            self.first_unknown.setdefault(self.symbols.get(locate, str(locate)), self.number)
            return
        of, side, shares, price = self.orders[reference]
        left = 0
        if kind == "U":
            # a new place at the end of the queue; without U an order keeps its place, here too
            new, shares, price = struct.unpack_from(">QII", message, 19)
            self.orders[new] = (of, side, shares, price)
        elif kind != "D":
            left = shares - int.from_bytes(message[19:23], "big")
        if left > 0:
            self.orders[reference] = (of, side, left, price)
        else:
            del self.orders[reference]

    def dump(self):
        """(symbol, side) -> [price, [[reference, shares], ...]] by price, orders in the order of their arrival."""
        books = {}
        for reference, (locate, side, shares, price) in self.orders.items():
            levels = books.setdefault((self.symbols[locate], side.decode()), {})
            levels.setdefault(price, []).append([reference, shares])
        return {key: sorted([price, orders] for price, orders in levels.items()) for key, levels in books.items()}


def read(path):
    """The book at the end of a file, and the times of its first and last message, ns since midnight."""
    with open(path, "rb") as file:
        data = file.read()
    book, first, last = Book(), None, 0
    for message in messages(data):
        book.apply(message)
        last = int.from_bytes(message[5:11], "big")
        first = last if first is None else first
    return book, first or 0, last
