"use strict";
// Asks for live.json each second and shows it. Reads only; every text from outside goes through textContent.

const KEEP = 600; // points of the plots, one a second
const EVERY_MS = 1000;
const OLD_MS = 3000; // figures of before are not shown as live

const at = (id) => document.getElementById(id);
const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

// rows: arrays of cells; a cell is a text, a number, or {text, kind}
function table(place, heads, rows, none) {
  if (rows.length === 0) {
    place.replaceChildren(make("p", none));
    return;
  }
  const numeric = heads.map((_, index) => typeof rows[0][index] === "number");
  const line = (cells, tag) => {
    const row = make("tr");
    cells.forEach((cell, index) => {
      const text = typeof cell === "number" ? count.format(cell) : (cell.text ?? cell);
      row.append(make(tag, text, [numeric[index] ? "number" : "", cell.kind ?? ""].join(" ").trim()));
    });
    return row;
  };
  const whole = make("table");
  whole.append(line(heads, "th"), ...rows.map((row) => line(row, "td")));
  place.replaceChildren(whole);
}

class Values {
  constructor(live) {
    this.families = new Map();
    for (const value of live.values) {
      if (!this.families.has(value.name)) this.families.set(value.name, []);
      this.families.get(value.name).push(value);
    }
  }
  all(name) { return this.families.get(name) ?? []; }
  one(name) { return this.all(name)[0]?.value; }
  sum(name) { return this.all(name).reduce((sum, each) => sum + each.value, 0); }
  // What a histogram of a span counted since `before`: [bound, count below it]
  buckets(span, before) {
    const earlier = new Map((before?.all("tern_latency_seconds_bucket") ?? [])
      .filter((each) => each.labels.span === span).map((each) => [each.labels.le, each.value]));
    return this.all("tern_latency_seconds_bucket").filter((each) => each.labels.span === span)
      .map((each) => [each.labels.le === "+Inf" ? Infinity : Number(each.labels.le), each.value - (earlier.get(each.labels.le) ?? 0)]);
  }
}

// The upper bound of the bucket in which the quantile lies, us; null when nothing was counted.
function quantile(buckets, q) {
  const all = buckets.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  const bucket = buckets.find(([, below]) => below >= q * all);
  return bucket && Number.isFinite(bucket[0]) ? bucket[0] * 1e6 : null;
}

function plot(place, names, options) {
  const colours = ["#1f77b4", "#ff7f0e", "#d62728", "#2ca02c"];
  const grid = { stroke: "#8884", width: 1 };
  const axis = { stroke: "#888", grid, ticks: grid };
  const size = () => ({ width: Math.max(280, place.clientWidth), height: 220 });
  const drawn = new uPlot({
    ...size(),
    scales: { y: options },
    axes: [axis, { ...axis, size: 60 }],
    series: [{}, ...names.map((label, index) => ({ label, stroke: colours[index], width: 1.5, spanGaps: false }))],
  }, [[], ...names.map(() => [])], place);
  new ResizeObserver(() => drawn.setSize(size())).observe(place);
  const data = [[], ...names.map(() => [])];
  return (time, points) => {
    data[0].push(time);
    points.forEach((point, index) => data[index + 1].push(point));
    if (data[0].length > KEEP) data.forEach((column) => column.shift());
    drawn.setData(data);
  };
}

const drawLatency = plot(at("latency"), ["p50", "p99", "p99.9"], { distr: 3 });
const drawRates = plot(at("rates"), ["messages", "orders", "refused"], { distr: 3 });

let before = null;
let beforeNs = 0;
let answeredAt = 0;
let lives = false;

function orders(values) {
  return ["new", "replace", "cancel"].reduce((sum, what) => sum + values.sum(`tern_orders_${what}_total`), 0);
}

// A loop that stands still keeps its process and its last words: only its heartbeat tells.
const STUCK_S = 1;

// Whether what the data plane says is of now; shows the state.
function state(values) {
  const up = (name) => values.all("tern_process_up").some((each) => each.labels.process === name && each.value > 0);
  const why = values.all("tern_halt_info").map((each) => each.labels.reason).join(", ");
  const beat = values.all("tern_heartbeat_age_seconds").find((each) => each.labels.process === "dataplane")?.value;
  const lives = up("dataplane") && beat !== undefined && beat <= STUCK_S;
  const [text, kind] = !up("dataplane")
    ? ["the data plane is down", "bad"]
    : !lives ? [`the data plane is stuck: ${beat === undefined ? "no heartbeat" : `last heartbeat ${beat.toFixed(1)} s ago`}`, "bad"]
    : values.one("tern_killed") > 0 ? ["killed", "bad"]
    : values.one("tern_trading") > 0 ? ["trading", "good"]
    : [`stopped: ${why || "no reason given"}`, "bad"];
  at("state").textContent = up("ternd") ? text : `${text}; ternd is down`;
  at("state").className = up("ternd") ? kind : "bad";
  return lives;
}

function figures(values, perSecond) {
  const shown = [
    ["profit", money.format(values.one("tern_profit") ?? 0)],
    ["open orders", count.format(values.sum("tern_open_orders"))],
    ["messages a second", count.format(perSecond((each) => each.sum("tern_messages_total")) ?? 0)],
    ["orders a second", count.format(perSecond(orders) ?? 0)],
    ["refused a second", count.format(perSecond((each) => each.sum("tern_refused_total")) ?? 0)],
    ["journal behind, records", count.format(values.one("tern_journal_lag_records") ?? 0)],
    ["order ring used", `${((values.all("tern_ring_used_ratio").find((each) => each.labels.ring === "order")?.value ?? 0) * 100).toFixed(1)} %`],
  ];
  at("figures").replaceChildren(...shown.map(([name, value]) => {
    const box = make("div", name);
    box.prepend(make("b", value));
    return box;
  }));
}

function tables(live, values, perSecond) {
  table(at("alerts"), ["alert", "", "what is known"], (live.alerts ?? []).map((alert) =>
    [{ text: alert.alert, kind: alert.severity === "critical" ? "bad" : "warn" }, alert.severity, alert.detail || alert.help]),
  live.alerts === null ? "nobody watches: ternd is down" : "none raised");
  table(at("feeds"), ["stream", "trusted"], values.all("tern_stream_trusted").map((each) =>
    [each.labels.stream, each.value > 0 ? { text: "yes", kind: "good" } : { text: "no", kind: "bad" }]), "none");
  const worst = new Map(values.all("tern_position_worst_shares").map((each) => [each.labels.symbol, each.value]));
  table(at("positions"), ["symbol", "shares", "with open orders"], values.all("tern_position_shares").map((each) =>
    [each.labels.symbol, each.value, worst.get(each.labels.symbol) ?? 0]), "flat");
  table(at("strategies"), ["strategy", "runs"], values.all("tern_strategy_running").map((each) =>
    [each.labels.strategy, each.value > 0 ? { text: "yes", kind: "good" } : { text: "stopped", kind: "bad" }]), "none");
  const used = new Map(values.all("tern_limit_used_ratio").map((each) => [each.labels.limit, each.value]));
  table(at("limits"), ["limit", "set to", "used"], values.all("tern_limit").filter((each) => used.has(each.labels.limit)).map((each) => {
    const ratio = used.get(each.labels.limit);
    return [each.labels.limit, each.value, { text: `${(ratio * 100).toFixed(1)} %`, kind: ratio >= 1 ? "bad" : ratio >= 0.8 ? "warn" : "" }];
  }), "none");
  table(at("refused"), ["reason", "so far"], values.all("tern_refused_total").filter((each) => each.value > 0)
    .sort((a, b) => b.value - a.value).map((each) => [each.labels.reason, each.value]), "nothing");
  const wanted = at("filter").value.toLowerCase();
  const rows = [];
  for (const [name, family] of values.families) {
    if (!name.endsWith("_total")) continue;
    family.forEach((each) => {
      const key = JSON.stringify(each.labels);
      const labels = Object.values(each.labels).join(" ");
      if (!`${name} ${labels}`.toLowerCase().includes(wanted)) return;
      rows.push([name, labels, each.value, perSecond((all) => all.all(name).find((other) => JSON.stringify(other.labels) === key)?.value ?? 0) ?? 0]);
    });
  }
  table(at("counters"), ["counter", "", "so far", "a second"], rows, "none with that");
}

function show(live) {
  const values = new Values(live);
  const passed = (live.now_ns - beforeNs) / 1e9;
  // A counter that went down began anew: nothing is known of that second.
  const perSecond = (read) => {
    if (before === null || passed <= 0) return null;
    const rate = (read(values) - read(before)) / passed;
    return rate < 0 ? null : rate;
  };
  document.title = `Tern ${live.instance}`;
  at("instance").textContent = live.instance;
  at("clock").textContent = new Date(live.unix_ms).toISOString().replace("T", " ").slice(0, 19) + " UTC";
  lives = state(values);
  figures(values, perSecond);
  tables(live, values, perSecond);
  if (before !== null && passed > 0) {
    const counted = values.buckets("tick_to_order", before);
    const log = (value) => (value > 0 ? value : null);
    drawLatency(live.unix_ms / 1000, [0.5, 0.99, 0.999].map((q) => quantile(counted, q)));
    drawRates(live.unix_ms / 1000, [(each) => each.sum("tern_messages_total"), orders, (each) => each.sum("tern_refused_total")]
      .map((read) => log(perSecond(read))));
  }
  before = values;
  beforeNs = live.now_ns;
  answeredAt = Date.now();
}

async function ask() {
  try {
    const answer = await fetch("live.json", { cache: "no-store", signal: AbortSignal.timeout(2 * EVERY_MS) });
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    show(await answer.json());
  } catch (error) {
    if (Date.now() - answeredAt > OLD_MS) {
      at("state").textContent = `no answer: ${error.message}`;
      at("state").className = "bad";
    }
  }
  document.body.classList.toggle("old", !lives || Date.now() - answeredAt > OLD_MS);
  setTimeout(ask, EVERY_MS);
}

ask();
