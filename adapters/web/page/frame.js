// What stands around the dialogue: title, who is speaking, trouble with the connection, and the voice of screen readers.

import { label, language, LANGUAGES, say, TAGS, translate, unlabel } from "./strings.js";
import { make } from "./view.js";

const ANNOUNCED = 3;
const byId = (id) => document.getElementById(id);

export class Frame {
  #title = "";
  #held = null;
  #unread = 0;
  #trouble = { sending: "", listening: "" };

  constructor() {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#count(0);
    });
    addEventListener("offline", () => this.trouble("listening", "offline"));
    addEventListener("online", () => this.trouble("listening", ""));
  }

  set title(words) {
    this.#title = words;
    this.retranslate();
  }

  // {agent} while a person of the company has the conversation, null while the bot does.
  get held() {
    return this.#held;
  }

  set held(by) {
    this.#held = by;
    const status = byId("status");
    status.classList.toggle("held", Boolean(by));
    document.body.classList.toggle("with-person", Boolean(by));
    label(status, by ? (by.agent ? "status_agent" : "status_held") : "status_bot", { name: by?.agent ?? "" });
  }

  // `part` is "sending" or "listening"; an empty reason says that it works.
  trouble(part, reason) {
    this.#trouble[part] = reason;
    const key = this.#trouble.sending || this.#trouble.listening;
    const banner = byId("banner");
    document.body.classList.toggle("cut", Boolean(key));
    banner.hidden = !key;
    if (key && banner.dataset.t !== key) label(banner, key);
    if (!key) unlabel(banner);
  }

  missed() {
    if (document.visibilityState === "hidden") this.#count(this.#unread + 1);
  }

  announce(key) {
    this.tell(say(key));
  }

  // A screen reader says this once, when it has finished what it is saying.
  tell(words) {
    const announcer = byId("announcer");
    announcer.append(make("p", "", words));
    while (announcer.children.length > ANNOUNCED) announcer.firstChild.remove();
  }

  retranslate() {
    document.documentElement.lang = TAGS[language()];
    const toggle = byId("language");
    const other = Object.keys(LANGUAGES).find((name) => name !== language());
    toggle.textContent = other === "en" ? "EN" : "中文";
    toggle.lang = TAGS[other];
    label(toggle, "language", null, "tLabel");
    byId("title").textContent = this.#title || say("title");
    this.held = this.#held;
    this.#count(this.#unread);
    translate(document);
  }

  #count(unread) {
    this.#unread = unread;
    document.title = (unread ? say("unread", { count: unread }) : "") + (this.#title || say("title"));
  }
}
