"""What people do by hand on real processes: an order that rests and is cancelled, one that trades, a flatten, and what the records say."""

import json

import compare
import session

DESK = 9


def by_hand(out, _options):
    with session.Session(out, "--seconds", 9, "--rate", 3000, "--exchange-option=--linger-ms=1500", capture=False) as today:
        configure(today)
        today.start()
        today.wait_orders(100)
        symbol, price = busiest(today)
        why = ("--why", "a check")
        asked = ("order", "send", "--symbol", symbol, "--shares", "10", *why)
        looked = today.tern.tern(*asked, "--side", "buy", "--price", money(price * 97 // 100), "--dry-run")
        assert looked["outcome"] == "passes", looked
        refused = today.tern.tern(*asked, "--side", "buy", "--price", money(price * 2), check=False)
        assert refused["outcome"] == "refused" and refused["reason"] == "collar", refused
        resting = today.tern.tern(*asked, "--side", "buy", "--price", money(price * 97 // 100))["orders"][0]
        today.wait("the order rests at the venue", lambda: order_of(today, resting).get("life") == "open")
        assert order_of(today, resting)["by_hand"]["why"] == "a check", order_of(today, resting)
        today.tern.tern("order", "cancel", str(resting), *why)
        today.wait("it is cancelled", lambda: order_of(today, resting).get("life") == "closed")
        flat = today.tern.tern("flatten", "--strategy", "maker", "--timeout-ms", "4000", *why, check=False)
        assert flat["outcome"] in ("flat", "left"), flat
        scopes = {scope["scope"]: scope["state"] for scope in today.status()["restricted"]}
        assert scopes == {"strategy:maker": "reduce_only"}, scopes
        today.wait_closed()
        today.tern.settle()
        today.tern.stop()
        journal, _ = today.consistent(cut=True)
        closing = [order for order in journal.orders if order["order"] in set(flat["orders"])]
        assert closing and all(order["strategy"] == 1 and order["action"] == "new" for order in closing), flat
        own = [order for order in journal.orders if order["strategy"] == DESK]
        assert {order["order"] for order in own if order["action"] == "new"} == {resting}, own
        code, said = today.tern.replay()
        outcome = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        assert code == 0 and outcome["mismatches"] == 0, outcome
        found = today.tern.audit()
        assert found["disagreements"] == 0, found
        return (f"order {resting} by hand rested and was cancelled, one at twice the price was refused ({refused['reason']}); the maker "
                f"flattened with {len(closing)} orders: {flat['outcome']}, {flat['count']} left; replay and second opinion agree")


def configure(today):
    """Adds the strategy that orders by hand belong to."""
    with open(today.tern.config, "a", encoding="utf-8") as file:
        file.write(f'\n[[strategy]]\nname = "manual"\nid = {DESK}\ntrader = 9\n')


def busiest(today):
    """A symbol that is traded, and a price near its market, 1/10000."""
    today.tern.settle()
    journal = compare.Journal(today.tern.binary("tern"), today.tern.config)
    entered = [order for order in journal.orders if order["action"] == "new" and order["price"] > 50000]
    return entered[-1]["symbol"].strip(), entered[-1]["price"]


def money(price):
    """On a whole cent."""
    return f"{price // 100 / 100:.2f}"


def order_of(today, number):
    today.tern.settle()
    rows = today.tern.tern("orders", "--all", "--limit", "100000")["orders"]
    return next((row for row in rows if row["order"] == number), {})
