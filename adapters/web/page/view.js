// Builds what is seen of one message. Text from outside goes in as text nodes and nothing else.

import { anchor, render, safeAddress } from "./markdown.js";
import { label, moment, TAGS } from "./strings.js";

const SVG = "http://www.w3.org/2000/svg";
const COPIED_MS = 2000;

export function make(name, className = "", ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export function button(className, key, ...children) {
  const node = make("button", className, ...children);
  node.type = "button";
  return label(node, key, null, "tLabel");
}

function time(at) {
  const node = make("time");
  node.dateTime = at;
  node.dataset.time = at;
  node.textContent = moment(at);
  return node;
}

// Who speaks is said in words on every message, not by colour alone.
function byline(author, agent, at) {
  const name = label(make("span", "name"), agent ? "agent_named" : author, { name: agent });
  const badge = author === "agent" ? label(make("span", "badge"), "agent_badge") : make("span", "badge", "AI");
  return make("p", "byline", name, ...(author === "notice" ? [] : [badge]), time(at));
}

// A message of the bot or an agent: {root, words, foot}.
export function theirs({ author = "bot", agent = "", at, language = "" }) {
  const side = author === "agent" ? "agent" : "bot";
  const words = make("div", "words");
  const bubble = make("div", "bubble", words);
  const foot = make("div", "foot");
  const stack = make("div", "stack", byline(author, agent, at), bubble, foot);
  const root = make("article", `message ${side}`, make("span", `face ${side}`, icon(side)), stack);
  words.dir = "auto";
  if (language) words.lang = TAGS[language] ?? language;
  return { root, words, bubble, foot, stack };
}

// A message of the visitor: {root, state}.
export function mine({ text, at }) {
  const bubble = make("div", "bubble", make("div", "words plain", text));
  bubble.firstChild.dir = "auto";
  const state = make("p", "state");
  const who = label(make("span", "unseen"), "you");
  const stack = make("div", "stack", who, bubble, make("div", "after", state, time(at)));
  return { root: make("article", "message me", stack), state };
}

export function note(key, values) {
  return label(make("p", "note"), key, values);
}

export function dots() {
  const node = make("div", "dots", make("i"), make("i"), make("i"), label(make("span", "unseen"), "typing"));
  return node;
}

export function sources(list) {
  const known = new Set();
  const items = list.filter(({ id, title, url }) => {
    const name = url || title || id;
    return !known.has(name) && known.add(name);
  });
  const links = items.map(({ id, title, url }) => {
    const address = url ? safeAddress(url) : "";
    const words = make("span", "", title || id);
    if (!address) return make("li", "", make("span", "source", icon("page"), words));
    const link = anchor(address, icon("link"), words, label(make("span", "unseen"), "new_window"));
    link.className = "source";
    return make("li", "", link);
  });
  return make("div", "sources", label(make("span", "caption"), "sources"), make("ul", "", ...links));
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not a secure origin, or refused: the old way, which needs a selected field.
    const field = make("textarea", "unseen");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

export function copyButton(key, text, announce) {
  const node = button("icon", key, icon("copy"));
  node.addEventListener("click", async () => {
    if (!(await copy(text()))) return;
    node.replaceChildren(icon("check"));
    announce("copied");
    setTimeout(() => node.replaceChildren(icon("copy")), COPIED_MS);
    node.focus();
  });
  return node;
}

export function ticketCard(ticket, announce) {
  const late = new Date(ticket.due_at) < new Date();
  const next = ticket.state === "open" && late ? "next_open_late" : `next_${ticket.state}`;
  const number = make("strong", "number", ticket.number);
  const head = make("div", "card-head", icon("ticket"), label(make("span", "caption"), "card_ticket"),
    label(make("span", `chip ${ticket.state}`), `state_${ticket.state}`));
  const line = make("div", "card-number", number, copyButton("card_copy", () => ticket.number, announce));
  const card = make("section", "card", head, line);
  label(card, "card_ticket", null, "tLabel");
  card.removeAttribute("title");
  if (ticket.subject) card.append(make("p", "subject", ticket.subject));
  card.append(label(make("p", "next"), next, { due: ticket.due_at }));
  return card;
}

// Thumbs, and after a thumb down a few words if the visitor likes. `vote(rating, comment)` resolves to success.
export function thumbs({ rating, vote, announce }) {
  const up = button("icon", "up", icon("up"));
  const down = button("icon", "down", icon("down"));
  const show = (chosen) => {
    up.setAttribute("aria-pressed", String(chosen === "up"));
    down.setAttribute("aria-pressed", String(chosen === "down"));
  };
  const row = make("div", "thumbs", up, down);
  let form = null;
  let chosen = rating;
  const choose = async (wanted) => {
    if (wanted === chosen) return;
    const before = chosen;
    chosen = wanted;
    show(chosen);
    form?.remove();
    form = null;
    if (wanted === "down") openForm();
    if (await vote(wanted, "")) announce("thanks");
    else {
      chosen = before;
      show(before);
      announce("vote_failed");
    }
  };
  const openForm = () => {
    form = whyForm({
      close: () => { form?.remove(); form = null; down.focus(); },
      send: async (words) => announce((await vote("down", words)) ? "thanks" : "vote_failed"),
    });
    row.closest(".stack").append(form);
    form.querySelector("textarea").focus();
    form.scrollIntoView({ block: "nearest" });
  };
  up.addEventListener("click", () => choose("up"));
  down.addEventListener("click", () => choose("down"));
  show(rating);
  return row;
}

let forms = 0;

function whyForm({ close, send }) {
  const field = make("textarea");
  field.rows = 2;
  field.maxLength = 1000;
  field.id = `why-${(forms += 1)}`;
  const caption = label(make("label"), "why");
  caption.htmlFor = field.id;
  const skip = make("button", "choice", label(make("span"), "why_skip"));
  skip.type = "button";
  const done = make("button", "choice main", label(make("span"), "why_send"));
  const form = make("form", "why", caption, field, make("div", "choices", skip, done));
  skip.addEventListener("click", close);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = field.value.trim();
    close();
    if (words) send(words);
  });
  form.addEventListener("keydown", (event) => event.key === "Escape" && close());
  return form;
}

export function actionButtons(actions, press) {
  const icons = { person: "headset", ticket: "ticket" };
  const known = actions.filter((action) => icons[action]);
  if (!known.length) return null;
  const row = make("div", "actions");
  for (const action of known) {
    const node = make("button", "pill strong", icon(icons[action]), label(make("span"), action));
    node.type = "button";
    node.addEventListener("click", () => press(action));
    row.append(node);
  }
  return row;
}

export function questions(list, ask) {
  const items = list.map((question) => {
    const node = make("button", "question");
    node.type = "button";
    if (question.key) label(node, question.key);
    else node.textContent = question.text;
    node.addEventListener("click", () => ask(node.textContent));
    return make("li", "", node);
  });
  return make("div", "questions", label(make("p", "caption"), "try"), make("ul", "", ...items));
}

export { render };
