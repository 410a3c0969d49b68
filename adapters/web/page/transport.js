// Calls to the API. Addresses are relative to the page, so that it also works below a proxy's path.

// The server sends a comment every 15 seconds; a stream that is silent for three of them is dead.
const SILENCE_MS = 45_000;
const CALL_MS = 20_000;

export class Unreachable extends Error {}

export class Refused extends Error {
  constructor(status, code, retryAfter) {
    super(`${status} ${code}`);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

function request(path, body, signal) {
  return fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    signal,
  });
}

async function refusal(response) {
  let code = "";
  try {
    code = (await response.json()).error?.code ?? "";
  } catch {
    // A proxy's own page; the status has to do.
  }
  return new Refused(response.status, code, Number(response.headers.get("Retry-After")) || 0);
}

export async function call(path, body) {
  let response;
  try {
    response = await request(path, body, AbortSignal.timeout(CALL_MS));
    if (response.ok) return response.status === 204 ? null : await response.json();
  } catch (error) {
    throw new Unreachable(error.name);
  }
  throw await refusal(response);
}

// Yields {name, data}. `opened` is called with the headers, once the server has taken the request.
// Ends when the server ends the stream or `signal` is aborted; throws Unreachable when the connection breaks.
export async function* stream(path, body, { signal, opened }) {
  const own = new AbortController();
  const leave = () => own.abort();
  signal.addEventListener("abort", leave);
  if (signal.aborted) leave();
  let watch = setTimeout(leave, SILENCE_MS);
  try {
    const response = await request(path, body, own.signal);
    if (!response.ok) throw await refusal(response);
    opened?.(response.headers);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(leave, SILENCE_MS);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event) yield event;
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    throw error instanceof Refused ? error : new Unreachable(error.name);
  } finally {
    clearTimeout(watch);
    signal.removeEventListener("abort", leave);
    own.abort();
  }
}

function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}

// Resolves after that time, or earlier when the network comes back or the page is looked at again.
export function pause(ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      document.removeEventListener("visibilitychange", seen);
      resolve();
    };
    const seen = () => document.visibilityState === "visible" && done();
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    document.addEventListener("visibilitychange", seen);
  });
}

export function backoff(tries, least = 0) {
  return Math.max(least * 1000, Math.min(15_000, 500 * 2 ** tries) * (0.7 + 0.6 * Math.random()));
}
