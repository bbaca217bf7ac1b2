"""The page for people, in a real browser, while Tern trades."""

import os
import signal

import browser
import session

LISTEN = "127.0.0.1:9464"
SCREENSHOT = "page.png"
# So long that both plots have something to draw.
DRAWN_S = 8
ROWS = "[...document.querySelectorAll('#%s tbody tr, #%s tr')].slice(1).map(row => [...row.cells].map(cell => cell.textContent))"


def page(out, _options):
    with session.Session(out, "--seconds", 60, "--rate", 4000, "--set", f'metrics.listen="{LISTEN}"', "--set", "metrics.page=true",
                         capture=False) as today:
        today.start()
        today.wait_orders(200)
        shown = browser.Browser(today.network, today.network.HOST, out)
        try:
            return look(today, shown, out)
        finally:
            shown.close()


def look(today, shown, out):
    def state():
        return shown.value("document.getElementById('state')?.textContent")

    def table(name):
        return shown.value(ROWS % (name, name))

    def rates():
        return {name + labels: rate for name, labels, _, rate in table("counters")}

    shown.open(f"http://{LISTEN}/")
    today.wait("the page says that it trades", lambda: state() == "trading")
    today.wait("it has rates", lambda: rates().get("tern_messages_total", "0") != "0")
    positions, feeds, strategies = table("positions"), table("feeds"), table("strategies")
    assert positions and all(len(row) == 3 for row in positions), positions
    assert feeds and all(row[1] == "yes" for row in feeds), feeds
    assert sorted(row[0] for row in strategies) == ["maker", "taker"], strategies
    counters = len(table("counters"))
    today.wait("the plots have points", lambda: shown.value("before !== null && document.querySelectorAll('canvas').length === 2"))
    points = "document.querySelectorAll('.u-legend .u-series').length"
    assert shown.value(points) == 2 + 3 + 3, "time and three lines in each of two plots"
    shown.value(f"new Promise(done => setTimeout(done, {DRAWN_S * 1000}))")
    today.wait("time passed", lambda: shown.value("performance.now()") > DRAWN_S * 1000, DRAWN_S + 20, pause=0.5)
    drawn = shown.picture(os.path.join(out, SCREENSHOT))
    assert drawn > 40_000, f"{SCREENSHOT}: {drawn} bytes, an empty page?"

    today.tern.tern("kill")
    today.wait("the page says that it is killed", lambda: state() == "killed")
    today.wait("and shows the alert", lambda: any(row[0] == "trading_stopped" for row in table("alerts")))
    pid = today.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        today.wait("figures of before are not shown as live", lambda: state().startswith("the data plane is") and
                   shown.value("document.body.classList.contains('old')"))
    finally:
        os.kill(pid, signal.SIGCONT)
    return (f"{len(positions)} positions, {len(feeds)} feeds, {counters} counters, 2 plots; `killed` and its alert after `tern kill`; "
            f"greyed and \"{state()}\" once the data plane stands; {SCREENSHOT} of {drawn} bytes")
