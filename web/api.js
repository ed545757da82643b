// Requests to the server that sent this page.
import {readEvents} from "./sse.js";

const KEY = "lotse.key";

export const apiKey = () => sessionStorage.getItem(KEY) ?? "";

export function setApiKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

// What the server answered instead of what was asked; status 0: no answer at all.
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options = {}) {
  const headers = {...options.headers};
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  let response;
  try {
    response = await fetch(path, {...options, headers, cache: "no-store"});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached.");
  }
  if (!response.ok) throw new ApiError(response.status, await refusal(response));
  return response;
}

async function refusal(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return text || `The server answered ${response.status}.`;
  }
}

export async function models() {
  return (await (await request("v1/models")).json()).data;
}

export async function metricsText() {
  return (await request("metrics")).text();
}

// The chunks of an answer. Throws ApiError, also for a failure in mid-stream.
export async function* streamChat(body, signal) {
  const response = await request("v1/chat/completions", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body),
    signal,
  });
  try {
    for await (const {type, data} of readEvents(response.body)) {
      if (data === "[DONE]") return;
      const json = JSON.parse(data);
      if (type === "error" || json.error) {
        throw new ApiError(500, json.error?.message ?? "The server failed while it answered.");
      }
      yield json;
    }
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError(0, "The connection broke off.");
    throw error;
  }
  throw new ApiError(0, "The connection ended before the answer was complete.");
}
