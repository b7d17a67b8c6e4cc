// The dashboard: asks the admin API and draws what it says.
//
// What is stored was written by strangers. Text enters the page by text nodes alone, and what would
// be unseen or would turn the writing direction is shown as an escape (see `raw`).

// ---- Text ----

const NUMBER = new Intl.NumberFormat("en");
const NONE = "\u2013";
const MINUS = "\u2212";
const GAP = "\u00a0";

// Controls, format characters (bidi among them), blanks that pass for nothing or for a space, and
// heaps of combining marks.
const UNSEEN =
  /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\u{e0100}-\u{e01ef}]|(?! )\p{Zs}|(?<=\p{M}\p{M})\p{M}/gu;

function escaped(character) {
  const code = character.codePointAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}

const plain = (text) => String(text).replace(UNSEEN, escaped);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function drawn(tag, attributes = {}, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

// A stranger's text as nodes: escapes stand apart from a backslash that is really there.
function pieces(text) {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (found.index > from) nodes.push(text.slice(from, found.index));
    nodes.push(make("span", { class: "escape" }, escaped(found[0])));
    from = found.index + found[0].length;
  }
  nodes.push(text.slice(from));
  return nodes;
}

function raw(value, limit = 400) {
  const text = String(value ?? "");
  const node = make("span", { class: "raw", dir: "ltr" }, ...pieces(text.slice(0, limit)));
  if (text.length > limit) {
    node.append(make("span", { class: "cut" }, `\u2026 ${count(text.length - limit)} more`));
  }
  return node;
}

// The path is what tells URLs apart, so the origin steps back.
function address(url, limit = 400) {
  const origin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(url)?.[0] ?? "";
  const node = raw(url.slice(origin.length), limit);
  node.prepend(make("span", { class: "origin" }, ...pieces(origin.slice(0, 260))));
  return node;
}

const count = (number) => NUMBER.format(number ?? 0);

function some(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

function percent(share) {
  return Number.isFinite(share) ? `${(share * 100).toFixed(share > 0.9995 ? 0 : 1)}${GAP}%` : NONE;
}

function octets(number) {
  if (!Number.isFinite(number)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let left = Math.abs(number);
  while (left >= 999.5 && unit < units.length - 1) {
    left /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || left >= 99.95 ? 0 : left >= 9.995 ? 1 : 2;
  return `${number < 0 ? MINUS : ""}${left.toFixed(digits)}${GAP}${units[unit]}`;
}

const SPANS = [
  ["y", 31536000],
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

function duration(seconds) {
  if (!Number.isFinite(seconds)) return NONE;
  const sign = seconds < 0 ? MINUS : "";
  const whole = Math.abs(seconds);
  if (whole === 0) return `0${GAP}s`;
  if (whole < 0.001) return `${sign}${Math.max(1, Math.round(whole * 1e6))}${GAP}\u00b5s`;
  if (whole < 1) return `${sign}${(whole * 1000).toFixed(whole < 0.01 ? 1 : 0)}${GAP}ms`;
  if (whole < 10) return `${sign}${Number(whole.toFixed(1))}${GAP}s`;
  const rounded = Math.round(whole);
  const first = SPANS.findIndex(([, length]) => rounded >= length);
  const [unit, length] = SPANS[first];
  const head = `${sign}${count(Math.floor(rounded / length))}${GAP}${unit}`;
  const next = SPANS[first + 1];
  const rest = next ? Math.floor((rounded % length) / next[1]) : 0;
  return rest ? `${head} ${rest}${GAP}${next[0]}` : head;
}

// For a column that is scanned: the largest unit alone.
function rough(seconds) {
  return duration(Math.max(0, Math.round(seconds))).split(" ")[0];
}

function rate(number) {
  if (!Number.isFinite(number)) return NONE;
  return number >= 100 || Number.isInteger(number) ? count(Math.round(number)) : number.toFixed(1);
}

const two = (number) => String(number).padStart(2, "0");

function clock(epoch, seconds = true) {
  const date = new Date(epoch * 1000);
  const text = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return seconds ? `${text}:${two(date.getSeconds())}` : text;
}

function moment(epoch) {
  if (!Number.isFinite(epoch) || Math.abs(epoch) > 8e12) return NONE;
  const date = new Date(epoch * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(epoch)}`;
}

// ---- The API ----

const byId = (id) => document.getElementById(id);

class Failure extends Error {
  constructor(status, reason, sentence) {
    super(sentence);
    this.status = status;
    this.reason = reason;
  }
}

let askingForToken = null;
let declined = false;

function askForToken(again) {
  askingForToken ??= new Promise((settle) => {
    const dialog = byId("token");
    byId("token-text").textContent = again
      ? "That token was not accepted."
      : "The admin endpoint asks for its bearer token. It is kept in this tab only.";
    const field = dialog.querySelector("input");
    field.value = "";
    dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => {
        askingForToken = null;
        declined = dialog.returnValue !== "yes";
        if (!declined) sessionStorage.setItem("token", field.value.trim());
        field.value = "";
        settle();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return askingForToken;
}

async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem("token");
    const headers = { ...options.headers };
    if (token !== null) headers.Authorization = `Bearer ${token}`;
    const response = await fetch(path, {
      cache: "no-store",
      credentials: "omit",
      ...options,
      headers,
    });
    if (response.status !== 401) return response;
    if (sessionStorage.getItem("token") === token && !declined) await askForToken(token !== null);
    if (declined) throw new Failure(401, "token", "The admin endpoint needs its token.");
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await request(path, options);
  } catch (error) {
    if (error instanceof Failure || error.name === "AbortError") throw error;
    throw new Failure(0, "unreachable", "The proxy does not answer.");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  const said = answer?.error;
  throw new Failure(
    response.status,
    said?.reason ?? "",
    said?.sentence ?? `The admin endpoint answered with status ${response.status}.`,
  );
}

function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

function query(pairs) {
  const given = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(given).toString();
}

// ---- Time: frames, polls, the stream of events ----

const waiting = new Set();

// However often something is said to have changed, it is drawn once a frame.
function soon(draw) {
  if (waiting.size === 0) {
    requestAnimationFrame(() => {
      const draws = [...waiting];
      waiting.clear();
      for (const each of draws) each();
    });
  }
  waiting.add(draw);
}

function pause(milliseconds, signal) {
  return new Promise((settle) => {
    const timer = setTimeout(settle, milliseconds);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        settle();
      },
      { once: true },
    );
  });
}

function seen(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((settle) => {
    document.addEventListener("visibilitychange", settle, { once: true, signal });
    signal.addEventListener("abort", settle, { once: true });
  });
}

async function repeat(milliseconds, signal, work) {
  while (!signal.aborted) {
    await seen(signal);
    if (signal.aborted) return;
    try {
      await work();
      if (!signal.aborted) tell(null);
    } catch (error) {
      if (!signal.aborted) tell(error);
    }
    await pause(typeof milliseconds === "function" ? milliseconds() : milliseconds, signal);
  }
}

const MOST_UNREAD = 1 << 20;

// EventSource cannot send a token, so the stream is read by hand.
async function listen(signal, hear) {
  let wait = 1000;
  while (!signal.aborted) {
    await seen(signal);
    if (signal.aborted) return;
    const hidden = new AbortController();
    const leave = () => document.hidden && hidden.abort();
    document.addEventListener("visibilitychange", leave, { signal });
    try {
      const both = AbortSignal.any([signal, hidden.signal]);
      const response = await request("/api/events", {
        signal: both,
        headers: { Accept: "text/event-stream" },
      });
      if (!response.ok) throw new Failure(response.status, "", "");
      await read(response.body, (name, text) => {
        wait = 1000;
        hear(name, JSON.parse(text));
      });
    } catch {
      // The polls tell what is wrong; here it is only tried again.
    }
    document.removeEventListener("visibilitychange", leave);
    await pause(wait, signal);
    wait = Math.min(wait * 2, 15000);
  }
}

async function read(body, hear) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    unread += value;
    const blocks = unread.split(/\r?\n\r?\n/);
    unread = blocks.pop();
    if (unread.length > MOST_UNREAD) return void (await reader.cancel());
    for (const block of blocks) {
      let name = "message";
      const text = [];
      for (const line of block.split(/\r?\n/)) {
        if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("data:")) text.push(line.slice(5).trimStart());
      }
      if (text.length) hear(name, text.join("\n"));
    }
  }
}

// ---- What the page says about itself ----

function tell(error) {
  const notice = byId("notice");
  notice.hidden = error === null;
  if (error === null) return;
  byId("pulse").className = "pulse bad";
  byId("pulse").textContent =
    error.status === 0 ? "No answer" : error.status >= 500 ? "Failing" : "Refused";
  if (notice.textContent.startsWith(error.message)) return;
  notice.replaceChildren(raw(error.message, 600));
  if (error.status !== 401) return;
  const button = make("button", { type: "button" }, "Enter the token");
  button.addEventListener("click", () => {
    declined = false;
    show();
  });
  notice.append(" ", button);
}

function pulse(stats) {
  const node = byId("pulse");
  node.className = "pulse good";
  const text = `${plain(stats.version)}, up ${duration(stats.now - stats.started)}`;
  if (node.textContent !== text) node.textContent = text;
}

// A word of the proxy, told in the page's own glossary (the view "Reasons").
function group(word) {
  return byId(`reason-${word}`)?.parentElement.dataset.group ?? "neither";
}

function meaning(word) {
  return byId(`reason-${word}`)?.cells[1].textContent ?? "";
}

function reasonLink(word) {
  const said = meaning(word);
  if (!said) return raw(word, 60);
  return make("a", { class: "word", href: `#/reasons/${word}`, title: said }, word);
}

function fact(name, ...value) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, ...value));
}

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

// ---- Overview: plots ----

const SPAN = { second: 600, minute: 86400 };
const STEP = { second: 1, minute: 60 };
const PLOT_HEIGHT = 132;
const PLOT_TOP = 14;
const PLOT_BOTTOM = 18;

const overview = {
  stats: null,
  series: { second: [], minute: [] },
  last: null, // the counters as they came last, and when (milliseconds of this page)
  counted: 0,
  skew: 0, // seconds by which the proxy's clock is ahead of this one
  fills: 0,
  cursor: null, // where the plots are pointed at, as a share of their width
};

// Bins are aligned to the clock, so that the curve does not shimmer as it moves.
function bins(name, width) {
  const step = STEP[name];
  const points = overview.series[name];
  const end = points.length ? points.at(-1)[0] : 0;
  const start = end - SPAN[name];
  const factors = [1, 2, 3, 5, 10, 15, 20, 30, 60];
  const wanted = SPAN[name] / step / Math.max(40, width / 2);
  const length = step * (factors.find((factor) => factor >= wanted) ?? 60);
  const made = new Map();
  for (const [time, requests, hits, cache, origin] of points) {
    if (time < start) continue;
    const at = Math.floor(time / length) * length;
    const bin = made.get(at) ?? { time: at, covered: 0, requests: 0, hits: 0, cache: 0, origin: 0 };
    bin.covered += step;
    bin.requests += requests;
    bin.hits += hits;
    bin.cache += cache;
    bin.origin += origin;
    made.set(at, bin);
  }
  // A bin that only just began would be drawn from too little.
  const list = [...made.values()].filter((bin) => bin.covered >= length / 2);
  return { list, start, end, length };
}

const PLOTS = [
  {
    title: "Requests per second",
    format: rate,
    lines: [
      { name: "all", value: (bin) => bin.requests / bin.covered },
      { name: "from the cache", accent: true, value: (bin) => bin.hits / bin.covered },
    ],
  },
  {
    title: "Hit ratio",
    format: percent,
    top: 1,
    lines: [
      {
        name: "from the cache",
        accent: true,
        value: (bin) => (bin.requests ? bin.hits / bin.requests : null),
      },
    ],
  },
  {
    title: "Octets per second",
    format: octets,
    binary: true,
    lines: [
      { name: "from origins", value: (bin) => bin.origin / bin.covered },
      { name: "from the cache", accent: true, value: (bin) => bin.cache / bin.covered },
    ],
  },
];

function roundTop(most, binary) {
  if (!(most > 0)) return 1;
  let unit = 1;
  while (binary && most / unit >= 1024) unit *= 1024;
  const scaled = most / unit;
  const power = 10 ** Math.floor(Math.log10(scaled));
  const steps = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];
  return steps.find((step) => step * power >= scaled) * power * unit;
}

function curve(points, floor) {
  let line = "";
  let area = "";
  let first = null;
  let previous = null;
  for (const point of points) {
    if (point === null) {
      if (previous) area += `L${previous[0]} ${floor}L${first[0]} ${floor}Z`;
      first = previous = null;
      continue;
    }
    const [x, y] = point;
    const text = `${previous ? "L" : "M"}${x} ${y}`;
    line += text;
    area += text;
    first ??= point;
    previous = point;
  }
  if (previous) area += `L${previous[0]} ${floor}L${first[0]} ${floor}Z`;
  return { line, area };
}

function timeTicks(start, end, width) {
  const steps = [60, 120, 300, 600, 3600, 7200, 10800, 14400, 21600, 43200];
  const step = steps.find((each) => ((end - start) / each) * 64 <= width) ?? 43200;
  // Local midnight, not that of Greenwich, is where four hours begin to count.
  const shift = new Date(end * 1000).getTimezoneOffset() * 60;
  const ticks = [];
  for (let at = Math.ceil((start - shift) / step) * step + shift; at <= end; at += step)
    ticks.push(at);
  return ticks;
}

class Plot {
  constructor(spec) {
    this.spec = spec;
    this.svg = drawn("svg", { role: "img", tabindex: "0", height: PLOT_HEIGHT, width: "100%" });
    this.when = make("span", { class: "when" });
    this.values = spec.lines.map(() => make("b"));
    const legend = spec.lines.map((line, at) =>
      make("span", { class: line.accent ? "key accent" : "key" }, `${line.name} `, this.values[at]),
    );
    this.node = make(
      "figure",
      { class: "plot" },
      make("figcaption", {}, make("span", {}, spec.title), this.when),
      this.svg,
      make("div", { class: "legend" }, ...legend),
    );
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => moveCursor(null));
    this.svg.addEventListener("blur", () => moveCursor(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => soon(drawPlots)).observe(this.svg);
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    moveCursor((event.clientX - box.left) / box.width);
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") moveCursor(null);
    if (!step) return;
    event.preventDefault();
    const share = (overview.cursor ?? 1) + step * (this.binned.length / SPAN[chosen("span")]);
    moveCursor(Math.min(1, Math.max(0, share)));
  }

  draw(name) {
    const width = this.svg.clientWidth;
    if (!width) return;
    this.binned = bins(name, width);
    const { list, start, end } = this.binned;
    const values = this.spec.lines.map((line) => list.map(line.value));
    const most = Math.max(0, ...values.flat().filter(Number.isFinite));
    const top = this.spec.top ?? roundTop(most, this.spec.binary);
    const floor = PLOT_HEIGHT - PLOT_BOTTOM;
    const x = (time) => Number((((time - start) / (end - start || 1)) * width).toFixed(1));
    const y = (value) => Number((floor - (value / top) * (floor - PLOT_TOP)).toFixed(1));
    const nodes = this.rules(width, top, y);
    this.spec.lines.forEach((line, index) => {
      const points = list.map((bin, at) => {
        const value = values[index][at];
        const middle = Math.min(end, bin.time + this.binned.length / 2);
        return value === null || middle < start ? null : [x(middle), y(value)];
      });
      const { line: path, area } = curve(points, floor);
      const kind = line.accent ? "accent" : "all";
      if (line.accent) nodes.push(drawn("path", { class: "area", d: area }));
      nodes.push(drawn("path", { class: `line ${kind}`, d: path }));
    });
    for (const at of end ? timeTicks(start, end, width) : []) {
      const middle = x(at);
      if (middle < 18 || middle > width - 18) continue;
      const text = { x: middle, y: PLOT_HEIGHT - 4, "text-anchor": "middle" };
      nodes.push(drawn("text", text, clock(at, false)));
    }
    this.say(list, start, end, most, nodes, x, floor);
    this.svg.replaceChildren(...nodes);
  }

  rules(width, top, y) {
    return [0, 0.5, 1].flatMap((share) => {
      const at = Math.round(y(top * share)) + 0.5;
      const rule = drawn("line", {
        class: share ? "rule" : "rule base",
        x1: 0,
        x2: width,
        y1: at,
        y2: at,
      });
      if (share !== 1) return [rule];
      return [
        rule,
        drawn("text", { x: 0, y: at - 3 }, this.spec.format(top * share).replace(/\.0+(?!\d)/, "")),
      ];
    });
  }

  say(list, start, end, most, nodes, x, floor) {
    const { spec, svg } = this;
    const wanted = overview.cursor === null ? null : start + overview.cursor * (end - start);
    const nearest = (bin) => Math.abs(bin.time + this.binned.length / 2 - wanted);
    const bin =
      wanted === null
        ? list.at(-1)
        : list.reduce((best, each) => (best && nearest(best) <= nearest(each) ? best : each), null);
    const said = spec.lines.map((line) => (bin ? spec.format(line.value(bin) ?? NaN) : NONE));
    said.forEach((text, at) => {
      this.values[at].textContent = text;
    });
    this.when.textContent = bin && wanted !== null ? clock(bin.time, this.binned.length < 60) : "";
    if (bin && wanted !== null) {
      const at = x(Math.min(end, bin.time + this.binned.length / 2));
      nodes.push(drawn("line", { class: "cursor", x1: at, x2: at, y1: PLOT_TOP, y2: floor }));
    }
    const span = SPAN[chosen("span")] === 600 ? "10 minutes" : "24 hours";
    const words = spec.lines.map((line, at) => `${line.name} ${said[at]}`).join(", ");
    const at = this.when.textContent && ` at ${this.when.textContent}`;
    svg.setAttribute(
      "aria-label",
      `${spec.title}, last ${span}${at}: ${words}; highest ${spec.format(most)}`,
    );
  }
}

const plots = PLOTS.map((spec) => new Plot(spec));

function drawPlots() {
  for (const plot of plots) plot.draw(chosen("span"));
}

function moveCursor(share) {
  overview.cursor = share;
  soon(drawPlots);
}

// ---- Overview: figures, outcomes, the busiest, fills ----

// Polls and counters come in turns; the later one has the larger sum.
function totals() {
  const { last, stats } = overview;
  return last && last.requests > stats.requests ? last : stats;
}

function recent(seconds) {
  const points = overview.series.second;
  const end = points.length ? points.at(-1)[0] : 0;
  let requests = 0;
  let hits = 0;
  for (const point of points) {
    if (point[0] <= end - seconds) continue;
    requests += point[1];
    hits += point[2];
  }
  return { requests, hits };
}

function drawFigures() {
  const { stats } = overview;
  const { requests, hits } = totals();
  const few = recent(5);
  const many = recent(600);
  const sent = stats.octets.cache + stats.octets.origin + stats.octets.own;
  const { store, saved } = stats;
  const texts = {
    "figure-requests": `${rate(few.requests / 5)}${GAP}/s`,
    "aside-requests": `${count(requests)} since ${moment(stats.started).slice(0, 16)}`,
    "figure-ratio": percent(many.hits / many.requests),
    "aside-ratio": `last 10 minutes; ${percent(hits / requests)} in all`,
    "figure-octets": octets(saved.octets),
    "aside-octets": `of ${octets(sent)} sent to clients`,
    "figure-seconds": duration(saved.seconds),
    "aside-seconds": "that clients did not wait for origins",
    "figure-store": octets(store.octets),
    "aside-store": store.limit
      ? `${percent(store.octets / store.limit)} of ${octets(store.limit)}; ${some(store.keys, "key", "keys")}`
      : `${some(store.keys, "key", "keys")}`,
  };
  for (const [id, text] of Object.entries(texts)) {
    const node = byId(id);
    if (node.textContent !== text) node.textContent = text;
  }
  const bar = byId("store-bar");
  bar.value = store.limit ? Math.min(1, store.octets / store.limit) : 0;
}

const GROUPS = {
  cache: "from the cache",
  origin: "forwarded",
  unstored: "forwarded, not stored",
  own: "by the proxy",
  neither: "tunnels and other",
};

function reasonRow(word, number, most) {
  const bar = make("span", { class: "bar" });
  bar.style.width = `${Math.max(0.5, (number / most) * 100)}%`;
  return make(
    "li",
    {},
    make("span", { class: "name" }, reasonLink(word)),
    make("span", { class: "track", "aria-hidden": "true" }, bar),
    make("span", { class: "number" }, count(number)),
    make("span", { class: "aside" }, meaning(word)),
  );
}

function drawOutcomes() {
  const sums = { cache: 0, origin: 0, unstored: 0, own: 0, neither: 0 };
  const lists = { misses: [], others: [] };
  for (const [word, number] of Object.entries(overview.stats.results)) {
    const kind = group(word);
    sums[kind] += number;
    lists[kind === "origin" || kind === "unstored" ? "misses" : "others"].push([word, number]);
  }
  const all = Object.values(sums).reduce((sum, each) => sum + each, 0);
  const strip = make("div", { class: "strip", "aria-hidden": "true" });
  const legend = make("ul", { class: "legend" });
  for (const [kind, name] of Object.entries(GROUPS)) {
    if (!sums[kind]) continue;
    const part = make("span", { class: `part ${kind}` });
    part.style.flexGrow = sums[kind] / all;
    strip.append(part);
    legend.append(
      make("li", { class: `key ${kind}` }, `${name} `, make("b", {}, percent(sums[kind] / all))),
    );
  }
  byId("outcomes").replaceChildren(strip, legend);
  for (const [id, list] of Object.entries(lists)) {
    list.sort((one, other) => other[1] - one[1]);
    const most = list[0]?.[1] ?? 1;
    const rows = list.map(([word, number]) => reasonRow(word, number, most));
    byId(id).replaceChildren(
      ...(rows.length ? rows : [make("li", { class: "empty" }, "None so far.")]),
    );
  }
}

const MOST_TOP = 12;

function drawTop() {
  const { stats } = overview;
  const kind = chosen("top-kind");
  const order = chosen("top-order");
  const list = stats.top[kind]?.[order] ?? [];
  const most = list[0]?.[order] || 1;
  const rows = list
    .slice(0, MOST_TOP)
    .map((item) => {
      const bar = make("span", { class: "bar" });
      bar.style.width = `${Math.max(0.5, (item[order] / most) * 100)}%`;
      const to =
        kind === "hosts"
          ? `#/entries?${query([["host", item.name]])}`
          : `#/entry?${query([["url", item.name]])}`;
      return make(
        "li",
        {},
        make(
          "a",
          { class: "name", href: to, title: plain(item.name).slice(0, 400) },
          kind === "hosts" ? raw(item.name) : address(item.name),
        ),
        make("span", { class: "track", "aria-hidden": "true" }, bar),
        make(
          "span",
          { class: "number" },
          order === "octets" ? octets(item.octets) : count(item[order]),
        ),
        make(
          "span",
          { class: "aside" },
          `${some(item.requests, "request", "requests")}, ${percent(Math.max(0, 1 - item.misses / (item.requests || 1)))} from the cache`,
          ...(item.misses && item.reason ? ["; misses mostly ", reasonLink(item.reason)] : []),
        ),
      );
    });
  byId("top").replaceChildren(
    ...(rows.length ? rows : [make("li", { class: "empty" }, "Nothing yet.")]),
  );
}

function drawWork() {
  const { stats } = overview;
  const { coding, store } = stats;
  const rows = [
    fact(
      "Listening",
      ...stats.listening.flatMap((each, at) => (at ? [", ", raw(each)] : [raw(each)])),
    ),
    fact("Evicted", some(stats.evictions, "entry", "entries")),
    fact("Tunnels", count(stats.tunnels)),
  ];
  if (store.indexed?.left) {
    const done = store.indexed.done / (store.indexed.done + store.indexed.left);
    rows.unshift(
      fact(
        "Index",
        `${percent(done)}, ${count(store.indexed.left)} entries left: listings and searches are not complete yet `,
        make("progress", { max: 1, value: done, "aria-label": "Index built" }),
      ),
    );
  }
  if (coding) {
    rows.push(
      fact("Decoded", `${octets(coding.decoded_in)} to ${octets(coding.decoded_out)}`),
      fact("Encoded", `${octets(coding.encoded_in)} to ${octets(coding.encoded_out)}`),
      fact("Coding took", duration(coding.seconds)),
      fact("Forms kept", `${count(coding.kept)}, and ${count(coding.refused)} refused`),
    );
  }
  byId("work").replaceChildren(...rows);
}

function workerRow(line) {
  const cell = (text) => make("td", { class: "number" }, text);
  const name = make("th", { scope: "row" }, count(line.worker));
  if (line.silent) {
    const said = make("td", { class: "empty", colspan: "4" }, "Does not answer");
    return make("tr", {}, name, cell(NONE), said);
  }
  return make(
    "tr",
    {},
    name,
    cell(String(line.pid)),
    cell(count(line.requests)),
    cell(percent(line.hits / line.requests)),
    cell(count(line.connections)),
    cell(count(line.tunnels)),
  );
}

// One alone has nothing to say that is not said above.
function drawWorkers() {
  const { workers } = overview.stats;
  const silent = workers.filter((line) => line.silent).length;
  byId("workers").hidden = workers.length < 2;
  byId("workers-count").textContent = silent
    ? `${count(workers.length - silent)} of ${count(workers.length)} answer`
    : count(workers.length);
  byId("workers-rows").replaceChildren(...workers.map(workerRow));
}

const MOST_FILLS = 40;

function drawFills(fills, now) {
  const rows = fills.slice(0, MOST_FILLS).map((fill) => {
    const known = Number.isFinite(fill.length) && fill.length > 0;
    const share = known ? Math.min(1, fill.received / fill.length) : null;
    const left = known && fill.rate > 0 ? (fill.length - fill.received) / fill.rate : NaN;
    const said = [
      known
        ? `${octets(fill.received)} of ${octets(fill.length)}`
        : `${octets(fill.received)}, length unknown`,
      `${octets(fill.rate)}/s`,
      Number.isFinite(left)
        ? `${duration(Math.max(0, left))} left`
        : `for ${duration(Math.max(0, now - fill.started))}`,
      some(fill.followers, "follower", "followers"),
    ];
    return make(
      "li",
      {},
      make("span", { class: "name", title: plain(fill.key).slice(0, 400) }, address(fill.key)),
      make("span", { class: "number" }, known ? percent(share) : ""),
      make("progress", {
        max: 1,
        value: share,
        "aria-label": `${plain(fill.key).slice(0, 200)} received`,
      }),
      make("span", { class: "aside" }, said.join(" \u00b7 ")),
    );
  });
  const more = fills.length - rows.length;
  if (more > 0) rows.push(make("li", { class: "empty" }, `and ${count(more)} more`));
  byId("fills").replaceChildren(
    ...(rows.length ? rows : [make("li", { class: "empty" }, "Nothing is being fetched.")]),
  );
  byId("fills-count").textContent = fills.length ? count(fills.length) : "";
}

function takeStats(stats) {
  if (overview.stats?.started !== stats.started) overview.last = null;
  overview.stats = stats;
  for (const name of ["second", "minute"]) {
    const points = stats.series?.[name] ?? [];
    overview.series[name] = points
      .filter((point) => point[0] > 0)
      .sort((one, other) => one[0] - other[0]);
  }
  pulse(stats);
  soon(drawStats);
}

function drawStats() {
  drawFigures();
  drawPlots();
  drawOutcomes();
  drawTop();
  drawWork();
  drawWorkers();
}

// Between two polls the plots go on by the counters, which are sums since the start.
function takeCounters(counters) {
  if (!overview.stats) return;
  const { last } = overview;
  const now = performance.now();
  const steady = last && counters.requests >= last.requests && now - overview.counted < 2500;
  overview.last = counters;
  overview.counted = now;
  soon(drawFigures);
  // After a pause or a restart the difference is not that of a second; the next poll knows more.
  if (!steady) return;
  const points = overview.series.second;
  const time = Math.max(
    Math.floor(Date.now() / 1000 + overview.skew),
    (points.at(-1)?.[0] ?? 0) + 1,
  );
  const names = ["requests", "hits", "octets_cache", "octets_origin"];
  points.push([time, ...names.map((name) => counters[name] - last[name])]);
  if (points.length > SPAN.second) points.splice(0, points.length - SPAN.second);
  soon(drawPlots);
}

// ---- Overview: live exchanges ----

const MOST_KEPT = 200;
const MOST_LIVE = 20;
const LIVE_EVERY = 200;

const live = {
  kept: [],
  rows: [],
  paused: false,
  missed: 0,
  taken: 0,
  counted: 0,
  perSecond: 0,
  drawn: 0,
};

const LIVE_SHOWS = {
  "": () => true,
  cache: (exchange) => group(exchange.reason) === "cache",
  origin: (exchange) => ["origin", "unstored"].includes(group(exchange.reason)),
  failed: (exchange) => exchange.status >= 400,
};

function takeExchange(exchange) {
  live.taken += 1;
  if (!LIVE_SHOWS[byId("live-show").value](exchange)) return;
  if (live.paused) {
    live.missed += 1;
    return;
  }
  live.kept.push(exchange);
  // Cut in strides: one splice for many exchanges.
  if (live.kept.length > 2 * MOST_KEPT) live.kept.splice(0, live.kept.length - MOST_KEPT);
  soon(drawLive);
}

function statusClass(status) {
  return status >= 500 ? "status bad" : status >= 400 ? "status warn" : "status";
}

function liveRow() {
  const row = make("tr");
  for (const name of [
    "time",
    "method",
    "status",
    "reason",
    "target",
    "number sent",
    "number took",
    "client",
  ]) {
    row.append(make("td", { class: name }));
  }
  return row;
}

function fillLive(row, exchange) {
  if (row.exchange === exchange) return;
  row.exchange = exchange;
  const [time, method, status, reason, target, sent, took, client] = row.cells;
  time.textContent = clock(exchange.start);
  method.replaceChildren(raw(exchange.method, 20));
  status.textContent = exchange.status || NONE;
  status.className = statusClass(exchange.status);
  reason.replaceChildren(reasonLink(exchange.reason));
  reason.className = group(exchange.reason) === "cache" ? "reason hit" : "reason";
  target.replaceChildren(
    make(
      "a",
      {
        href: `#/entry?${query([["url", exchange.target]])}`,
        title: plain(exchange.target).slice(0, 400),
      },
      address(exchange.target, 200),
    ),
  );
  sent.textContent = octets(exchange.sent);
  took.textContent = duration(exchange.elapsed);
  client.replaceChildren(raw(exchange.client, 60));
}

function drawLive() {
  const now = performance.now();
  if (now - live.drawn < LIVE_EVERY && !live.paused) return soon(drawLive);
  live.drawn = now;
  const wanted = Math.min(live.kept.length, live.paused ? MOST_KEPT : MOST_LIVE);
  while (live.rows.length < wanted) live.rows.push(liveRow());
  for (let at = 0; at < wanted; at += 1)
    fillLive(live.rows[at], live.kept[live.kept.length - 1 - at]);
  const body = byId("live");
  if (body.rows.length !== wanted) body.replaceChildren(...live.rows.slice(0, wanted));
  byId("live-empty").hidden = wanted > 0;
  sayLive();
}

function sayLive() {
  const rates = `${count(live.perSecond)} of ${rate(recent(1).requests)} a second`;
  byId("live-count").textContent = live.paused
    ? `${count(live.missed)} since the pause`
    : live.taken
      ? rates
      : "";
}

function pauseLive(paused) {
  live.paused = paused;
  live.missed = 0;
  const button = byId("live-pause");
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? "Go on" : "Pause";
  byId("live-box").classList.toggle("paused", paused);
  byId("live-box").scrollTop = 0;
  soon(drawLive);
}

function hear(name, said) {
  if (name === "exchange") return takeExchange(said);
  if (name !== "counters") return;
  live.perSecond = live.taken - live.counted;
  live.counted = live.taken;
  overview.fills = said.fills;
  takeCounters(said);
  soon(sayLive);
}

function enterOverview(_, signal) {
  byId("plots").replaceChildren(...plots.map((plot) => plot.node));
  repeat(10000, signal, async () => {
    const stats = await ask("/api/stats", { signal });
    overview.skew = stats.now - Date.now() / 1000;
    takeStats(stats);
  });
  repeat(
    () => (overview.fills ? 1000 : 4000),
    signal,
    async () => {
      const { fills } = await ask("/api/fills", { signal });
      overview.fills = fills.length;
      soon(() => drawFills(fills, Date.now() / 1000 + overview.skew));
    },
  );
  listen(signal, hear);
}

// ---- Entries ----

const PAGE = 100;
const FILTERS = ["q", "host", "prefix", "type", "tag", "state", "coding"];
const OVERSCAN = 12;
// A search goes through the store piece by piece; this many pieces are gone through unasked.
const MOST_EMPTY = 8;

const listing = {
  asked: null,
  entries: [],
  cursor: "",
  total: null,
  active: -1,
  scroll: 0,
  sort: "used",
  order: "desc",
  busy: null,
  rows: [],
  now: 0,
};

function listingQuery() {
  const form = byId("search");
  const pairs = FILTERS.map((name) => [name, form.elements[name].value.trim()]);
  pairs.push(["sort", listing.sort === "used" ? "" : listing.sort]);
  pairs.push(["order", listing.order === "desc" ? "" : listing.order]);
  return query(pairs);
}

// What is looked for first: a name that begins with a, what expires soon, or the most.
const natural = (sort) => (sort === "url" || sort === "expires" ? "asc" : "desc");

async function loadPage(fresh) {
  if (!fresh && (listing.busy || !listing.cursor)) return;
  listing.busy?.abort();
  const busy = (listing.busy = new AbortController());
  const { signal } = busy;
  const asked = listing.asked;
  byId("grid").setAttribute("aria-busy", "true");
  soon(sayListing);
  try {
    let cursor = fresh ? "" : listing.cursor;
    let found = [];
    for (let tries = 0; tries < MOST_EMPTY; tries += 1) {
      const page = await ask(
        `/api/entries?${asked}${asked && "&"}${query([
          ["limit", PAGE],
          ["cursor", cursor],
        ])}`,
        { signal },
      );
      found = found.concat(page.entries);
      cursor = page.cursor;
      // The total is that of the store, whatever was searched for.
      listing.total = FILTERS.some((name) => byId("search").elements[name].value.trim())
        ? null
        : (page.total ?? null);
      if (!cursor || found.length >= PAGE / 2) break;
    }
    listing.entries = fresh ? found : listing.entries.concat(found);
    listing.cursor = cursor;
    listing.now = Date.now() / 1000;
    if (fresh) listing.active = -1;
    tell(null);
  } catch (error) {
    if (signal.aborted) return;
    if (!byId("entries").hidden) tell(error);
  } finally {
    if (listing.busy === busy) listing.busy = null;
  }
  soon(drawListing);
}

function sayListing() {
  const { entries, cursor, total, busy } = listing;
  byId("entries-count").textContent =
    total === null ? `${count(entries.length)}${cursor ? " or more" : ""}` : count(total);
  const foot =
    !entries.length && !cursor
      ? "Nothing matches."
      : !entries.length
        ? "Nothing found so far."
        : cursor
          ? `${count(entries.length)} shown.`
          : `All ${count(entries.length)} shown.`;
  byId("grid").setAttribute("aria-busy", String(busy !== null));
  byId("entries-foot").textContent = busy ? "Loading." : foot;
  byId("more").hidden = !cursor || busy !== null;
  byId("more").textContent = entries.length ? "Load more" : "Search on";
}

function entryRow() {
  const row = make("tr", { role: "row" });
  for (const name of [
    "c-url",
    "c-type",
    "c-status",
    "c-size number",
    "c-age number",
    "c-expires number",
    "c-hits number",
    "c-used number",
  ]) {
    row.append(make("td", { role: "gridcell", class: name }));
  }
  return row;
}

const entryHash = (url) => `#/entry?${query([["url", url]])}`;

function fillEntry(row, entry, index) {
  row.id = `row-${index}`;
  row.setAttribute("aria-rowindex", index + 2);
  row.setAttribute("aria-selected", String(index === listing.active));
  if (row.entry === entry) return;
  row.entry = entry;
  const [url, type, status, size, age, expires, hits, used] = row.cells;
  const link = make(
    "a",
    { href: entryHash(entry.url), tabindex: "-1", title: plain(entry.url).slice(0, 600) },
    address(entry.url, 300),
  );
  const tag =
    entry.variants > 1 ? make("span", { class: "tag" }, `${count(entry.variants)} variants`) : null;
  url.replaceChildren(make("div", { class: "line" }, link, ...(tag ? [tag] : [])));
  const coding = entry.coding && entry.coding !== "identity" ? `, ${entry.coding}` : "";
  type.replaceChildren(raw((entry.type || NONE) + coding, 60));
  status.textContent = entry.status;
  status.classList.toggle("warn", entry.status >= 400);
  size.textContent = octets(entry.octets);
  age.textContent = `${rough(listing.now - entry.stored)} ago`;
  const left = entry.fresh_until - listing.now;
  expires.textContent = left > 0 ? duration(Math.ceil(left)) : "stale";
  expires.classList.toggle("stale", left <= 0);
  hits.textContent = count(entry.hits);
  used.textContent = entry.used ? `${rough(listing.now - entry.used)} ago` : "never";
}

// The height of a row, and where the first one is or would be.
function placed() {
  const grid = byId("grid");
  const height = parseFloat(getComputedStyle(grid).getPropertyValue("--row"));
  return { height, top: grid.getBoundingClientRect().top + grid.tHead.offsetHeight };
}

// Only the rows in sight are in the document; two spacers stand for the others.
function drawListing() {
  sayListing();
  if (byId("entries").hidden) return;
  const { entries, rows } = listing;
  const grid = byId("grid");
  const { height, top } = placed();
  const inSight = Math.ceil(window.innerHeight / height) + 2 * OVERSCAN;
  const first = Math.min(
    Math.max(0, Math.floor(-top / height) - OVERSCAN),
    Math.max(0, entries.length - inSight),
  );
  const last = Math.min(entries.length, first + inSight);
  while (rows.length < last - first) rows.push(entryRow());
  for (let at = first; at < last; at += 1) fillEntry(rows[at - first], entries[at], at);
  const body = byId("grid-rows");
  if (body.rows.length !== last - first) body.replaceChildren(...rows.slice(0, last - first));
  byId("grid-before").rows[0].style.height = `${first * height}px`;
  byId("grid-after").rows[0].style.height = `${(entries.length - last) * height}px`;
  byId("grid-before").hidden = first === 0;
  byId("grid-after").hidden = last === entries.length;
  grid.setAttribute("aria-rowcount", listing.cursor ? (listing.total ?? -1) : entries.length + 1);
  if (listing.active >= first && listing.active < last)
    grid.setAttribute("aria-activedescendant", `row-${listing.active}`);
  else grid.removeAttribute("aria-activedescendant");
}

async function moveTo(index) {
  if (index >= listing.entries.length) await loadPage(false);
  listing.active = Math.max(0, Math.min(index, listing.entries.length - 1));
  const grid = byId("grid");
  const { height, top: start } = placed();
  const top = start + listing.active * height;
  const ceiling = grid.tHead.offsetHeight + 8;
  if (top < ceiling) window.scrollBy(0, top - ceiling);
  else if (top + height > window.innerHeight)
    window.scrollBy(0, top + height - window.innerHeight + 8);
  soon(drawListing);
}

function gridKey(event) {
  if (event.target !== byId("grid") || event.ctrlKey || event.metaKey || event.altKey) return;
  const page = Math.max(1, Math.floor(window.innerHeight / 40) - 4);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
  const { active, entries } = listing;
  if (event.key in steps) {
    if (active <= 0 && event.key === "ArrowUp") byId("search").elements.q.focus();
    else moveTo(Math.max(0, active < 0 ? 0 : active + steps[event.key]));
  } else if (event.key === "Home") moveTo(0);
  else if (event.key === "End") moveTo(entries.length - 1);
  else if (event.key === "Enter" && entries[active]) location.hash = entryHash(entries[active].url);
  else return;
  event.preventDefault();
}

function sayColumns() {
  for (const button of byId("grid").querySelectorAll("[data-sort]")) {
    const on = button.dataset.sort === listing.sort;
    const direction = listing.order === "asc" ? "ascending" : "descending";
    button.closest("th").setAttribute("aria-sort", on ? direction : "none");
  }
}

function sortBy(name) {
  const turned = listing.order === "asc" ? "desc" : "asc";
  listing.order = name === listing.sort ? turned : natural(name);
  listing.sort = name;
  search();
}

function search() {
  sayColumns();
  const asked = listingQuery();
  if (asked === listing.asked) return;
  listing.asked = asked;
  history.replaceState(null, "", `#/entries${asked && "?"}${asked}`);
  loadPage(true);
}

function enterEntries(parameters, signal) {
  const form = byId("search");
  for (const name of FILTERS) form.elements[name].value = parameters.get(name) ?? "";
  listing.sort = parameters.get("sort") ?? "used";
  if (!byId("grid").querySelector(`[data-sort="${CSS.escape(listing.sort)}"]`))
    listing.sort = "used";
  listing.order = parameters.get("order") === "asc" ? "asc" : "desc";
  signal.addEventListener(
    "abort",
    () => {
      listing.scroll = window.scrollY;
    },
    { once: true },
  );
  if (listing.asked === listingQuery() && listing.entries.length) {
    sayColumns();
    drawListing();
    window.scrollTo(0, listing.scroll);
    if (listing.active >= 0) byId("grid").focus({ preventScroll: true });
    return true;
  }
  listing.asked = null;
  search();
  return false;
}

// ---- One entry ----

function section(name) {
  const found = /^RFC (\d+) §([\d.]+)$/.exec(name ?? "");
  if (!found) return raw(name ?? "", 120);
  const href = `https://www.rfc-editor.org/rfc/rfc${found[1]}#section-${found[2]}`;
  return make("a", { href, rel: "noreferrer noopener", target: "_blank" }, name);
}

function term(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return raw(value ?? NONE, 300);
  if (Math.abs(value) > 1e9) return moment(value);
  const said = duration(value);
  return value >= 60 ? `${said} (${count(Math.round(value * 1000) / 1000)})` : said;
}

// Three bars on one scale of age, from the birth of the response on, and where it is now.
function timeline(freshness) {
  const { lifetime, age } = freshness;
  const revalidating = freshness.stale_while_revalidate || 0;
  const failing = freshness.stale_if_error || 0;
  const scale = Math.max(lifetime + Math.max(revalidating, failing), age, 1) * 1.02;
  const track = (name, from, length, kind) => {
    const bar = make("span", { class: `bar ${kind}` });
    bar.style.left = `${(from / scale) * 100}%`;
    bar.style.width = `${(length / scale) * 100}%`;
    return make(
      "div",
      { class: "lane" },
      make("span", { class: "name" }, name),
      make("span", { class: "track" }, length > 0 ? bar : null),
      make("span", { class: "number" }, length > 0 ? duration(length) : "none"),
    );
  };
  const now = make("span", { class: "now" }, make("span", {}, "now"));
  const share = Math.min(1, Math.max(0, age / scale));
  now.style.left = `${share * 100}%`;
  now.classList.toggle("late", share > 0.5);
  return make(
    "div",
    { class: "timeline", "aria-hidden": "true" },
    track("Fresh", 0, lifetime, "fresh"),
    track("Stale while revalidating", lifetime, revalidating, "stale"),
    track("Stale if the origin fails", lifetime, failing, "stale"),
    make(
      "div",
      { class: "lane axis" },
      make("span"),
      make("span", { class: "track" }, now),
      make("span"),
    ),
  );
}

function freshnessPart(freshness) {
  const { age, lifetime, ttl } = freshness;
  if (!Number.isFinite(lifetime)) return null;
  const state = ttl > 0 ? `Fresh for another ${duration(ttl)}` : `Stale for ${duration(-ttl)}`;
  const sentence = `${state}: its age is ${duration(age)}, its lifetime ${duration(lifetime)}`;
  const rows = (freshness.terms ?? []).map((each) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, raw(each.name, 80)),
      make("td", { class: "number" }, term(each.value)),
      make("td", { class: "section" }, section(each.section)),
    ),
  );
  return make(
    "section",
    {},
    make("h3", {}, "Freshness"),
    make("p", {}, sentence, " (", raw(freshness.source, 80), ")."),
    timeline(freshness),
    make(
      "table",
      { class: "terms" },
      make(
        "thead",
        { class: "unseen" },
        make("tr", {}, make("th", {}, "Term"), make("th", {}, "Value"), make("th", {}, "Section")),
      ),
      make("tbody", {}, ...rows),
    ),
  );
}

const MOST_SHOWN = 500;
const MOST_UNFOLDED = 65536;

// A long value is folded; a longer one than any head may have is cut.
function foldable(value) {
  if (value.length <= MOST_SHOWN) return [raw(value, MOST_SHOWN)];
  const button = make(
    "button",
    { type: "button", class: "fold" },
    `${count(value.length - MOST_SHOWN)} more`,
  );
  const start = raw(value.slice(0, MOST_SHOWN), MOST_SHOWN);
  button.addEventListener("click", () => {
    start.replaceWith(raw(value, MOST_UNFOLDED));
    button.remove();
  });
  return [start, button];
}

function fieldTable(fields, absent) {
  const rows = fields.map(([name, value]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, raw(name, 120)),
      make("td", {}, ...(value === null ? [make("i", {}, absent)] : foldable(value))),
    ),
  );
  return make("table", { class: "fields" }, make("tbody", {}, ...rows));
}

function variantPart(entry, index, signal) {
  const variant = entry.variants[index];
  const number = entry.variants.length;
  const type =
    variant.fields.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "no type";
  const fresh = variant.freshness.ttl > 0;
  const validators = Object.entries(variant.validators ?? {}).filter(
    ([, value]) => value !== null && value !== "" && value !== false,
  );
  const forms = (variant.forms ?? []).flatMap((form, at) => [
    at ? ", " : "",
    raw(form.coding || "identity", 40),
    ` ${octets(form.octets)}`,
  ]);
  const part = variant.part
    ? `octets ${count(variant.part[0])} to ${count(variant.part[1])} of ${count(variant.part[2])}`
    : "";
  return make(
    "details",
    { class: "variant", open: index === 0 },
    make(
      "summary",
      {},
      make("h2", {}, number > 1 ? `Variant ${index + 1} of ${number}` : "Variant"),
      make("span", { class: statusClass(variant.status) }, String(variant.status)),
      raw(type, 80),
      make("span", {}, octets(variant.octets)),
      part ? make("span", {}, part) : null,
      make(
        "span",
        {
          class: fresh && !variant.invalid && !variant.freshness.validate ? "state good" : "state",
        },
        variant.invalid || variant.freshness.validate
          ? "to be validated"
          : fresh
            ? "fresh"
            : "stale",
      ),
    ),
    make(
      "div",
      { class: "pair" },
      make(
        "div",
        {},
        freshnessPart(variant.freshness),
        make(
          "section",
          {},
          make("h3", {}, "Storage"),
          make(
            "dl",
            { class: "facts" },
            fact("Body", octets(variant.octets)),
            fact("Forms", ...(forms.length ? forms : [NONE])),
            fact("Requested", moment(variant.request_time)),
            fact(
              "Received",
              `${moment(variant.response_time)}, after ${duration(Math.max(0, variant.response_time - variant.request_time))}`,
            ),
            ...validators.map(([name, value]) =>
              fact(plain(name).replaceAll("_", " "), raw(value)),
            ),
            fact("Id", raw(variant.id)),
          ),
          make("p", { class: "row" }, purgeVariant(entry.url, variant, signal)),
        ),
      ),
      make(
        "div",
        {},
        variant.selecting.length
          ? make(
              "section",
              {},
              make("h3", {}, "Selected by"),
              fieldTable(variant.selecting, "absent"),
            )
          : null,
        make("section", {}, make("h3", {}, "Stored fields"), fieldTable(variant.fields, "")),
      ),
    ),
  );
}

function purgeVariant(url, variant, signal) {
  const button = make("button", { type: "button" }, "Purge this variant\u2026");
  const wanted = { kind: "url", value: url, variant: variant.id, soft: false };
  const attempt = (work) => () => work().catch((error) => signal.aborted || tell(error));
  const carryOut = attempt(async () => {
    await purge(wanted, false, signal);
    listing.asked = null;
    show();
  });
  const begin = async () => confirmPurge(wanted, await purge(wanted, true, signal), carryOut);
  button.addEventListener("click", attempt(begin));
  return button;
}

async function enterEntry(parameters, signal) {
  const url = parameters.get("url") ?? "";
  byId("entry-title").replaceChildren(address(url, 4000));
  const body = byId("entry-body");
  body.replaceChildren(make("p", { class: "empty" }, "Loading."));
  byId("entry-back").href = listing.asked ? `#/entries?${listing.asked}` : "#/entries";
  try {
    const entry = await ask(`/api/entry?${query([["url", url]])}`, { signal });
    tell(null);
    body.replaceChildren(
      entryHead(entry),
      ...entry.variants.map((_, at) => variantPart(entry, at, signal)),
    );
  } catch (error) {
    if (signal.aborted) return;
    if (error.status !== 404) tell(error);
    const why = meaning(error.reason) ? [" (", reasonLink(error.reason), ")"] : [];
    body.replaceChildren(
      make("p", { class: "verdict" }, raw(error.message, 1000), ...why),
      make(
        "p",
        { class: "row" },
        make(
          "a",
          { class: "button", href: `#/explain?${query([["url", url]])}` },
          "Explain a request for it",
        ),
      ),
    );
  }
}

const tagLink = (tag, at) => [
  at ? " \u00b7 " : "",
  make("a", { href: `#/entries?${query([["tag", tag]])}` }, raw(tag, 120)),
];

function entryHead(entry) {
  return make(
    "div",
    { class: "summary" },
    make(
      "dl",
      { class: "facts across" },
      fact("Variants", count(entry.variants.length)),
      fact("Hits", count(entry.hits)),
      fact("Last used", entry.used ? moment(entry.used) : "never"),
      entry.key === entry.url ? null : fact("Key", raw(entry.key, 1000)),
      entry.tags.length ? fact("Tags", ...entry.tags.flatMap(tagLink)) : null,
    ),
    make(
      "p",
      { class: "row" },
      make("a", { class: "button", href: `#/explain?${query([["url", entry.url]])}` }, "Explain"),
      make("a", { class: "button", href: `#/purge?${query([["url", entry.url]])}` }, "Purge"),
    ),
  );
}

// ---- Explain ----

const VERDICTS = { yes: "yes", no: "no", info: "note" };

function clauseItem(clause) {
  const verdict = clause.verdict in VERDICTS ? clause.verdict : "info";
  return make(
    "li",
    { class: verdict },
    make("span", { class: "mark", role: "img", "aria-label": VERDICTS[verdict] }),
    make(
      "div",
      {},
      make("b", {}, raw(clause.name, 80)),
      " ",
      make("span", { class: "section" }, section(clause.section)),
      make("p", {}, raw(clause.text, 2000)),
    ),
  );
}

// Nothing is stored: why the last answer was not says more than that there is none.
function lastTime(exchange) {
  const told = meaning(exchange.reason);
  return make(
    "p",
    {},
    `Last asked for at ${moment(exchange.start)}, answered with ${exchange.status}: `,
    reasonLink(exchange.reason),
    told ? `. ${told}` : "",
  );
}

function drawExplanation(said) {
  byId("explanation").replaceChildren(
    make(
      "div",
      { class: "verdict" },
      make("p", {}, make("b", {}, raw(said.decision, 80)), " ", reasonLink(said.reason)),
      make("p", {}, raw(said.sentence, 2000)),
      said.last ? lastTime(said.last) : null,
    ),
    make("ol", { class: "clauses" }, ...said.clauses.map(clauseItem)),
  );
}

async function runExplain(signal) {
  const form = byId("explain-form");
  const lines = form.elements.header.value
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const pairs = [
    ["url", form.elements.url.value.trim()],
    ["method", form.elements.method.value],
    ...lines.map((line) => ["header", line]),
  ];
  history.replaceState(null, "", `#/explain?${query(pairs)}`);
  const box = byId("explanation");
  try {
    const said = await ask(`/api/explain?${query(pairs)}`, { signal });
    tell(null);
    drawExplanation(said);
  } catch (error) {
    if (signal.aborted) return;
    box.replaceChildren(make("p", { class: "verdict bad" }, raw(error.message, 1000)));
  }
}

function enterExplain(parameters, signal) {
  const form = byId("explain-form");
  form.elements.url.value = parameters.get("url") ?? "";
  const methods = [...form.elements.method.options].map((option) => option.value);
  const method = parameters.get("method") ?? "GET";
  form.elements.method.value = methods.includes(method) ? method : "GET";
  form.elements.header.value = parameters.getAll("header").join("\n");
  byId("explanation").replaceChildren();
  form.onsubmit = (event) => {
    event.preventDefault();
    runExplain(signal);
  };
  if (form.elements.url.value) runExplain(signal);
}

// ---- Purge ----

const KINDS = {
  url: ["URL", "One URL, with all its variants.", "http://host.example/path"],
  prefix: ["Prefix", "Every URL that begins with this.", "http://host.example/pool/"],
  host: ["Host", "Every URL of this host.", "host.example"],
  glob: [
    "Glob",
    "* stands for anything within one part, ** across parts.",
    "http://*.example/**/*.deb",
  ],
  tag: [
    "Tag",
    "Every entry that its origin gave this tag (Cache-Tag, Surrogate-Key, xkey).",
    "release-42",
  ],
  all: ["", "The whole store.", ""],
};

function purgeForm() {
  const form = byId("purge-form");
  const kind = form.elements.kind.value;
  const value = form.elements.value.value.trim();
  return { kind, value, soft: form.elements.soft.checked };
}

function drawPurge() {
  const { kind } = purgeForm();
  const [label, hint, example] = KINDS[kind];
  const field = byId("purge-form").elements.value;
  byId("purge-value").hidden = kind === "all";
  byId("purge-label").textContent = label;
  byId("purge-hint").textContent = hint;
  field.placeholder = example;
  field.required = kind !== "all";
  byId("purge-result").replaceChildren();
}

function purge({ kind, value, variant, soft }, dryRun, signal) {
  return post(
    "/api/purge",
    { [kind]: kind === "all" ? true : value, variant, soft, dry_run: dryRun },
    signal,
  );
}

const entriesText = (number) => some(number, "entry", "entries");

function deed(wanted, number, past = false) {
  if (wanted.variant) return "Purge this variant";
  if (wanted.soft) return `${past ? "Made" : "Make"} ${entriesText(number)} stale`;
  return `${past ? "Purged" : "Purge"} ${entriesText(number)}`;
}

function scope({ kind, value }) {
  if (kind === "all") return [make("b", {}, "everything in the store")];
  return [`${kind === "url" ? "URL" : kind} `, raw(value, 600)];
}

async function countPurge(signal) {
  const wanted = purgeForm();
  const result = byId("purge-result");
  result.replaceChildren(make("p", { class: "empty" }, "Counting."));
  try {
    const found = await purge(wanted, true, signal);
    if (JSON.stringify(wanted) !== JSON.stringify(purgeForm())) return;
    const size = found.keys ? `, ${octets(found.octets)}` : "";
    const lines = [
      make(
        "p",
        {},
        make("b", {}, `${entriesText(found.keys)}${size}`),
        " for ",
        ...scope(wanted),
        ".",
      ),
    ];
    if (found.keys) {
      const button = make(
        "button",
        { type: "button", class: "danger" },
        `${deed(wanted, found.keys)}\u2026`,
      );
      button.addEventListener("click", () =>
        confirmPurge(wanted, found, () => carryOut(wanted, signal)),
      );
      lines.push(make("p", { class: "row" }, button));
    }
    result.replaceChildren(make("div", { class: "verdict" }, ...lines));
  } catch (error) {
    if (!signal.aborted)
      result.replaceChildren(make("p", { class: "verdict bad" }, raw(error.message, 1000)));
  }
}

function confirmPurge(wanted, found, act) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = `${deed(wanted, found.keys)}?`;
  byId("confirm-text").replaceChildren(
    make(
      "p",
      {},
      make("b", {}, KINDS[wanted.kind][0] || "Everything"),
      " ",
      raw(wanted.kind === "all" ? "" : wanted.value, 600),
      `, ${octets(found.octets)}.`,
    ),
    make(
      "p",
      {},
      wanted.soft
        ? "The next request for each of them asks its origin first."
        : "What is purged is fetched again from its origin when it is next asked for.",
    ),
  );
  byId("confirm-yes").textContent = deed(wanted, found.keys);
  dialog.returnValue = "";
  dialog.onclose = () => dialog.returnValue === "yes" && act();
  dialog.showModal();
}

async function carryOut(wanted, signal) {
  const result = byId("purge-result");
  result.replaceChildren(make("p", { class: "empty" }, wanted.soft ? "Marking." : "Purging."));
  try {
    const done = await purge(wanted, false, signal);
    listing.asked = null;
    result.replaceChildren(
      make(
        "p",
        { class: "verdict" },
        make("b", {}, deed(wanted, done.keys, true)),
        `, ${octets(done.octets)}, for `,
        ...scope(wanted),
        ".",
      ),
    );
  } catch (error) {
    if (!signal.aborted)
      result.replaceChildren(make("p", { class: "verdict bad" }, raw(error.message, 1000)));
  }
}

function enterPurge(parameters, signal) {
  const form = byId("purge-form");
  const given = Object.keys(KINDS).find((kind) => parameters.has(kind));
  form.elements.kind.value = given ?? "url";
  form.elements.value.value = given ? parameters.get(given) : "";
  form.elements.soft.checked = false;
  drawPurge();
  form.onsubmit = (event) => {
    event.preventDefault();
    countPurge(signal);
  };
}

// ---- Reasons ----

function enterReasons(_, __, word) {
  for (const row of document.querySelectorAll(".words tr.here")) row.classList.remove("here");
  const row = word && byId(`reason-${word}`);
  if (!row) return false;
  row.classList.add("here");
  row.scrollIntoView({ block: "center" });
  return true;
}

// ---- Views ----

const VIEWS = {
  overview: ["Overview", enterOverview],
  entries: ["Entries", enterEntries],
  entry: ["Entry", enterEntry],
  explain: ["Explain", enterExplain],
  purge: ["Purge", enterPurge],
  reasons: ["Reasons", enterReasons],
};

let leaving = new AbortController();
let first = true;

function show() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const [path, search = ""] = location.hash.slice(2).split(/\?(.*)/s);
  const [asked, rest = ""] = path.split("/");
  const name = Object.hasOwn(VIEWS, asked) ? asked : "overview";
  const [title, enter] = VIEWS[name];
  leaving.abort();
  leaving = new AbortController();
  for (const node of document.querySelectorAll(".view")) node.hidden = node.id !== name;
  const marked = name === "entry" ? "entries" : name;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === marked) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = name === "overview" ? "Forecache" : `${title} \u2013 Forecache`;
  byId("notice").hidden = true;
  if (!first) byId(`${name}-title`).focus({ preventScroll: true });
  const placed = enter(new URLSearchParams(search), leaving.signal, rest);
  if (placed !== true) window.scrollTo(0, 0);
  first = false;
  if (name !== "overview" && !overview.stats) introduce(leaving.signal);
}

// The other views say too whose store this is.
async function introduce(signal) {
  try {
    takeStats(await ask("/api/stats", { signal }));
  } catch (error) {
    if (!signal.aborted) tell(error);
  }
}

function later(milliseconds, work) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, milliseconds);
  };
}

function everyKey(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, dialog")) return;
  event.preventDefault();
  if (byId("entries").hidden) location.hash = "#/entries";
  // The view is shown by the event of the hash, which comes after this one.
  setTimeout(() => byId("search").elements.q.select(), 0);
}

function attend() {
  const form = byId("search");
  const typed = later(200, search);
  form.addEventListener("input", typed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  form.elements.q.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    byId("grid").focus({ preventScroll: true });
    moveTo(Math.max(0, listing.active));
  });
  byId("filters-toggle").addEventListener("click", ({ currentTarget: button }) => {
    button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
  });
  byId("grid").addEventListener("keydown", gridKey);
  byId("grid").addEventListener("click", (event) => {
    const button = event.target.closest("[data-sort]");
    if (button) sortBy(button.dataset.sort);
  });
  byId("more").addEventListener("click", () => loadPage(false));
  window.addEventListener("scroll", () => soon(drawListing), { passive: true });
  window.addEventListener("resize", () => soon(drawListing));
  byId("span").addEventListener("change", () => soon(drawPlots));
  byId("top-kind").addEventListener("change", () => overview.stats && soon(drawTop));
  byId("top-order").addEventListener("change", () => overview.stats && soon(drawTop));
  byId("live-pause").addEventListener("click", () => pauseLive(!live.paused));
  byId("live-show").addEventListener("change", () => {
    live.kept = live.kept.filter(LIVE_SHOWS[byId("live-show").value]);
    soon(drawLive);
  });
  byId("purge-form").addEventListener("input", drawPurge);
  document.addEventListener("keydown", everyKey);
  window.addEventListener("hashchange", show);
}

attend();
show();
