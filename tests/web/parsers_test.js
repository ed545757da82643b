// The page's pure functions; runs in a browser and under node. Exports {name: function}.
import {answerFacts} from "/chat.js";
import {History, parseMetrics, quantile, snapshot} from "/metrics.js";
import {niceCeiling, shortNumber} from "/plots.js";
import {chatRequest} from "/settings.js";
import {readEvents, SseParser} from "/sse.js";

function equal(actual, expected) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`expected ${b}, got ${a}`);
}

function near(actual, expected) {
  if (Math.abs(actual - expected) > 1e-9) throw new Error(`expected ${expected}, got ${actual}`);
}

const STREAM = ": ping\n\ndata: {\"a\":\"é€🚢\"}\r\n\r\nevent: error\rdata:one\rdata:  two\r\r" +
  "id: 7\nretry: 5\n\ndata\n\nevent: lost\n\ndata: [DONE]\n\ndata: cut off";
const EVENTS = [{type: "message", data: "{\"a\":\"é€🚢\"}"}, {type: "error", data: "one\n two"},
                {type: "message", data: ""}, {type: "message", data: "[DONE]"}];

const streamOf = (parts) => new ReadableStream({
  start(control) {
    for (const part of parts) control.enqueue(part);
    control.close();
  },
});

async function eventsOf(parts) {
  const events = [];
  for await (const event of readEvents(streamOf(parts))) events.push(event);
  return events;
}

const METRICS = `# HELP lotse:num_requests_running a } in "help"
# TYPE lotse:num_requests_running gauge
lotse:num_requests_running{model_name="a"} 2
lotse:num_requests_running{model_name="b \\"}\\\\\\n,x=",other="1",} 3 1700000000000
lotse:kv_cache_usage_perc{model_name="a"} 2.5e-1
lotse:kv_cache_usage_perc{model_name="b"} 0.5
vllm:num_requests_waiting 9
up 1
no_value
bad{x="1} 3
special NaN
special +Inf
special -Inf
lotse:time_to_first_token_seconds_bucket{le="0.1"} 10
lotse:time_to_first_token_seconds_bucket{le="0.2"} 30
lotse:time_to_first_token_seconds_bucket{le="+Inf"} 40
`;

const PLAIN = {temperature: "", top_p: "", top_k: "", min_p: "", max_tokens: "", seed: "",
               system: "", schema: "", logprobs: false, use_schema: false};

export const tests = {
  async "a stream in one piece"() {
    equal(await eventsOf([new TextEncoder().encode(STREAM)]), EVENTS);
  },

  async "a stream split at every byte"() {
    const bytes = new TextEncoder().encode(STREAM);
    for (let at = 0; at <= bytes.length; ++at) {
      equal(await eventsOf([bytes.slice(0, at), bytes.slice(at)]), EVENTS);
    }
    equal(await eventsOf([...bytes].map((byte) => Uint8Array.of(byte))), EVENTS);
  },

  "a CR at the end waits for its LF"() {
    const parser = new SseParser();
    equal(parser.push("data: x\r"), []);
    equal(parser.push("\n"), []);
    equal(parser.push("\r\n"), [{type: "message", data: "x"}]);
  },

  "metrics are read with labels, escapes and timestamps"() {
    const samples = parseMetrics(METRICS);
    equal(samples[1], {name: "lotse:num_requests_running",
                       labels: {model_name: 'b "}\\\n,x=', other: "1"}, value: 3});
    equal(samples.filter(({name}) => name === "up").length, 1);
    equal(samples.some(({name}) => name === "no_value"), false);
    const special = samples.filter(({name}) => name === "special").map(({value}) => String(value));
    equal(special, ["NaN", "Infinity", "-Infinity"]);
  },

  "a snapshot adds models up and ignores other names"() {
    const {running, waiting, kvUse, firstToken} = snapshot(parseMetrics(METRICS));
    equal([running, waiting, kvUse], [5, 0, 0.5]);
    equal([...firstToken], [[0.1, 10], [0.2, 30], [null, 40]]);
  },

  "quantiles interpolate within a bucket"() {
    const after = new Map([[0.1, 10], [0.2, 30], [Infinity, 40]]);
    const none = new Map();
    near(quantile(0.25, none, after), 0.1);
    near(quantile(0.5, none, after), 0.15);
    near(quantile(0.05, none, after), 0.02);
    near(quantile(0.95, none, after), 0.2);  // beyond the last bound nothing is known
    near(quantile(0.5, new Map([[0.1, 10], [0.2, 20], [Infinity, 20]]), after), 0.2);
    equal(quantile(0.5, after, after), null);
    equal(quantile(0.5, none, none), null);
  },

  "quantiles stay within the bucket of the true one"() {
    let state = 5;
    const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
    for (let trial = 0; trial < 200; ++trial) {
      const values = Array.from({length: 1 + trial}, () => 10 * random() ** 3).sort((a, b) => a - b);
      const bounds = [0.01, 0.1, 0.5, 1, 2, 5, 10, Infinity];
      const counts = new Map(bounds.map((b) => [b, values.filter((v) => v <= b).length]));
      const q = random();
      const truth = values[Math.max(0, Math.ceil(q * values.length) - 1)];
      const at = bounds.findIndex((bound) => truth <= bound);
      const found = quantile(q, new Map(), counts);
      if (found < (bounds[at - 1] ?? 0) - 1e-12 || found > bounds[at] + 1e-12) {
        throw new Error(`quantile ${q}: ${found}, though ${truth} is in bucket ${bounds[at]}`);
      }
    }
  },

  "rates are per second, with a gap where nothing was read and after a restart"() {
    const history = new History();
    const reading = (count) => ({...snapshot([]), generatedTokens: count});
    history.add(100, reading(0));
    history.add(101, reading(50));
    history.add(103, reading(90));
    history.addGap(104);
    history.add(105, reading(10));
    equal(history.points.map(({generatedRate}) => generatedRate ?? null), [null, 50, 30, null, null]);
    for (let time = 106; time < 600; ++time) history.add(time, reading(10 * (time - 104)));
    equal(history.points.at(-1).generatedRate, 10);
    equal(history.points[0].time, 299);
  },

  "scales and numbers are round"() {
    equal([0, 0.013, 1, 3, 20, 21, 99].map(niceCeiling), [1, 0.02, 1, 5, 20, 50, 100]);
    equal([0, 0.01234, 12.345, 123.4, 12345, 2.5e6].map(shortNumber),
          ["0", "0.0123", "12.3", "123", "12.3k", "2.5M"]);
  },

  "a request has only what was set"() {
    const messages = [{role: "user", content: "Hello"}];
    equal(chatRequest("m", PLAIN, messages),
          {model: "m", messages, stream: true, stream_options: {include_usage: true}});
    const body = chatRequest("m", {...PLAIN, temperature: "0", top_k: "-1", seed: "7",
                                   system: "Be brief", logprobs: true, use_schema: true,
                                   schema: '{"type":"object"}'}, messages);
    equal(body.messages[0], {role: "system", content: "Be brief"});
    equal([body.temperature, body.top_k, body.seed, body.top_p], [0, -1, 7, undefined]);
    equal([body.logprobs, body.top_logprobs], [true, 5]);
    equal(body.response_format.json_schema.schema, {type: "object"});
    equal(messages.length, 1);
  },

  "facts of an answer"() {
    const usage = {prompt_tokens: 20, completion_tokens: 11,
                   prompt_tokens_details: {cached_tokens: 16}};
    equal(answerFacts({usage, begin: 0, first: 500, last: 1500, reason: "stop"}),
          "20 prompt tokens (16 cached) · 11 answer tokens · first after 0.50 s · 10.0 tokens/s");
    equal(answerFacts({usage: null, begin: 0, first: null, last: null, reason: "stopped"}), "stopped");
  },
};

// Runs all; returns what failed, as texts.
export async function run() {
  const failures = [];
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test();
    } catch (error) {
      failures.push(`${name}: ${error.message}`);
    }
  }
  return {count: Object.keys(tests).length, failures};
}
