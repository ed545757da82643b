// The conversation: sending, streaming, stopping, editing and trying again.
import {streamChat} from "./api.js";
import {byId} from "./dom.js";
import {Message} from "./message.js";
import {openSettings} from "./settings.js";
import {followTokens} from "./tokens.js";

const NEAR_END = 60;  // pixels from the end within which the log follows an answer
const ANNOUNCED = 1000;  // characters of an answer that are read out

// What is said under an answer. Times in milliseconds; `first` is null when no token came.
export function answerFacts({usage, begin, first, last, reason}) {
  const facts = [];
  if (usage) {
    const cached = usage.prompt_tokens_details?.cached_tokens;
    facts.push(`${usage.prompt_tokens} prompt tokens` + (cached ? ` (${cached} cached)` : ""));
    facts.push(`${usage.completion_tokens} answer tokens`);
  }
  if (first !== null) {
    facts.push(`first after ${((first - begin) / 1000).toFixed(2)} s`);
    const seconds = (last - first) / 1000;
    if (usage?.completion_tokens > 1 && seconds > 0) {
      facts.push(`${((usage.completion_tokens - 1) / seconds).toFixed(1)} tokens/s`);
    }
  }
  if (reason === "length") facts.push("cut at the most tokens allowed");
  if (reason === "stopped") facts.push("stopped");
  return facts.join(" · ");
}

export class Chat {
  #messages = [];
  #log = byId("log");
  #prompt = byId("prompt");
  #running = null;  // AbortController of the answer that is being streamed

  constructor(settings, modelName) {
    this.settings = settings;
    this.modelName = modelName;
    followTokens(this.#log);
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    this.#prompt.addEventListener("input", () => this.#fitPrompt());
    byId("stop").addEventListener("click", () => this.stop());
    byId("clear").addEventListener("click", () => this.#clear());
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.stop());
  }

  stop() {
    this.#running?.abort();
  }

  #clear() {
    this.#cutTo(0);
    this.#prompt.focus();
  }

  #send() {
    const text = this.#prompt.value.trim();
    if (!text || this.#running) return;
    if (!this.#request([{role: "user", content: text}])) return;
    this.#prompt.value = "";
    this.#fitPrompt();
    const message = this.#add(new Message("user", text));
    message.setActions([["Edit", () => message.edit(() => this.#answer(message))]]);
    this.#answer(message);
  }

  #request(more = []) {
    const history = this.#messages.filter(({content}) => content);
    const messages = history.map(({role, content}) => ({role, content}));
    return this.settings.request(this.modelName(), [...messages, ...more]);
  }

  #add(message) {
    byId("greeting").hidden = true;
    this.#messages.push(message);
    this.#log.append(message.node);
    this.#log.scrollTop = this.#log.scrollHeight;
    return message;
  }

  // Forgets what follows the first `count` messages.
  #cutTo(count) {
    this.stop();
    for (const {node} of this.#messages.splice(count)) node.remove();
    byId("greeting").hidden = this.#messages.length > 0;
  }

  // Answers a message of the user anew: what followed it goes.
  async #answer(question) {
    this.#cutTo(this.#messages.indexOf(question) + 1);
    const body = this.#request();
    if (!body) return;
    const control = new AbortController();
    this.#running = control;
    this.#setRunning(true);
    const answer = this.#add(new Message("assistant"));
    answer.setBusy(true);
    const end = await this.#stream(body, control.signal, answer);
    this.#follow(() => {
      answer.setBusy(false);
      if (end.error) answer.showError(end.error);
      answer.setFacts(answerFacts(end));
      answer.setActions([["Try again", () => this.#answer(question)], ...copyAction(answer)]);
    });
    if (this.#running !== control) return;  // stopped by what began another answer
    this.#running = null;
    this.#setRunning(false);
  }

  // Returns the facts of the answer, with `error` if it failed.
  async #stream(body, signal, answer) {
    const facts = {usage: null, begin: performance.now(), first: null, last: null, reason: null};
    try {
      for await (const chunk of streamChat(body, signal)) {
        facts.usage = chunk.usage ?? facts.usage;
        const [choice] = chunk.choices;
        if (!choice) continue;
        facts.reason = choice.finish_reason ?? facts.reason;
        const {content, reasoning, reasoning_content: older} = choice.delta ?? {};
        if (content || reasoning || older) {
          facts.last = performance.now();
          facts.first ??= facts.last;
        }
        this.#follow(() => answer.append(choice));
      }
      announce(answer.content.slice(0, ANNOUNCED));
    } catch (error) {
      if (error.name === "AbortError") {
        facts.reason = "stopped";
        announce("Stopped");
      } else {
        facts.error = error.message;
        if (error.status === 401) openSettings();
      }
    }
    return facts;
  }

  // Changes the log, and stays at its end if that was in view.
  #follow(change) {
    const log = this.#log;
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
    change();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }

  #setRunning(isRunning) {
    byId("send").hidden = isRunning;
    byId("stop").hidden = !isRunning;
    if (isRunning) announce("The model answers");
  }

  #fitPrompt() {
    this.#prompt.rows = Math.min(this.#prompt.value.split("\n").length, 8);
  }
}

function announce(text) {
  byId("announcement").textContent = text;
}

// Browsers give pages a clipboard over HTTPS and on the same machine only.
function copyAction(message) {
  if (!navigator.clipboard || !message.content) return [];
  return [["Copy", () => navigator.clipboard.writeText(message.content)]];
}
