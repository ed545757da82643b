// The second view: what the server does, read from its metrics every second.
import {metricsText} from "./api.js";
import {byId} from "./dom.js";
import {History, HISTORY_SECONDS, parseMetrics, snapshot} from "./metrics.js";
import {Plot} from "./plots.js";

const INTERVAL = 1000;        // milliseconds
const ERROR_INTERVAL = 5000;  // after a failure
const MIN_SECONDS = 60;       // that a plot shows, however little was read

const LATENCIES = (name) => [{key: `${name}Median`, name: "p50"}, {key: `${name}High`, name: "p95"}];
const PLOTS = [
  {title: "Requests", unit: "",
   lines: [{key: "running", name: "running"}, {key: "waiting", name: "waiting"}]},
  {title: "Tokens per second", unit: "/s",
   lines: [{key: "generatedRate", name: "generated"}, {key: "promptRate", name: "prompt"}]},
  {title: "KV cache in use", unit: "%", top: 100, lines: [{key: "kvUse", name: "used"}]},
  {title: "Time to first token", unit: "s", lines: LATENCIES("firstToken")},
  {title: "Time between tokens", unit: "s", lines: LATENCIES("interToken")},
  {title: "Prompt tokens from the cache", unit: "%", top: 100,
   lines: [{key: "prefixHits", name: "found"}]},
];

export class Monitor {
  #history = new History();
  #plots = PLOTS.map((plot) => new Plot(plot));
  #isStarted = false;

  constructor() {
    byId("figures").append(...this.#plots.map(({node}) => node));
  }

  // From the first call on, metrics are read while the page is in view.
  start() {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#poll();
  }

  async #poll() {
    const begin = performance.now();
    const isWell = document.hidden || (await this.#read(begin / 1000));
    const interval = isWell ? INTERVAL : ERROR_INTERVAL;
    setTimeout(() => this.#poll(), Math.max(0, interval - (performance.now() - begin)));
  }

  // Whether there was an answer.
  async #read(time) {
    let isWell = true;
    try {
      const samples = parseMetrics(await metricsText());
      this.#history.add(time, snapshot(samples));
      this.#say("Read every second; tokens/s over 3 s, latencies and cache over 30 s.");
    } catch (error) {
      isWell = false;
      this.#history.addGap(time);
      this.#say(error.message);
    }
    const {points} = this.#history;
    const seconds = Math.min(Math.max(time - points[0].time, MIN_SECONDS), HISTORY_SECONDS);
    for (const plot of this.#plots) plot.draw(points, seconds);
    return isWell;
  }

  // Only what is new is read out.
  #say(text) {
    const status = byId("plots-status");
    if (status.textContent !== text) status.textContent = text;
  }
}
