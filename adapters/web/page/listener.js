// Hears every reply of the session, also those nobody waits for: an agent's answer, hours later.

import { backoff, pause, Refused, stream } from "./transport.js";

const HIDDEN_MS = 10 * 60_000;

export class Listener {
  #session;
  #after;
  #replied;
  #connected;
  #controller = new AbortController();
  #wanted = true;
  #hiding = 0;

  // `after`: the newest delivery already known. Only this stream moves it: it alone brings every reply in order.
  constructor({ session, after, replied, connected }) {
    this.#session = session;
    this.#after = after;
    this.#replied = replied;
    this.#connected = connected;
  }

  start() {
    document.addEventListener("visibilitychange", () => this.#look());
    addEventListener("pageshow", (event) => event.persisted && this.#controller.abort());
    addEventListener("offline", () => this.#controller.abort());
    this.#run();
  }

  // A tab that nobody has looked at for long gives its place to others, and catches up when it is looked at.
  #look() {
    clearTimeout(this.#hiding);
    if (document.visibilityState === "visible") {
      this.#wanted = true;
      return;
    }
    this.#hiding = setTimeout(() => {
      this.#wanted = false;
      this.#controller.abort();
    }, HIDDEN_MS);
  }

  async #run() {
    let tries = 0;
    for (;;) {
      while (!this.#wanted) await pause(HIDDEN_MS);
      this.#controller = new AbortController();
      let least = 0;
      const opened = () => {
        tries = 0;
        this.#connected(true);
      };
      try {
        const body = { session: this.#session, after: this.#after };
        for await (const event of stream("api/v1/chat/events", body, { signal: this.#controller.signal, opened })) {
          if (event.name === "reply") {
            this.#after = Math.max(this.#after, event.data.id);
            this.#replied(event.data);
          }
          // Another tab needed the place: this one comes back when it is looked at.
          if (event.name === "end" && event.data.reason === "superseded") this.#wanted = document.hasFocus();
        }
      } catch (error) {
        if (error instanceof Refused) least = error.retryAfter;
        this.#connected(false);
      }
      await pause(backoff(tries, least));
      tries += 1;
    }
  }
}
