// What the browser remembers between visits. A session's id is a secret: it is sent in bodies, never in addresses.

const PREFIX = "kefu.";
const MOST_VOTES = 60;

// Private windows and strict cookie settings refuse storage; the chat then lasts as long as the page.
function storage() {
  try {
    localStorage.setItem(`${PREFIX}probe`, "1");
    localStorage.removeItem(`${PREFIX}probe`);
    return localStorage;
  } catch {
    return null;
  }
}

// crypto.randomUUID exists on secure origins only; a shop's test server often is none.
export function randomId(bytes = 24) {
  const drawn = crypto.getRandomValues(new Uint8Array(bytes));
  return btoa(String.fromCharCode(...drawn)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export class Memory {
  #store = storage();
  #passing = new Map();

  session() {
    const known = this.get("session");
    if (typeof known === "string" && /^[\w-]{16,64}$/.test(known)) return known;
    const fresh = randomId();
    this.set("session", fresh);
    return fresh;
  }

  get(key) {
    try {
      return JSON.parse(this.#store ? this.#store.getItem(PREFIX + key) : this.#passing.get(key) ?? null);
    } catch {
      return null;
    }
  }

  set(key, value) {
    const words = JSON.stringify(value);
    this.#passing.set(key, words);
    try {
      this.#store?.setItem(PREFIX + key, words);
    } catch {
      // The quota is used up: what is kept is lost with the page, the chat goes on.
    }
  }

  remove(key) {
    this.#passing.delete(key);
    this.#store?.removeItem(PREFIX + key);
  }

  // One entry a message: two tabs of one visitor never overwrite each other's.
  unsent() {
    const names = this.#store
      ? Object.keys(this.#store).filter((name) => name.startsWith(`${PREFIX}unsent.`)).map((name) => name.slice(PREFIX.length))
      : [];
    return names.map((name) => this.get(name)).filter((entry) => entry?.id).sort((a, b) => a.at - b.at);
  }

  vote(turn, rating) {
    const votes = Object.entries(this.get("votes") ?? {}).filter(([known]) => known !== turn);
    votes.push([turn, rating]);
    this.set("votes", Object.fromEntries(votes.slice(-MOST_VOTES)));
  }

  voted(turn) {
    return this.get("votes")?.[turn] ?? "";
  }
}
