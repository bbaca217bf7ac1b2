"""Compares what our journal says with what the exchange's own log says, from the two files alone.

Neither side's totals are believed: orders are compared message by message, positions and cash are summed here from the
executions of each side and then held against what each side claims.
"""

import json
import subprocess
from collections import Counter, defaultdict

ORDER_KINDS = {"O": "new", "U": "replace", "X": "cancel"}
TAKE_BACK = ("kill", "shutdown", "set_state")


def takes_back(command):
    return command["kind"] in TAKE_BACK or command.get("pulse") in ("silent", "lost")


class Journal:
    """The order side of a journal, read through `tern journal cat --json`; of one day of several, what comes `after` a record:
    order ids begin anew with each day."""

    def __init__(self, tern, config, after=0):
        self.orders, self.fills, self.broken, self.events = [], {}, set(), []
        self.claimed, self.recalled, self.adjusted = {}, set(), defaultdict(lambda: [0, 0])
        # Order messages that a kill or a lost connection took back before TCP had them: the record of how many of the
        # last messages were unsent comes right before the record of the kill.
        self.taken_back, unsent = [], 0
        symbols = {}
        for record in cat(tern, config, "order,order_event,position,conn,command,adjustment"):
            kind, body = record["kind"], record["body"]
            if record["seq"] <= after:
                continue
            if unsent and (kind == "command" and takes_back(body) or kind == "conn" and body["event"] == "down"):
                self.taken_back += [sent_key(order) for order in self.orders[-unsent:]]
            if kind in ("order", "command") or kind == "conn" and body["event"] != "ring_room":
                unsent = body["value"] if kind == "conn" and body["event"] == "unsent" else 0
            if kind == "order":
                symbols[body["instrument"]] = body["symbol"]
                self.orders.append(body | {"tai_ns": record["tai_ns"], "seq": record["seq"]})
            elif kind == "position":
                symbols[body["instrument"]] = body["symbol"]
                self.claimed[body["account"], body["strategy"], body["symbol"]] = body
            elif kind == "adjustment":
                self.adjustment(body)
            elif kind == "order_event":
                self.event(body | {"seq": record["seq"]})

    def adjustment(self, told):
        shares = told["quantity"] if told["side"] == "buy" else -told["quantity"]
        self.adjusted[told["symbol"]][0] += shares
        self.adjusted[told["symbol"]][1] -= shares * told["price"]

    def event(self, event):
        self.events.append(event)
        if event["kind"] == "executed":
            # a replayed session log says executions again: one match and order is one fill
            self.fills.setdefault((event["order"], event["match_number"]), event)
        elif event["kind"] == "broken":
            self.broken.add((event["order"], event["match_number"]))
        elif event["session_seq"] == 0 and event["kind"] in ("canceled", "replace_rejected"):
            self.recalled.add(event["order"])

    def symbol_of(self):
        """Order id -> symbol and side, through the chain of replaces."""
        known = {}
        for order in self.orders:
            if order["action"] in ("new", "replace"):
                known[order["order"]] = (order["symbol"], order["side"])
        return known

    def positions(self):
        """Shares and cash a symbol, summed from the executions."""
        known, totals = self.symbol_of(), defaultdict(lambda: [0, 0])
        for key, fill in self.fills.items():
            if key in self.broken:
                continue
            symbol, side = known.get(fill["order"], ("?", fill["side"]))
            sign = 1 if side == "buy" else -1
            totals[symbol][0] += sign * fill["quantity"]
            totals[symbol][1] -= sign * fill["quantity"] * fill["price"]
        return {symbol: tuple(value) for symbol, value in totals.items() if value != [0, 0] or True}

    def claimed_positions(self):
        """What the position records say, strategies added up, less the trades that people told: the venue has none of those."""
        totals = defaultdict(lambda: [0, 0])
        for symbol, (shares, cash) in self.adjusted.items():
            totals[symbol] = [-shares, -cash]
        for (_, _, symbol), body in self.claimed.items():
            totals[symbol][0] += body["shares"]
            totals[symbol][1] += body["cash"]
        return {symbol: tuple(value) for symbol, value in totals.items()}


class Exchange:
    """The exchange's log; of one account where `account` names it."""

    def __init__(self, path, account=None):
        self.account = account
        self.orders, self.fills, self.breaks, self.claimed, self.totals = [], [], set(), {}, None
        self.seed = None
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                self.line(json.loads(line))
        if self.totals is None:
            raise RuntimeError(f"{path}: the exchange's log has no last line; it did not end cleanly")

    def line(self, entry):
        kind = entry["type"]
        if self.account and entry.get("account", self.account) != self.account:
            return
        if kind == "received" and entry["fields"]["kind"] in ORDER_KINDS:
            self.orders.append(entry)
        elif kind == "execution":
            self.fills.append(entry)
        elif kind == "break":
            self.breaks.add((entry["user_ref"], entry["match_number"]))
        elif kind == "position":
            self.claimed[entry["stock"].strip()] = (entry["position"], entry["cash"])
        elif kind == "start":
            self.seed = entry["seed"]
        elif kind == "end":
            self.totals = entry["totals"]

    def positions(self):
        """Shares and cash a symbol, summed from the executions."""
        totals = defaultdict(lambda: [0, 0])
        for fill in self.fills:
            totals[fill["stock"].strip()]  # a symbol whose trades were all broken still counts as traded
            if (fill["user_ref"], fill["match_number"]) in self.breaks:
                continue
            sign = 1 if fill["side"] == "B" else -1
            totals[fill["stock"].strip()][0] += sign * fill["shares"]
            totals[fill["stock"].strip()][1] -= sign * fill["shares"] * fill["price"]
        return {symbol: tuple(value) for symbol, value in totals.items()}


def cat(tern, config, kinds):
    """Records of the journal, one at a time."""
    command = [tern, "--config", config, "--json", "journal", "cat", "--kind", kinds]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            yield json.loads(line)
        error = process.stderr.read()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}: {error.strip()}")


def sent_key(order):
    """An order message of the journal, as the exchange must have read it."""
    action = order["action"]
    number = order["order"]
    if action == "cancel":
        return action, number, None, order["quantity"], None, None
    original = order["replaces"] if action == "replace" else None
    symbol = order["symbol"].strip() if action == "new" else None
    return action, number, original, order["quantity"], order["price"], symbol


def received_key(entry):
    """An order message of the exchange's log in the same form."""
    fields = entry["fields"]
    action = ORDER_KINDS[fields["kind"]]
    if action == "cancel":
        return action, fields["user_ref"], None, fields["quantity"], None, None
    original = fields.get("original_user_ref") if action == "replace" else None
    symbol = fields["stock"].strip() if action == "new" else None
    return action, fields["user_ref"], original, fields["quantity"], fields["price"], symbol


def orders(journal, exchange):
    """Order messages that only one side has: (only in the journal, only at the exchange)."""
    ours = Counter(sent_key(order) for order in journal.orders)
    theirs = Counter(received_key(entry) for entry in exchange.orders)
    return list((ours - theirs).elements()), list((theirs - ours).elements())


def without(messages, explained):
    """Those of `messages` that are not among `explained`, each as often as it is more often there."""
    return list((Counter(messages) - Counter(explained)).elements())


def differences(ours, theirs):
    """Symbols on which two maps of (shares, cash) differ; a symbol that is absent counts as flat."""
    flat = (0, 0)
    return {symbol: (ours.get(symbol, flat), theirs.get(symbol, flat))
            for symbol in sorted(set(ours) | set(theirs)) if ours.get(symbol, flat) != theirs.get(symbol, flat)}


def self_trades(exchange):
    """Match numbers under which the exchange has executions of ours on both sides."""
    sides = defaultdict(set)
    for fill in exchange.fills:
        sides[fill["match_number"]].add(fill["side"])
    return sorted(number for number, both in sides.items() if len(both) > 1)


def story(journal, exchange):
    """What the issue of a lively market is made of: partial fills, replaces that lost priority, cancels that lost."""
    symbols = journal.symbol_of()
    partial = sum(1 for fill in journal.fills.values() if fill["leaves"] > 0)
    traded = {symbols[fill["order"]][0] for fill in journal.fills.values() if fill["order"] in symbols}
    # A replace that changed the price, or asked for more, goes to the back of the queue.
    by_id = {order["order"]: order for order in journal.orders if order["action"] in ("new", "replace")}
    accepted = {event["order"] for event in journal.events if event["kind"] == "replaced"}
    lost_priority = sum(
        1 for order in journal.orders
        if order["action"] == "replace" and order["order"] in accepted and order["replaces"] in by_id
        and (order["price"] != by_id[order["replaces"]]["price"] or order["quantity"] > by_id[order["replaces"]]["quantity"]))
    # A cancel that arrived after the order was gone is ignored in silence; the exchange's log says so.
    lost_cancels = sum(1 for entry in exchange.orders if entry["fields"]["kind"] == "X" and entry["outcome"] == "ignored")
    return {"partial_fills": partial, "symbols_traded": len(traded), "replaces_lost_priority": lost_priority,
            "cancels_lost_to_fill": lost_cancels}
