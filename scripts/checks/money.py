"""Fills that are wrong must be found; trades that are broken must not look wrong."""

import session


def wrong_fill(out, where):
    with session.Session(out, "--seconds", 3, f"--exchange-option=--wrong-fill={where}") as today:
        today.start()
        today.wait_closed()
        found = today.findings()
        bad = session.failed(found)
        assert "positions and cash" in bad, f"a wrong fill in the {where} was not found"
        assert found["mismatches"]["positions"] > 0 and found["mismatches"]["cash"] > 0, found["mismatches"]
        # What the venue told us wrong is in our journal: the second opinion sees more traded than was open.
        heard = where == "client"
        assert ("over_execution" in found["audit"]["kinds"]) == heard, found["audit"]
        assert not bad - {"positions and cash", "trading", *(["second opinion"] if heard else [])}, f"other comparisons failed too: {bad}"
        return (f"found: {found['mismatches']['positions']} position and {found['mismatches']['cash']} cash mismatches "
                f"among {found['fills']} fills; the demo would exit 1"
                f"{'; second opinion: ' + ', '.join(found['audit']['kinds']) if heard else ''}")


def wrong_fill_in_log(out, _options):
    return wrong_fill(out, "log")


def wrong_fill_to_client(out, _options):
    return wrong_fill(out, "client")


def broken_trades(out, _options):
    with session.Session(out, "--seconds", 4, "--exchange-option=--break-percent=5") as today:
        today.start()
        today.wait_closed()
        found = today.findings()
        session.require(found, but=("trading",))
        _, theirs = today.sides()
        assert len(theirs.breaks) >= 5, f"only {len(theirs.breaks)} trades were broken"
        return f"{len(theirs.breaks)} of {found['fills']} fills broken, positions and cash equal"
