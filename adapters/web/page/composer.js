// The field at the bottom: Enter sends, Shift+Enter makes a new line, and an input method's own Enter does neither.

import { label } from "./strings.js";

const TALLEST = 160;
const COUNT_FROM = 0.9;

export class Composer {
  #form = document.getElementById("composer");
  #field = document.getElementById("say");
  #send = document.getElementById("send");
  #stop = document.getElementById("stop");
  #count = document.getElementById("count");
  #busy = false;
  #stopping = false;
  #limit = 4000;
  #memory;

  constructor({ memory, said, stopped }) {
    this.#memory = memory;
    this.#field.value = memory.get("draft") ?? "";
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(said);
    });
    this.#field.addEventListener("input", () => this.#changed());
    this.#field.addEventListener("keydown", (event) => {
      // 229 is what older Safari reports for the Enter that ends a composition, after isComposing is false again.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit(said);
    });
    this.#stop.addEventListener("click", () => this.#interrupt(stopped));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented && this.#busy && !document.querySelector("dialog[open]")) {
        this.#interrupt(stopped);
      }
    });
    this.#changed();
  }

  set limit(characters) {
    this.#limit = characters;
    this.#changed();
  }

  // While an answer grows, the empty field's button stops it.
  set busy(now) {
    this.#busy = now;
    this.#stopping = false;
    this.#changed();
  }

  focus() {
    // On a touch screen the focus would raise the keyboard over what was just asked for.
    if (matchMedia("(pointer: fine)").matches) this.#field.focus({ preventScroll: true });
  }

  #submit(said) {
    const text = this.#field.value.trim();
    if (!text || this.#left() < 0) return;
    this.#field.value = "";
    this.#changed();
    this.#field.focus({ preventScroll: true });
    said(text);
  }

  #interrupt(stopped) {
    // Not `disabled`: the button would lose the focus to nowhere.
    if (this.#stopping) return;
    this.#stopping = true;
    stopped();
  }

  // The server counts characters, not the halves of which JavaScript makes an emoji.
  #left() {
    return this.#limit - [...this.#field.value].length;
  }

  #changed() {
    const empty = !this.#field.value.trim();
    const left = this.#left();
    const hadFocus = document.activeElement === this.#stop;
    this.#send.disabled = empty || left < 0;
    this.#stop.hidden = !(this.#busy && empty);
    this.#send.hidden = !this.#stop.hidden;
    if (hadFocus && this.#stop.hidden) this.#field.focus({ preventScroll: true });
    this.#count.hidden = left > this.#limit * (1 - COUNT_FROM);
    if (!this.#count.hidden) label(this.#count, "count", { left });
    this.#count.classList.toggle("over", left < 0);
    this.#field.style.height = "auto";
    this.#field.style.height = `${Math.min(TALLEST, this.#field.scrollHeight)}px`;
    if (empty) this.#memory.remove("draft");
    else this.#memory.set("draft", this.#field.value);
  }
}
