// The settings form: what a request carries besides its messages.
import {byId} from "./dom.js";

const STORE = "lotse.settings";
const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"];
const TEXTS = ["system", "schema"];
const CHECKS = ["logprobs", "use_schema"];
const ALTERNATIVES = 5;
const EXAMPLE_SCHEMA = `{
  "type": "object",
  "properties": {
    "answer": {"type": "string"}
  },
  "required": ["answer"]
}`;

// The body of a chat request. `values` has a text for each of NUMBERS and TEXTS and a boolean for
// each of CHECKS. Throws SyntaxError for a schema that is no JSON.
export function chatRequest(model, values, messages) {
  const body = {model, messages: [...messages], stream: true, stream_options: {include_usage: true}};
  if (values.system) body.messages.unshift({role: "system", content: values.system});
  for (const name of NUMBERS) {
    if (values[name] !== "") body[name] = Number(values[name]);
  }
  if (values.logprobs) {
    body.logprobs = true;
    body.top_logprobs = ALTERNATIVES;
  }
  if (values.use_schema) {
    const schema = JSON.parse(values.schema);
    body.response_format = {type: "json_schema", json_schema: {name: "answer", strict: true, schema}};
  }
  return body;
}

export class Settings {
  #form = byId("settings-form");

  constructor() {
    this.#restore();
    this.#form.addEventListener("input", () => this.#changed());
    this.#form.addEventListener("reset", (event) => {
      event.preventDefault();  // which would empty the other fields, too
      for (const name of NUMBERS) this.#field(name).value = "";
      this.#changed();
    });
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#show();
  }

  // Null, with the offending field focused, when the form cannot be sent.
  request(model, messages) {
    const invalid = this.#form.querySelector("input:invalid");
    try {
      if (!invalid) return chatRequest(model, this.#values(), messages);
    } catch {
      // A schema that is no JSON; the form says so.
    }
    openSettings();
    (invalid ?? this.#field("schema")).focus();
    invalid?.reportValidity();
    return null;
  }

  #field(name) {
    return this.#form.elements.namedItem(name);
  }

  #values() {
    const values = {};
    for (const name of [...NUMBERS, ...TEXTS]) values[name] = this.#field(name).value.trim();
    for (const name of CHECKS) values[name] = this.#field(name).checked;
    return values;
  }

  #restore() {
    const stored = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    for (const name of [...NUMBERS, ...TEXTS]) this.#field(name).value = stored[name] ?? "";
    for (const name of CHECKS) this.#field(name).checked = stored[name] === true;
    if (!this.#field("schema").value) this.#field("schema").value = EXAMPLE_SCHEMA;
  }

  #changed() {
    localStorage.setItem(STORE, JSON.stringify(this.#values()));
    this.#show();
  }

  #show() {
    const {use_schema: isUsed, schema} = this.#values();
    byId("schema-field").hidden = !isUsed;
    byId("schema-error").textContent = isUsed ? syntaxError(schema) : "";
  }
}

function syntaxError(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return `The schema is no JSON: ${error.message}`;
  }
}

export function openSettings(isOpen = true) {
  byId("settings").hidden = !isOpen;
  byId("settings-toggle").setAttribute("aria-expanded", String(isOpen));
}
