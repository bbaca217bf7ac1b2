"""Two trading days with a roll between them: what is held goes over with its cost, a split included, and both days' logs of the
exchange add up to what is held in the end."""

import datetime
import json
import os
import tomllib

import compare
import session
import venue

# the venue's date where its day is furthest behind, and furthest ahead: never the same
FIRST, SECOND = "-12:00", "+14:00"


def overnight(out, _options):
    # what the venue breaks after the last logout, nobody tells us: no breaks, as the days' sums would not be ours
    with session.Session(out, "--seconds", 20, "--exchange-option=--linger-ms=1500", "--exchange-option=--break-percent=0", "--set", f'session.utc_offset="{FIRST}"',
                         capture=False) as today:
        today.start()
        today.wait("positions are held", lambda: len(held(positions(today))) >= 20 and venue.orders_sent(today.counters()["loop"]) >= 1000)
        flow = end_of_day(today)
        ended = positions(today)
        symbol = split(out, ended)
        opening, rolled = f"{out}/opening.toml", f"{out}/too-early.toml"
        refused = today.tern.tern("positions", "roll", "--to", rolled, "--date", str(date(FIRST)), check=False)
        assert not refused and not os.path.exists(rolled), f"rolled to the day that ends: {refused}"
        said = today.tern.tern("positions", "roll", "--to", opening, "--date", str(date(SECOND)), "--splits", f"{out}/splits.toml")
        assert said["clean_stop"] and not said["splits_unused"], said
        with open(opening, "rb") as file:
            at_open = {(found["strategy"], found["symbol"]): (found["shares"], found["cost"]) for found in tomllib.load(file)["position"]}
        times = {symbol: 2}
        assert at_open == {key: (shares * times.get(key[1], 1), cost) for key, (shares, cost, _) in held(ended).items()}, "rolled otherwise"

        begin(today, out, opening)
        now = positions(today)
        assert {key: value[:2] for key, value in now.items()} == at_open, f"the day begins with {now}"
        assert not any(realized for _, _, realized in now.values()), f"profit before anything traded: {now}"
        gross = next(limit for limit in today.tern.tern("risk", "show")["limits"] if limit["limit"] == "gross_max")
        assert gross["used"] > 0, f"what was held overnight is in no limit: {gross}"
        today.open()
        today.wait_orders(500)
        more = end_of_day(today)
        final = positions(today)
        for name in sorted(set(flow) | set(more)):
            both = add_up(name, flow.get(name, (0, 0)), more.get(name, (0, 0)), times.get(name, 1))
            ours = sums(name, final)
            profit = sums(name, ended)[2] + ours[2]
            assert (ours[0], profit - ours[1]) == both, f"{name}: {ours} held, profit {profit}; both logs add up to {both}"
        outcome = json.loads(today.tern.replay()[1].splitlines()[0])
        assert (outcome["runs"], outcome["mismatches"], outcome["shed"]) == (2, 0, 0), outcome
        found = today.tern.audit()
        assert found["disagreements"] == 0, found["found"]
        return (f"{len(at_open)} positions over the day's end with their cost ({symbol} split 2:1), in every limit before the open; "
                f"{len(held(final))} at the end of the second day: shares and profit are what both logs of the exchange add up to in "
                f"{len(set(flow) | set(more))} symbols; two days replay byte for byte")


def date(offset):
    """The venue's date, where its time is so far from UTC."""
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=int(offset[:3]))).date()


def positions(today):
    """What `tern positions` says: by strategy and symbol, shares, what they cost, realized profit of the day."""
    said = today.tern.tern("positions")
    return {(position["strategy"], position["symbol"]): (position["shares"], position["cost"], position["realized"])
            for position in said["positions"]}


def held(found):
    return {key: value for key, value in found.items() if value[0]}


def sums(symbol, found):
    """Shares, cost and realized profit of a symbol over strategies."""
    of = [value for (_, name), value in found.items() if name == symbol]
    return tuple(sum(column) for column in zip(*of)) if of else (0, 0, 0)


def add_up(symbol, first, second, times):
    return first[0] * times + second[0], first[1] + second[1]


def split(out, ended):
    """A symbol that is held, split two for one."""
    symbol = sorted(name for (_, name) in held(ended))[0]
    with open(f"{out}/splits.toml", "w", encoding="utf-8") as file:
        file.write(f'{symbol} = "2:1"\n')
    return symbol


def end_of_day(today):
    """Ternd stops in order, then the exchange ends its day; what the exchange says of each symbol."""
    today.tern.settle()
    today.tern.stop()
    today.close()
    began = max(record["seq"] for record in compare.cat(today.tern.binary("tern"), today.tern.config, "start"))
    journal = compare.Journal(today.tern.binary("tern"), today.tern.config, began)
    theirs = compare.Exchange(today.exchange.orders_log)
    only_ours, only_theirs = compare.orders(journal, theirs)
    assert not only_theirs and not compare.without(only_ours, journal.taken_back), (only_ours[:5], only_theirs[:5])
    differ = compare.differences(journal.positions(), theirs.positions())
    assert not differ, f"executions differ (ours, exchange): {dict(list(differ.items())[:5])}"
    assert theirs.fills, "nothing traded"
    return theirs.positions()


def begin(today, out, opening):
    """The next day: its date, what is held, another exchange."""
    with open(today.tern.config, encoding="utf-8") as file:
        text = file.read()
    text = venue.with_setting(text.replace(FIRST, SECOND), f'opening.file="{opening}"')
    with open(today.tern.config, "w", encoding="utf-8") as file:
        file.write(text)
    folder = os.path.join(out, "second")
    os.makedirs(folder)
    today.exchange = venue.Exchange(today.options, folder, today.network)
    today.exchange.options.exchange_option.append("--session=TERN000002")
    today.tern.log += "+"
    today.tern.start()
    today.wait("a data plane of the new day", today.pid)
    today.tern.settle()
