// Prometheus' text format (0.0.4), and what the plots show of it.

const PREFIX = "lotse:";
const RATE_SECONDS = 3;        // over which counters become rates
const QUANTILE_SECONDS = 30;   // over which latencies are collected
export const HISTORY_SECONDS = 300;

const SAMPLE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$/;
const LABEL = /([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"/g;
const ESCAPES = {n: "\n"};

const number = (text) => Number(text.replace(/^([+-]?)Inf$/i, "$1Infinity"));

function labels(text = "") {
  const found = {};
  for (const [, name, value] of text.matchAll(LABEL)) {
    found[name] = value.replace(/\\(.)/g, (_, c) => ESCAPES[c] ?? c);
  }
  return found;
}

// The samples {name, labels, value} of a text; lines that are none are left out.
export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : SAMPLE.exec(line.trim());
    if (match) samples.push({name: match[1], labels: labels(match[2]), value: number(match[3])});
  }
  return samples;
}

// What one reading says of the whole server: its models are added up, except for the KV cache,
// where the fullest counts. A histogram is a Map from upper bounds to counts.
export function snapshot(samples) {
  const all = (name) => samples.filter((sample) => sample.name === PREFIX + name);
  const values = (name) => all(name).map(({value}) => value);
  const sum = (name) => values(name).reduce((total, value) => total + value, 0);
  const buckets = (name) => {
    const counts = new Map();
    for (const {labels: {le}, value} of all(`${name}_bucket`)) {
      counts.set(number(le), (counts.get(number(le)) ?? 0) + value);
    }
    return counts;
  };
  return {
    running: sum("num_requests_running"),
    waiting: sum("num_requests_waiting"),
    kvUse: Math.max(0, ...values("kv_cache_usage_perc")),
    promptTokens: sum("prompt_tokens_total"),
    generatedTokens: sum("generation_tokens_total"),
    prefixQueries: sum("prefix_cache_queries_total"),
    prefixHits: sum("prefix_cache_hits_total"),
    firstToken: buckets("time_to_first_token_seconds"),
    interToken: buckets("inter_token_latency_seconds"),
  };
}

// The quantile `q` of what was observed between two readings of a histogram, by linear
// interpolation within its bucket as Prometheus' histogram_quantile does; null without
// observations.
export function quantile(q, before, after) {
  const bounds = [...after.keys()].sort((a, b) => a - b);
  const counts = bounds.map((bound) => after.get(bound) - (before.get(bound) ?? 0));
  const total = counts.at(-1);
  if (!(total > 0)) return null;
  const rank = q * total;
  const at = counts.findIndex((count) => count >= rank && count > 0);
  const low = at > 0 ? bounds[at - 1] : 0;
  if (bounds[at] === Infinity) return low;
  const below = at > 0 ? counts[at - 1] : 0;
  return low + (bounds[at] - low) * ((rank - below) / (counts[at] - below));
}

// What was seen in the last minutes, as points to plot. Times in seconds.
export class History {
  #readings = [];  // {time, …snapshot}
  points = [];     // {time, and a value or null for each line of a plot}

  add(time, reading) {
    const last = this.#readings.at(-1);
    const isRestarted = last && reading.generatedTokens < last.generatedTokens;
    if (isRestarted) this.#readings = [];
    this.#readings.push({...reading, time});
    this.#readings = this.#readings.filter((old) => time - old.time <= QUANTILE_SECONDS + 1);
    this.points.push(this.#point());
    this.points = this.points.filter((old) => time - old.time <= HISTORY_SECONDS);
  }

  // Where nothing could be read, lines have a gap.
  addGap(time) {
    this.points.push({time});
  }

  // The oldest reading within the last `seconds`.
  #since(seconds) {
    const now = this.#readings.at(-1).time;
    return this.#readings.find((reading) => now - reading.time <= seconds);
  }

  #point() {
    const now = this.#readings.at(-1);
    const before = this.#since(RATE_SECONDS + 0.5);
    const rate = (name) =>
      now === before ? null : (now[name] - before[name]) / (now.time - before.time);
    const old = this.#since(QUANTILE_SECONDS);
    const latency = (q, name) => quantile(q, old[name], now[name]);
    const queries = now.prefixQueries - old.prefixQueries;
    return {
      time: now.time,
      running: now.running,
      waiting: now.waiting,
      kvUse: 100 * now.kvUse,
      promptRate: rate("promptTokens"),
      generatedRate: rate("generatedTokens"),
      firstTokenMedian: latency(0.5, "firstToken"),
      firstTokenHigh: latency(0.95, "firstToken"),
      interTokenMedian: latency(0.5, "interToken"),
      interTokenHigh: latency(0.95, "interToken"),
      prefixHits: queries > 0 ? (100 * (now.prefixHits - old.prefixHits)) / queries : null,
    };
  }
}
