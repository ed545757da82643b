// An answer as tokens that show how likely they and their alternatives were.
import {byId, element, svg} from "./dom.js";

const details = new WeakMap();  // of a token's span: its entry of `logprobs.content`
const LEVELS = [0.9, 0.5, 0.2, 0.05];  // probabilities from which a token is drawn calmer

const level = (logprob) => LEVELS.filter((bound) => Math.exp(logprob) < bound).length;
const visible = (token) => JSON.stringify(token).slice(1, -1).replaceAll(" ", "␣") || "(empty)";

function percent(logprob) {
  const value = 100 * Math.exp(logprob);
  return value > 0 && value < 0.1 ? "< 0.1 %" : `${value.toFixed(1)} %`;
}

// Appends tokens to a node. A character whose bytes are spread over tokens stands with the last.
export class TokenWriter {
  #decoder = new TextDecoder();

  constructor(node) {
    this.node = node;
    node.classList.add("tokens");
    node.tabIndex = 0;
    node.setAttribute("role", "group");
    node.setAttribute("aria-label", "Answer by tokens; arrow keys show their probabilities");
  }

  append(entries) {
    for (const entry of entries) {
      const text = entry.bytes
        ? this.#decoder.decode(Uint8Array.from(entry.bytes), {stream: true})
        : entry.token;
      const span = element("span", {class: `token level-${level(entry.logprob)}`}, text);
      details.set(span, entry);
      this.node.append(span);
    }
  }
}

function row(entry, isChosen) {
  const bar = svg("svg", {viewBox: "0 0 100 10", class: "bar", "aria-hidden": "true"},
                  svg("rect", {width: 100, height: 10, class: "track"}),
                  svg("rect", {width: 100 * Math.exp(entry.logprob), height: 10}));
  return element("tr", isChosen ? {class: "chosen"} : {},
                 element("th", {scope: "row"}, visible(entry.token)),
                 element("td", {}, percent(entry.logprob)), element("td", {}, bar));
}

function table(entry) {
  const others = (entry.top_logprobs ?? []).filter(({token}) => token !== entry.token);
  const rows = [row(entry, true), ...others.map((other) => row(other, false))];
  return element("table", {}, element("caption", {}, "This token and the likeliest others"),
                 element("tbody", {}, ...rows));
}

let current = null;

function hide() {
  current?.classList.remove("current");
  current = null;
  byId("token").hidden = true;
}

function show(span) {
  if (span === current) return;
  hide();
  current = span;
  span.classList.add("current");
  const tip = byId("token");
  tip.replaceChildren(table(details.get(span)));
  tip.hidden = false;
  const at = span.getClientRects()[0] ?? span.getBoundingClientRect();
  const left = Math.min(at.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  const isBelow = at.bottom + tip.offsetHeight + 8 < document.documentElement.clientHeight;
  tip.style.left = `${Math.max(left, 8)}px`;
  tip.style.top = `${isBelow ? at.bottom + 6 : Math.max(at.top - tip.offsetHeight - 6, 8)}px`;
}

function moveBy(node, steps) {
  const all = [...node.querySelectorAll(".token")];
  const at = all.indexOf(current);
  const next = all[Math.min(Math.max(at + steps, 0), all.length - 1)];
  if (!next) return;
  next.scrollIntoView({block: "nearest"});
  show(next);
  announce(details.get(next));
}

function announce(entry) {
  byId("announcement").textContent = `${visible(entry.token)}, ${percent(entry.logprob)}`;
}

// Shows details wherever tokens are in `log`.
export function followTokens(log) {
  const onPointer = ({target}) => (details.has(target) ? show(target) : hide());
  log.addEventListener("pointerover", onPointer);
  log.addEventListener("click", onPointer);
  log.addEventListener("pointerleave", hide);
  log.addEventListener("scroll", hide);
  log.addEventListener("focusout", hide);
  log.addEventListener("keydown", (event) => {
    const steps = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (!steps || !event.target.classList.contains("tokens")) return;
    event.preventDefault();
    moveBy(event.target, steps);
  });
}
