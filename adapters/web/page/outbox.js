// Sends what the visitor said, in order, until it has an answer. Every message keeps its id however often it is sent,
// so that the server stores and answers it once; sending it again also joins the answer that is already growing.
// Only the oldest unanswered message keeps its stream, for a session has few of them: the others are stored and wait,
// and are sent again to watch their answer grow when it is their turn.

import { backoff, pause, Refused, stream } from "./transport.js";

const PATHS = { text: "api/v1/chat", action: "api/v1/chat/action" };
// Where an agent reads along the answer may take hours; it comes as an event, and the stream's place is freed.
const WITH_AGENT_MS = 8000;

// watcher: accepted(entry), delta(entry, data), replied(entries, reply), refused(entry, error), waiting(entry, reason), held()
export class Outbox {
  #session;
  #memory;
  #watcher;
  #entries = [];
  #running = false;

  constructor({ session, memory, watcher }) {
    this.#session = session;
    this.#memory = memory;
    this.#watcher = watcher;
  }

  // What the server has taken and not answered yet, be its stream open or just being opened again.
  get expecting() {
    return this.#entries.filter((entry) => entry.inbound);
  }

  // entry: {id, kind: "text" or "action", text, action, value, language, at}
  add(entry) {
    const { id, kind, text, action, value, language, at, silent } = entry;
    this.#memory.set(`unsent.${id}`, { id, kind, text, action, value, language, at, silent });
    Object.assign(entry, { state: "waiting", inbound: 0, detached: false });
    this.#entries.push(entry);
    this.#run();
  }

  // These messages have been answered on another way.
  settle(answers) {
    const settled = this.#entries.filter((entry) => entry.inbound && answers.includes(entry.inbound));
    this.#drop(...settled);
    return settled;
  }

  // Waits no longer for those of these that have no answer yet; returns them.
  giveUp(entries) {
    const left = entries.filter((entry) => this.#entries.includes(entry));
    this.#drop(...left);
    return left;
  }

  clear() {
    this.#drop(...this.#entries);
  }

  #drop(...entries) {
    this.#entries = this.#entries.filter((other) => !entries.includes(other));
    for (const entry of entries) {
      this.#memory.remove(`unsent.${entry.id}`);
      entry.state = "done";
      clearTimeout(entry.timer);
      entry.controller?.abort();
    }
    const [next] = this.expecting;
    if (!next?.detached) return;
    next.detached = false;
    next.state = "waiting";
    this.#run();
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    let tries = 0;
    for (;;) {
      const entry = this.#entries.find((one) => one.state === "waiting");
      if (!entry) break;
      try {
        await this.#deliver(entry);
        tries = 0;
        this.#watcher.waiting(entry, "");
      } catch (error) {
        if (entry.state === "done") continue;
        entry.state = "waiting";
        if (isFinal(error)) {
          this.#drop(entry);
          this.#watcher.refused(entry, error);
          continue;
        }
        this.#watcher.waiting(entry, reason(error));
        await pause(backoff(tries, error.retryAfter));
        tries += 1;
      }
    }
    this.#running = false;
  }

  // Resolves once the server has taken the message; what it answers is followed on.
  #deliver(entry) {
    entry.state = "sending";
    entry.controller = new AbortController();
    return new Promise((taken, failed) => this.#follow(entry, taken).then(taken, failed));
  }

  async #follow(entry, taken) {
    const { id, kind, text, action, value, language } = entry;
    const words = kind === "action" ? { action, value } : { text };
    const opened = (headers) => {
      entry.inbound = Number(headers.get("Kefu-Message")) || 0;
      entry.detached = this.#entries.some((other) => other.state === "accepted" && !other.detached);
      entry.state = "accepted";
      this.#watcher.accepted(entry);
      if (entry.detached) entry.controller.abort();
      if (this.#watcher.held()) entry.timer = setTimeout(() => this.#drop(entry), WITH_AGENT_MS);
      taken();
    };
    const options = { signal: entry.controller.signal, opened };
    try {
      for await (const event of stream(PATHS[kind], { session: this.#session, id, language, ...words }, options)) {
        if (event.name === "delta") this.#watcher.delta(entry, event.data);
        if (event.name !== "reply") continue;
        const answered = this.settle(event.data.answers);
        if (!answered.includes(entry)) {
          this.#drop(entry);
          answered.push(entry);
        }
        this.#watcher.replied(answered, event.data);
        return;
      }
    } catch (error) {
      if (entry.state !== "accepted") throw error;
    }
    if (entry.state !== "accepted" || entry.detached) return;
    // It broke off before the reply: the same message again, to be attached to its answer.
    entry.state = "waiting";
    this.#run();
  }
}

function isFinal(error) {
  return error instanceof Refused && error.status < 500 && error.status !== 408;
}

function reason(error) {
  if (error instanceof Refused) return error.code === "too_many_streams" ? "crowded" : "unreachable";
  return navigator.onLine ? "unreachable" : "offline";
}
