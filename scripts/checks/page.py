"""The page for people, in a real browser, while Tern trades."""

import html
import os
import re
import shutil

import session

LISTEN = "127.0.0.1:9464"
# so that rates and the latency of two seconds at least are drawn
LOOKS_MS = 6000
SCREENSHOT = "page.png"


def browser():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "no Chromium on this host: `scripts/setup --test` installs it"
    return found


def look(out, *arguments):
    """What the browser says of the page after `LOOKS_MS`."""
    # As root it has no sandbox of its own; what it loads is ours, in a namespace without a way out.
    return session.sandbox.run(browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                               f"--user-data-dir={os.path.join(out, 'browser')}", "--window-size=1400,1900",
                               f"--timeout={LOOKS_MS}", *arguments, f"http://{LISTEN}/")


def table(dom, name):
    """The texts of the rows of the table in the place `name`."""
    place = re.search(rf'<div id="{name}">(.*?)</div>', dom, re.S)
    assert place, f"no place `{name}` in the page: {dom[:2000]}"
    rows = re.findall(r"<tr>(.*?)</tr>", place.group(1), re.S)[1:]
    return [[html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.S)] for row in rows]


def page(out, _options):
    with session.Session(out, "--seconds", 40, "--rate", 4000, "--set", f'metrics.listen="{LISTEN}"', "--set", "metrics.page=true",
                         capture=False) as today:
        today.start()
        today.wait_orders(200)
        dom = look(out, "--dump-dom")
        state = re.search(r'<p id="state".*?>(.*?)</p>', dom).group(1)
        assert state == "trading", f"the page says `{state}` while Tern trades"
        positions, feeds, strategies = table(dom, "positions"), table(dom, "feeds"), table(dom, "strategies")
        assert positions and all(len(row) == 3 for row in positions), positions
        assert feeds and all(row[1] == "yes" for row in feeds), feeds
        assert sorted(row[0] for row in strategies) == ["maker", "taker"], strategies
        counters = {row[0] + row[1]: row[3] for row in table(dom, "counters")}
        assert counters["tern_messages_total"] != "0", counters
        assert dom.count("<canvas") == 2, "two plots"
        picture = os.path.join(out, SCREENSHOT)
        look(out, f"--screenshot={picture}")
        drawn = os.path.getsize(picture)
        assert drawn > 40_000, f"{picture}: {drawn} bytes, an empty page?"

        today.tern.tern("kill")
        killed = look(out, "--dump-dom")
        assert '<p id="state" role="status" class="bad">killed</p>' in killed, re.search(r'<p id="state".*?</p>', killed).group(0)
        assert any(row[0] == "killed" for row in table(killed, "alerts")), table(killed, "alerts")
        return (f"{len(positions)} positions, {len(feeds)} feeds, {len(counters)} counters, 2 plots; `killed` and its alert after `tern kill`; "
                f"{SCREENSHOT} of {drawn} bytes")
