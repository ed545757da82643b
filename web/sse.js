// Server-sent events (HTML Living Standard, 9.2.6) from pieces of a stream that may end anywhere.

export class SseParser {
  #rest = "";
  #type = "";
  #data = [];

  // Takes decoded text; returns the events that it completes, as {type, data}.
  push(text) {
    const events = [];
    this.#rest += text;
    // A CR at the very end may be the first half of a CRLF: it waits for what follows.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") this.#dispatch(events);
      else this.#field(line);
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;  // a comment, sent to keep the connection
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    if (name === "event") this.#type = value;
  }

  #dispatch(events) {
    if (this.#data.length > 0) {
      events.push({type: this.#type || "message", data: this.#data.join("\n")});
    }
    this.#type = "";
    this.#data = [];
  }
}

// The events of a ReadableStream of bytes.
export async function* readEvents(stream) {
  const parser = new SseParser();
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, {stream: true}));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
