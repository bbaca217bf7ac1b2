"""What people do by hand on real processes: an order that rests and is cancelled, one that trades, a flatten, positions that are set
right and stay so over a crash, and what the records say."""

import json

import compare
import session

DESK = 9
# Time in force of OUCH 5.0: immediate or cancel.
IOC = "3"


def by_hand(out, _options):
    with session.Session(out, "--seconds", 18, "--rate", 3000, "--exchange-option=--linger-ms=1500", capture=False) as today:
        configure(today)
        today.start()
        today.wait_orders(100)
        why = ("--why", "a check")
        symbol, price, resting = at_rest(today, why)
        asked = ("order", "send", "--symbol", symbol, "--shares", "10", *why)
        refused = today.tern.tern(*asked, "--side", "buy", "--price", money(price * 2), check=False)
        assert refused["outcome"] == "refused" and refused["reason"] == "collar", refused
        today.wait("the order rests at the venue", lambda: order_of(today, resting).get("life") == "open")
        assert order_of(today, resting)["by_hand"]["why"] == "a check", order_of(today, resting)
        today.tern.tern("order", "cancel", str(resting), *why)
        today.wait("it is cancelled", lambda: order_of(today, resting).get("life") == "closed")
        taken = today.tern.tern(*asked, "--side", "buy", "--price", money(price * 101 // 100), "--tif", "ioc", check=False)
        # It trades at once, unless the maker's own sale is in the way there.
        assert taken["outcome"] == "sent" or taken["reason"] == "self_trade", taken
        for order in taken["orders"]:
            today.wait("the order that crosses is over", lambda order=order: order_of(today, order).get("life") == "closed")
        held = held_by_firm(today)
        flat = today.tern.tern("flatten", "--all", "--timeout-ms", "5000", *why, check=False)
        assert flat["outcome"] in ("flat", "left"), flat
        # Opposite positions of strategies stay: what the firm as a whole holds is what a flatten is for.
        left = held_by_firm(today)
        assert held and sum(map(abs, left.values())) * 10 <= sum(map(abs, held.values())), (held, left)
        turned = [symbol for symbol, shares in left.items() if shares * held.get(symbol, 0) < 0]
        assert not turned, f"through zero: {turned}: {held} {left}"
        scopes = {scope["scope"]: scope["state"] for scope in today.status()["restricted"]}
        assert scopes == {"firm": "reduce_only"}, scopes
        today.close()
        today.tern.settle()
        today.tern.stop()
        journal, _ = today.consistent(cut=True)
        closing = [order for order in journal.orders if order["order"] in set(flat["orders"]) and order["action"] == "new"]
        assert len(closing) == len(flat["orders"]) > 0, (flat, closing)
        assert {order["time_in_force"] for order in closing} == {IOC}, closing[:3]
        own = [order for order in journal.orders if order["strategy"] == DESK]
        assert {order["order"] for order in own if order["action"] == "new"} >= {resting, *taken["orders"]}, own
        code, said = today.tern.replay()
        outcome = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        assert code == 0 and outcome["mismatches"] == 0, outcome
        found = today.tern.audit()
        assert found["disagreements"] == 0, found
        return (f"order {resting} by hand rested and was cancelled, one at twice the price was refused ({refused['reason']}); one that crosses: {taken['outcome']} {taken['reason'] or ''}; "
                f"the firm flattened with {len(closing)} orders from {sum(map(abs, held.values()))} shares net in {len(held)} symbols to "
                f"{sum(map(abs, left.values()))}, none through zero ({flat['outcome']}); replay and second opinion agree")


def adjusted(out, _options):
    """Trades that only people know of: through the gate, also while trading is stopped, and still there when the data plane died."""
    with session.Session(out, "--seconds", 30, "--rate", 3000, "--exchange-option=--linger-ms=1500", capture=False) as today:
        today.start()
        today.wait_orders(100)
        symbol, price = traded(today)[0]
        entered = compare.Journal(today.tern.binary("tern"), today.tern.config).orders
        strategy = next(order["strategy"] for order in entered if order["symbol"].strip() == symbol)
        asked = ("positions", "adjust", "--symbol", symbol, "--strategy", str(strategy), "--why", "a check")
        near = ("--price", money(price))
        refused = today.tern.tern(*asked, "--side", "buy", "--shares", "7", "--price", money(price * 2), check=False)
        assert refused["outcome"] == "refused" and refused["reason"] == "collar", refused
        looked = today.tern.tern(*asked, "--side", "buy", "--shares", "7", *near, "--dry-run")
        assert looked["outcome"] == "passes" and not looked["done"], looked
        told = today.tern.tern(*asked, "--side", "buy", "--shares", "7", *near)
        assert told["outcome"] == "adjusted", told
        today.tern.tern("kill")
        stopped = today.tern.tern(*asked, "--side", "sell", "--shares", "3", *near)
        assert stopped["outcome"] == "adjusted", stopped
        today.tern.settle()
        pid, runs = today.pid(), today.status()["run"]
        session.kill(pid)
        today.wait("another data plane", lambda: today.pid() not in (0, pid) and today.status()["run"] > runs, 30)
        # until the venue's log is read it is refused; then the trades that were told are still part of what is held
        early = []

        def again():
            early.append(today.tern.tern(*asked, "--side", "buy", "--shares", "5", *near, check=False))
            return early[-1].get("outcome") == "adjusted"
        today.wait("a further trade is told", again, 30)
        assert all(said.get("outcome") in ("unread", "adjusted", None) for said in early), early
        assert today.tern.tern("recover")["comparison"]["agreed_or_accepted"]
        today.close()
        today.tern.settle()
        today.tern.stop()
        journal, theirs = today.consistent(cut=True)
        assert tuple(journal.adjusted[symbol]) == (9, -9 * cent(price)), journal.adjusted
        venues = theirs.positions().get(symbol, (0, 0))
        ours = [sum(body[key] for (_, _, name), body in journal.claimed.items() if name == symbol) for key in ("shares", "cash")]
        assert ours == [venues[0] + 9, venues[1] - 9 * cent(price)], (ours, venues)
        said = today.tern.tern("positions")
        assert said["told_by_hand"] == 3 and not said["mismatches"], said["mismatches"]
        recovered = today.tern.tern("recover", check=False)
        assert recovered["comparison"]["agreed_or_accepted"], recovered
        code, said = today.tern.replay()
        outcome = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        assert code == 0 and outcome["mismatches"] == 0, outcome
        found = today.tern.audit()
        assert found["disagreements"] == 0, found
        return (f"{symbol}: 7 bought, 3 sold while killed, 5 bought after a SIGKILL of the data plane: the position is the venue's and 9 "
                f"shares; at twice the price refused ({refused['reason']}); the restart agrees, replay and second opinion too")


def at_rest(today, why):
    """An order to buy 3 % below an order of ours, in the first symbol in which that may be: its symbol, the price it is below, its number.

    In one of 25 symbols it may not: there what our order was priced by is itself some percent from the reference of the collar, or
    our own maker sells below.
    """
    for symbol, price in traded(today):
        asked = ("order", "send", "--symbol", symbol, "--shares", "10", "--side", "buy", "--price", money(price * 97 // 100), *why)
        looked = today.tern.tern(*asked, "--dry-run", check=False)
        sent = today.tern.tern(*asked, check=False) if looked["outcome"] == "passes" else looked
        assert not looked["orders"] and not looked["done"], looked
        if sent["outcome"] == "sent":
            return symbol, price, sent["orders"][0]
        assert sent["outcome"] == "refused" and sent["reason"] in ("collar", "self_trade"), sent
    raise RuntimeError("an order 3 % below the market is refused in each symbol that is traded")


def held_by_firm(today):
    """Shares a symbol that the firm holds on balance, by the journal."""
    today.tern.settle()
    totals = compare.Journal(today.tern.binary("tern"), today.tern.config).positions()
    return {symbol: shares for symbol, (shares, _) in totals.items() if shares}


def configure(today):
    """Adds the strategy that orders by hand belong to."""
    with open(today.tern.config, "a", encoding="utf-8") as file:
        file.write(f'\n[[strategy]]\nname = "manual"\nid = {DESK}\ntrader = 9\n')


def traded(today):
    """The symbols that are traded, the latest first, each with a price near its market, 1/10000."""
    today.tern.settle()
    journal = compare.Journal(today.tern.binary("tern"), today.tern.config)
    entered = [order for order in journal.orders if order["action"] == "new" and order["price"] > 50000]
    latest = {}
    for order in reversed(entered):
        latest.setdefault(order["symbol"].strip(), order["price"])
    return list(latest.items())


def money(price):
    """On a whole cent."""
    return f"{price // 100 / 100:.2f}"


def cent(price):
    """As `money` rounds it, 1/10000."""
    return price // 100 * 100


def order_of(today, number):
    today.tern.settle()
    rows = today.tern.tern("orders", "--all", "--limit", "100000")["orders"]
    return next((row for row in rows if row["order"] == number), {})
