"""Turns the demo's findings into text for people and a page with pictures."""

import html

BARS = " ▁▂▃▄▅▆▇█"


def nanoseconds(value):
    """A time with a unit that fits its size."""
    if value is None:
        return "-"
    for limit, divisor, unit in ((1e3, 1, "ns"), (1e6, 1e3, "us"), (1e9, 1e6, "ms")):
        if value < limit:
            return f"{value / divisor:.3g} {unit}" if divisor > 1 else f"{value:.0f} ns"
    return f"{value / 1e9:.3g} s"


def money(ten_thousandths):
    """Dollars and cents from 1/10000."""
    sign = "-" if ten_thousandths < 0 else ""
    return f"{sign}${abs(ten_thousandths) // 10_000:,}.{abs(ten_thousandths) % 10_000 // 100:02d}"


def table(rows, indent="  "):
    """Rows of (name, value), values right-aligned."""
    rows = [(str(name), f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows]
    width = max((len(name) for name, _ in rows), default=0)
    right = max((len(value) for _, value in rows), default=0)
    return "\n".join(f"{indent}{name:<{width}}  {value:>{right}}" for name, value in rows)


def percentile_rows(latency):
    """One line a distribution: p50 p99 p99.9 max n."""
    lines = [f"  {'':<22}{'p50':>10}{'p99':>10}{'p99.9':>10}{'max':>10}{'n':>10}"]
    for name, figures in latency.items():
        if not figures or not figures.get("n"):
            lines.append(f"  {name:<22}{'no sample':>10}")
            continue
        cells = "".join(f"{nanoseconds(figures[key]):>10}" for key in ("p50", "p99", "p999", "max"))
        lines.append(f"  {name:<22}{cells}{figures['n']:>10,}")
    return "\n".join(lines)


def sparkline(values):
    """A row of bars, the highest value full."""
    top = max(values, default=0)
    return "".join(BARS[round((len(BARS) - 1) * value / top)] if top else BARS[0] for value in values)


def text(report):
    """The report as a person reads it."""
    out = []
    port, data, orders = report["port"], report["datagrams"], report["orders"]
    out.append(f"Tern · {report['run_seconds']:.0f} s · seed {report['seed']} · {report['source']}")
    out.append(f"port {port['kind']}, {port['attach_mode']} attach, zero-copy {'yes' if port['zero_copy'] else 'no (copy)'}, "
               f"wait {report['wait']}, huge pages {report['huge_pages']}")
    for line in report.get("fallbacks", []):
        out.append(f"  fallback: {line}")
    out.append("\nMarket data")
    out.append(table([("datagrams sent by the exchange", data["sent"]), ("steered by XDP", data["steered"]),
                      ("received by the loop", data["received"]), ("gaps", data["gaps"]), ("messages", report["messages"]),
                      *((f"dropped: {name}", count) for name, count in data["dropped"].items() if count)]))
    out.append("\nOrders")
    out.append(table([("sent", orders["sent"]), ("received by the exchange", orders["received"]),
                      ("in the journal", orders["journaled"]),
                      *((("  recalled", orders["recalled"]),) if orders["recalled"] else ()),
                      *((f"  {name}", count) for name, count in orders.get("by_action", {}).items()),
                      ("fills", report["fills"]), ("  partial", report["partial_fills"]),
                      ("symbols with fills", report["symbols_traded"]),
                      ("replaces that lost priority", report["replaces_lost_priority"]),
                      ("cancels that lost to a fill", report["cancels_lost_to_fill"])]))
    refused = {name: count for name, count in orders["refused"].items() if count}
    out.append("\nRefused by the gate" + ("" if refused else ": none"))
    if refused:
        out.append(table(sorted(refused.items(), key=lambda item: -item[1])))
    out.append("\nProfit and loss")
    out.append(table([("cash", money(report["cash"])), ("realized", money(report["realized"])),
                      ("open positions", report["open_positions"])]))
    out.append("\nXDP counters")
    out.append(table([(name, count) for name, count in report["steer_counters"].items() if count] or [("none", "-")]))
    out.append("\nLatency (veth: says what the software does, nothing about a NIC)")
    out.append(percentile_rows(report["latency_ns"]))
    out.append("  from the stage before, order-bearing and sampled datagrams:")
    out.append(percentile_rows(report["stage_latency_ns"]))
    if report.get("orders_each_second"):
        out.append(f"  orders each second  {sparkline(report['orders_each_second'])}")
    out.append("\nChecks")
    for check in report["checks"]:
        out.append(f"  {'ok  ' if check['ok'] else 'FAIL'}  {check['name']}: {check['detail']}")
    start = report["start_to_first_order_ms"]
    out.append(f"\nstart to first order {start if start is not None else '-'} ms, "
               f"data plane {report['rss_bytes'] / 2**20:.0f} MiB resident")
    return "\n".join(out)


def plot(distributions, width=760, height=320):
    """An SVG of percentile curves: x is the percentile on a log scale of what is left above it, y is time, log."""
    import math

    colours = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf"]
    curves = {name: d["curve"] for name, d in distributions.items() if d and d.get("curve")}
    if not curves:
        return "<p>No latency sample.</p>"
    left, bottom, top, right = 70, 40, 15, 190
    values = [v for curve in curves.values() for _, v in curve if v > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def x(percentile):
        nines = min(4.0, -math.log10(max(1e-4, 1 - percentile / 100)))
        return left + nines / 4 * (width - left - right)

    def y(value):
        return height - bottom - (math.log10(max(value, 10 ** low)) - low) / (high - low) * (height - bottom - top)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for exponent in range(low, high + 1):
        at = y(10 ** exponent)
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{nanoseconds(10 ** exponent)}</text>')
    for percentile in (0, 50, 90, 99, 99.9, 99.99):
        # the last point of every curve is its maximum
        label = "max" if percentile == 99.99 else f"p{percentile:g}"
        at = x(percentile)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{height - bottom}" stroke="#eee"/>'
                     f'<text x="{at:.1f}" y="{height - bottom + 16}" text-anchor="middle">{label}</text>')
    for index, (name, curve) in enumerate(curves.items()):
        colour = colours[index % len(colours)]
        points = " ".join(f"{x(p):.1f},{y(v):.1f}" for p, v in curve if v > 0)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        at = top + 14 + 17 * index
        parts.append(f'<line x1="{width - right + 12}" x2="{width - right + 32}" y1="{at - 4}" y2="{at - 4}" stroke="{colour}" '
                     f'stroke-width="2"/><text x="{width - right + 38}" y="{at}">{html.escape(name)}</text>')
    return "".join(parts) + "</svg>"


def page(report):
    """The report as one HTML page, no script, nothing fetched."""
    both = dict(report["latency_ns"])
    return (f"<!doctype html><meta charset=utf-8><title>Tern demo</title>"
            "<style>body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}pre{background:#f6f6f6;"
            "padding:1em;overflow:auto}</style><h1>Tern: a demo run</h1>"
            f"<h2>Latency by percentile</h2>{plot(both)}<h2>Stages</h2>{plot(report['stage_latency_ns'])}"
            f"<h2>Report</h2><pre>{html.escape(text(report))}</pre>")
