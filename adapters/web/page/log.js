// The list of messages: where they go, and that the newest stays in sight unless the reader has scrolled up.

const NEAR = 96;

export class Log {
  #scroll = document.getElementById("scroll");
  #list = document.getElementById("log");
  #newest = document.getElementById("newest");
  #stuck = true;

  constructor() {
    this.#scroll.addEventListener("scroll", () => this.#look(), { passive: true });
    this.#newest.addEventListener("click", () => {
      this.follow(true);
      document.getElementById("say").focus({ preventScroll: true });
    });
    // The keyboard of a phone, a growing answer, a rotated screen: all change what fits.
    const watcher = new ResizeObserver(() => this.follow());
    watcher.observe(this.#scroll);
    watcher.observe(this.#list);
  }

  get first() {
    return this.#list.firstChild;
  }

  add(node, before = null) {
    this.#list.insertBefore(node, before?.parentNode === this.#list ? before : null);
    if (!this.#stuck) this.#newest.hidden = false;
    this.follow();
  }

  clear() {
    this.#list.replaceChildren();
    this.follow(true);
  }

  // Takes away what was offered before the visitor went on: first questions, and buttons that have been overtaken.
  // Tells whether the focus was on one of them; it is on the log then.
  tidy() {
    const offers = this.#list.querySelectorAll(".questions, .actions");
    const hadFocus = [...offers].some((offer) => offer.contains(document.activeElement));
    offers.forEach((offer) => offer.remove());
    if (hadFocus) this.#scroll.focus({ preventScroll: true });
    return hadFocus;
  }

  // Down to the end: if the reader is there already, or `always`.
  follow(always = false) {
    if (!always && !this.#stuck) return;
    this.#stuck = true;
    this.#newest.hidden = true;
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    this.#stuck = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.#stuck) this.#newest.hidden = true;
  }
}
