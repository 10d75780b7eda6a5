// Calls of the server's HTTP interface.

export class Problem extends Error {
  constructor(message, reason = "", status = 0) {
    super(message);
    this.reason = reason;
    this.status = status;
  }
}

async function call(path, token, options = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Is it still running?", "UNREACHABLE");
  }
  if (response.ok) return response.json();
  const status = await response.json().catch(() => ({ message: `HTTP status ${response.status}` }));
  const reason = (status.details ?? []).find((detail) => detail.reason)?.reason ?? "";
  const wait = response.headers.get("retry-after");
  const message = wait ? `${status.message} (wait ${wait} s)` : status.message;
  throw new Problem(message, reason, response.status);
}

export const serverInfo = (token) => call("v1/server", token);
export const settings = () => call("static/settings.json");
export const models = (token) => call("v1/models", token);
export const card = (name, token) => call(`v1/models/${encodeURIComponent(name)}`, token);

export function query({ tasks, maxFaces, models }) {
  const parameters = new URLSearchParams();
  if (tasks) parameters.set("tasks", tasks.join(","));
  if (maxFaces) parameters.set("max_faces", maxFaces);
  if (models) parameters.set("models", models);
  const text = parameters.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return text ? `?${text}` : "";
}

export function analyze(image, options, token, signal) {
  return call(`v1/analyze${query(options)}`, token, { method: "POST", body: image, signal });
}
