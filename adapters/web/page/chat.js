// The page's story: say hello or bring back what was said, send, listen, and show each answer once.

import { Composer } from "./composer.js";
import { Frame } from "./frame.js";
import { Listener } from "./listener.js";
import { Log } from "./log.js";
import { patch, render } from "./markdown.js";
import { Memory, randomId } from "./memory.js";
import { Outbox } from "./outbox.js";
import { label, language, preferred, say, speak, TAGS, unlabel } from "./strings.js";
import { backoff, call, pause } from "./transport.js";
import * as view from "./view.js";

const STOP_MS = 2500;
const byId = (id) => document.getElementById(id);
const now = () => new Date().toISOString();

class Chat {
  #memory = new Memory();
  #session = this.#memory.session();
  #frame = new Frame();
  #log = new Log();
  #seen = new Set();
  #live = null;
  #config = { title: "", questions: [], max_message_chars: 4000 };
  #others = "BroadcastChannel" in globalThis ? new BroadcastChannel("kefu") : null;
  #composer = new Composer({ memory: this.#memory, said: (text) => this.#say(text), stopped: () => this.#stop() });
  #outbox = new Outbox({
    session: this.#session,
    memory: this.#memory,
    watcher: {
      accepted: (entry) => this.#accepted(entry),
      delta: (_, data) => this.#grow(data),
      replied: (entries, reply) => this.#replied(reply, entries),
      refused: (entry, error) => this.#refused(entry, error),
      waiting: (entry, reason) => this.#waiting(entry, reason),
      held: () => Boolean(this.#frame.held),
    },
  });

  async start() {
    speak(this.#memory.get("language") ?? preferred(navigator.languages));
    this.#buttons();
    this.#frame.retranslate();
    if (this.#others) this.#others.onmessage = ({ data }) => this.#overheard(data);
    try {
      this.#config = await (await fetch("chat/config.json")).json();
    } catch {
      // The defaults will do.
    }
    this.#composer.limit = this.#config.max_message_chars;
    this.#frame.title = this.#config.title;
    const unsent = this.#memory.unsent();
    const history = await this.#history();
    this.#restore(history.entries, unsent);
    this.#composer.focus();
    new Listener({
      session: this.#session,
      after: history.last,
      replied: (reply) => this.#replied(reply, this.#outbox.settle(reply.answers)),
      connected: (yes) => this.#frame.trouble("listening", yes ? "" : navigator.onLine ? "unreachable" : "offline"),
    }).start();
  }

  // -- What was said before --

  async #history() {
    for (let tries = 0; ; tries += 1) {
      try {
        const history = await call("api/v1/chat/history", { session: this.#session });
        this.#frame.trouble("listening", "");
        return history;
      } catch (error) {
        this.#frame.trouble("listening", navigator.onLine ? "unreachable" : "offline");
        await pause(backoff(tries, error.retryAfter));
      }
    }
  }

  // Goes above what the visitor may have said already while the history was on its way.
  #restore(entries, unsent) {
    const { first } = this.#log;
    if (!entries.length && !first) this.#welcome();
    for (const entry of entries) {
      if (entry.author === "customer") this.#log.add(view.mine(entry).root, first);
      else this.#log.add(this.#past(entry), first);
    }
    // What was stored is part of the history already; it is sent again only to be attached to its answer.
    const told = entries.filter((entry) => entry.author === "customer").map((entry) => entry.text);
    for (const entry of unsent) {
      const at = told.lastIndexOf(entry.text);
      if (at >= 0) told.splice(at, 1);
      this.#send(entry, at < 0 && entry.kind === "text");
    }
    this.#log.follow(true);
  }

  #past({ author, agent, text, at, reply }) {
    const said = reply ?? { response: text, author, agent, outcome: "", sources: [], actions: [], answers: [] };
    if (said.id) this.#seen.add(said.id);
    this.#followAgent(said);
    const message = view.theirs({ author, agent: said.agent, at, language: said.language });
    this.#finish(message, { ...said, actions: said.actions.filter((action) => action === "feedback") });
    return message.root;
  }

  #welcome() {
    const { questions } = this.#config;
    const list = questions.length ? questions.map((text) => ({ text })) : [1, 2, 3, 4].map((n) => ({ key: `question_${n}` }));
    const message = view.theirs({ author: "bot", at: now() });
    label(message.words, "hello");
    message.root.classList.add("hello");
    message.stack.append(view.questions(list, (text) => this.#say(text)));
    this.#log.add(message.root);
  }

  // -- What the visitor does --

  #buttons() {
    byId("language").addEventListener("click", () => {
      speak(language() === "zh" ? "en" : "zh");
      this.#memory.set("language", language());
      this.#frame.retranslate();
    });
    byId("restart").addEventListener("click", () => this.#askRestart());
    for (const node of document.querySelectorAll("[data-action]")) {
      node.addEventListener("click", () => this.#press(node.dataset.action));
    }
  }

  #say(text) {
    const entry = { id: randomId(12), kind: "text", text, language: TAGS[language()], at: Date.now() };
    this.#others?.postMessage({ session: this.#session, text, at: now() });
    this.#send(entry, true);
  }

  #press(action, turn = "") {
    if (this.#log.tidy()) this.#composer.focus();
    this.#log.add(view.note("chose", { label: say(action) }));
    const entry = { id: randomId(12), kind: "action", action, value: turn, language: TAGS[language()], at: Date.now() };
    this.#send(entry, false);
    this.#log.follow(true);
  }

  #send(entry, shown) {
    if (shown && !entry.silent) {
      if (this.#log.tidy()) this.#composer.focus();
      const message = view.mine({ text: entry.text, at: new Date(entry.at).toISOString() });
      entry.state_line = message.state;
      label(message.state, "sending");
      this.#log.add(message.root, this.#live?.root);
      this.#log.follow(true);
    }
    this.#outbox.add(entry);
  }

  #waiting(entry, reason) {
    this.#frame.trouble("sending", reason);
    if (reason && entry.state_line) label(entry.state_line, "unsent");
  }

  #askRestart() {
    const dialog = byId("ask");
    dialog.returnValue = "";
    dialog.addEventListener("close", () => dialog.returnValue === "yes" && this.#restart(), { once: true });
    dialog.showModal();
  }

  #restart() {
    this.#others?.postMessage({ session: this.#session, reset: true });
    this.#cleared();
    const entry = { id: randomId(12), kind: "text", text: "/reset", silent: true, language: TAGS[language()], at: Date.now() };
    this.#send(entry, false);
    this.#frame.announce("restarted");
    this.#composer.focus();
  }

  #cleared() {
    this.#outbox.clear();
    this.#dropLive();
    this.#log.clear();
    this.#welcome();
  }

  async #stop() {
    const waiting = this.#outbox.expecting;
    try {
      await call("api/v1/chat/stop", { session: this.#session });
    } catch {
      // Whatever the server still says, the visitor has heard enough.
    }
    await pause(STOP_MS);
    if (this.#outbox.giveUp(waiting).length) {
      const live = this.#live;
      this.#live = null;
      if (live?.shown) {
        live.root.classList.remove("growing");
        live.foot.append(view.note("stopped"));
      } else live?.root.remove();
    }
    this.#composer.busy = this.#outbox.expecting.length > 0;
  }

  // -- What comes back --

  #accepted(entry) {
    if (entry.state_line) label(entry.state_line, this.#frame.held ? "delivered_agent" : "delivered");
    entry.state_line?.classList.remove("failed");
    if (this.#frame.held || entry.silent) return;
    this.#composer.busy = true;
    this.#waitForWords();
  }

  #waitForWords() {
    if (this.#live) return;
    this.#live = view.theirs({ author: "bot", at: now() });
    this.#live.root.classList.add("growing");
    this.#live.words.append(view.dots());
    this.#log.add(this.#live.root);
  }

  #grow({ text }) {
    this.#waitForWords();
    if (!this.#live.shown) this.#live.words.replaceChildren();
    this.#live.shown = text;
    patch(this.#live.words, render(text, { partial: true }));
    this.#log.follow();
  }

  #replied(reply, entries) {
    const waiting = this.#outbox.expecting.some((entry) => !entry.silent);
    for (const { state_line: line } of entries) if (line) unlabel(line);
    if (reply.pending) this.#pending(reply, entries, waiting);
    else if (!this.#seen.has(reply.id)) {
      this.#seen.add(reply.id);
      this.#followAgent(reply);
      const quiet = reply.outcome === "chat" && entries.length && entries.every((entry) => entry.silent);
      if (!quiet) this.#show(reply, entries.length > 0);
    }
    if (!waiting) this.#dropLive();
    else if (!this.#frame.held) this.#waitForWords();
    this.#composer.busy = waiting && !this.#frame.held;
  }

  // An answer to this tab's own message is written where it has been growing; anything else goes before it.
  #show(reply, own) {
    let message = this.#live;
    if (own && message && reply.author !== "agent") this.#live = null;
    else {
      message = view.theirs({ author: reply.author, agent: reply.agent, at: now(), language: reply.language });
      this.#log.add(message.root, this.#live?.root);
    }
    message.words.lang = TAGS[reply.language] ?? "";
    this.#finish(message, reply);
    this.#log.follow();
    this.#announceReply(message, reply);
    this.#frame.missed();
  }

  #finish(message, reply) {
    const { root, words, bubble, foot } = message;
    root.classList.remove("growing");
    root.classList.add("said");
    if (words.querySelector(".dots")) words.replaceChildren();
    patch(words, render(reply.response));
    if (reply.sources.length) bubble.append(view.sources(reply.sources));
    if (reply.ticket_details) foot.before(view.ticketCard(reply.ticket_details, (key) => this.#frame.announce(key)));
    const actions = view.actionButtons(reply.actions, (action) => this.#press(action, reply.turn));
    if (actions) foot.before(actions);
    if (!reply.turn || !reply.actions.includes("feedback")) return;
    foot.append(this.#thumbs(reply.turn), view.copyButton("copy", () => words.innerText, (key) => this.#frame.announce(key)));
  }

  #thumbs(turn) {
    return view.thumbs({
      rating: this.#memory.voted(turn),
      announce: (key) => this.#frame.announce(key),
      vote: async (rating, comment) => {
        try {
          await call("api/v1/feedback", { turn, rating, comment });
        } catch {
          return false;
        }
        this.#memory.vote(turn, rating);
        return true;
      },
    });
  }

  // No reply now: an agent has the message, or it takes long and the reply comes as an event.
  #pending(reply, entries, waiting) {
    if (reply.outcome === "handoff") this.#frame.held ??= { agent: "" };
    for (const { state_line: line } of entries) {
      if (line) label(line, reply.outcome === "handoff" ? "delivered_agent" : "delivered");
    }
    if (reply.outcome !== "error") return;
    this.#log.add(view.make("p", "note", reply.response), waiting ? this.#live?.root : null);
  }

  #refused(entry, error) {
    const key = { 429: "failed_busy", 413: "failed_long" }[error.status] ?? "failed_other";
    const waiting = this.#outbox.expecting.length > 0;
    if (!waiting) this.#dropLive();
    this.#composer.busy = waiting;
    const line = (entry.state_line ??= view.make("p", "note"));
    if (!line.isConnected) this.#log.add(line);
    line.classList.add("failed");
    const retry = view.make("button", "retry", label(view.make("span"), "retry"));
    retry.type = "button";
    // The server has kept the refused copy and will not answer it: only a new message is.
    retry.addEventListener("click", () => {
      label(unlabel(line), "sending");
      this.#outbox.add({ ...entry, id: randomId(12), at: Date.now() });
    });
    unlabel(line).append(label(view.make("span"), key), ...(error.status === 413 ? [] : [retry]));
    this.#frame.announce(key);
  }

  #dropLive() {
    this.#live?.root.remove();
    this.#live = null;
    this.#composer.busy = false;
  }

  #overheard({ session, text, at, reset }) {
    if (session !== this.#session) return;
    if (reset) this.#cleared();
    else this.#log.add(view.mine({ text, at }).root, this.#live?.root);
  }

  #followAgent(reply) {
    if (reply.author === "agent") this.#frame.held = { agent: reply.agent };
    else if (reply.outcome === "handoff") this.#frame.held = { agent: "" };
    else if (reply.author === "bot" && reply.outcome) this.#frame.held = null;
  }

  // A screen reader hears the whole answer once; the growing text itself is silent.
  #announceReply({ words, root }, reply) {
    const who = root.querySelector(".name").textContent;
    const ticket = reply.ticket_details ? root.querySelector(".card").innerText : "";
    this.#frame.tell(`${who}: ${words.innerText} ${ticket}`);
  }
}

new Chat().start();
