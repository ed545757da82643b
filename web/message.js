// One message of the conversation, as it stands on the page.
import {button, element} from "./dom.js";
import {TokenWriter} from "./tokens.js";

const NAMES = {user: "You", assistant: "Model"};

export class Message {
  #text = element("div", {class: "text"});
  #facts = element("p", {class: "facts"});
  #actions = element("div", {class: "actions"});
  #reasoning = null;  // {box, text, writer}
  #writer = null;

  constructor(role, content = "") {
    this.role = role;
    this.content = content;
    this.#text.textContent = content;
    this.node = element("article", {class: role, "aria-label": NAMES[role]},
                        element("h3", {}, NAMES[role]), this.#text, this.#facts, this.#actions);
  }

  setActions(actions) {
    this.#actions.replaceChildren(...actions.map(([label, act]) => button(label, act)));
  }

  setBusy(isBusy) {
    this.node.setAttribute("aria-busy", String(isBusy));
  }

  // One choice of a chunk of the stream.
  append({delta = {}, logprobs}) {
    const entries = logprobs?.content;
    const reasoning = delta.reasoning ?? delta.reasoning_content;
    if (reasoning) this.#appendReasoning(reasoning, entries);
    else this.#appendContent(delta.content ?? "", entries);
  }

  #appendContent(content, entries) {
    this.content += content;
    if (entries?.length) {
      this.#writer ??= new TokenWriter(this.#text);
      this.#writer.append(entries);
    } else if (content && !this.#writer) {
      this.#text.append(content);
    }
  }

  #appendReasoning(content, entries) {
    if (!this.#reasoning) {
      const text = element("div", {class: "text"});
      const box = element("details", {class: "reasoning"}, element("summary", {}, "Reasoning"), text);
      this.#text.before(box);
      this.#reasoning = {text, writer: entries?.length ? new TokenWriter(text) : null};
    }
    const {text, writer} = this.#reasoning;
    if (writer) writer.append(entries ?? []);
    else text.append(content);
  }

  setFacts(text) {
    this.#facts.textContent = text;
  }

  showError(text) {
    this.#facts.before(element("p", {class: "error", role: "alert"}, text));
  }

  // Puts an editor in the place of the text until it is sent or left.
  edit(onSend) {
    if (this.node.querySelector(".editor")) return;
    const field = element("textarea", {rows: 3, "aria-label": "Edit the message"});
    field.value = this.content;
    const close = () => {
      editor.remove();
      this.#text.hidden = this.#actions.hidden = false;
    };
    const send = () => {
      if (!field.value.trim()) return;
      close();
      this.content = this.#text.textContent = field.value.trim();
      onSend();
    };
    const editor = element("div", {class: "editor"}, field,
                           element("div", {class: "actions"}, button("Send again", send),
                                   button("Cancel", close)));
    field.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        send();
      } else if (event.key === "Escape") {
        event.stopPropagation();
        close();
      }
    });
    this.#text.hidden = this.#actions.hidden = true;
    this.#text.after(editor);
    field.focus();
  }
}
