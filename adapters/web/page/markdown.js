// A small part of Markdown, as DOM nodes. No HTML is ever made from text, so nothing a model or a document says can
// become markup. `partial` is for an answer that still grows: what is open at its end is shown as if it were closed.

const SAFE = new Set(["http:", "https:", "mailto:", "tel:"]);
const DEEPEST = 8;
const FENCE = /^\s{0,3}(`{3,}|~{3,})/;
const HEADING = /^\s{0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^\s{0,3}([-*_])\s*(?:\1\s*){2,}$/;
const QUOTE = /^\s{0,3}>\s?/;
const ITEM = /^(\s*)(?:([-*+•])\s+|(\d{1,4})(?:[.)]\s+|、\s*))(.*)$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
// A bare address ends at white space, a quotation mark, or Chinese text, which is written without spaces.
const ADDRESS = /^https?:\/\/[^\s<>"'`\u2018-\u201f\u3000-\u303f\u3400-\u9fff\uff00-\uffef]+/i;
const PUNCTUATION = /[!-/:-@[-`{-~]/;

export function safeAddress(text) {
  try {
    const address = new URL(text.trim());
    return SAFE.has(address.protocol) ? address.href : "";
  } catch {
    return "";
  }
}

export function render(text, { partial = false } = {}) {
  const fragment = document.createDocumentFragment();
  blocks(fragment, text.replaceAll("\r\n", "\n").split("\n"), { partial, depth: 0 });
  return fragment;
}

function element(name, ...children) {
  const node = document.createElement(name);
  node.append(...children);
  return node;
}

function blocks(parent, lines, state) {
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    // Only what stands at the very end can still be growing.
    if (!line.trim()) at += 1;
    else if (FENCE.test(line)) at = code(parent, lines, at);
    else if (RULE.test(line)) { parent.append(element("hr")); at += 1; }
    else if (HEADING.test(line)) at = heading(parent, lines, at, state);
    else if (QUOTE.test(line) && state.depth < DEEPEST) at = quote(parent, lines, at, state);
    else if (ITEM.test(line) && state.depth < DEEPEST) at = list(parent, lines, at, state);
    else if (isTable(lines, at)) at = table(parent, lines, at, state);
    else at = paragraph(parent, lines, at, state);
  }
}

function growing(state, lines, end) {
  return { ...state, partial: state.partial && end >= lines.length };
}

function code(parent, lines, at) {
  const mark = lines[at].match(FENCE)[1];
  let end = at + 1;
  while (end < lines.length && !lines[end].trimStart().startsWith(mark)) end += 1;
  parent.append(element("pre", element("code", lines.slice(at + 1, end).join("\n"))));
  return end + 1;
}

function heading(parent, lines, at, state) {
  const node = element("p");
  node.className = "heading";
  inline(node, lines[at].match(HEADING)[2], growing(state, lines, at + 1));
  parent.append(node);
  return at + 1;
}

function quote(parent, lines, at, state) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const node = element("blockquote");
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  blocks(node, inner, { ...growing(state, lines, end), depth: state.depth + 1 });
  parent.append(node);
  return end;
}

function list(parent, lines, at, state) {
  const first = lines[at].match(ITEM);
  const indent = first[1].length;
  const ordered = first[3] !== undefined;
  const node = element(ordered ? "ol" : "ul");
  if (ordered && first[3] !== "1") node.start = Number(first[3]);
  let end = at;
  while (end < lines.length) {
    const item = lines[end].match(ITEM);
    if (!item || item[1].length !== indent || (item[3] !== undefined) !== ordered) break;
    const inner = [item[4]];
    end += 1;
    // What is indented further belongs to the item; so does a blank line before more of that.
    while (end < lines.length) {
      const deeper = lines[end].search(/\S/) > indent;
      const gap = !lines[end].trim() && (lines[end + 1] ?? "").search(/\S/) > indent;
      if (!deeper && !gap) break;
      inner.push(lines[end].slice(Math.min(indent + 2, Math.max(0, lines[end].search(/\S/)))));
      end += 1;
    }
    node.append(listItem(inner, growing(state, lines, end)));
    if (!lines[end]?.trim() && ITEM.test(lines[end + 1] ?? "")) end += 1;
  }
  parent.append(node);
  return end;
}

function listItem(lines, state) {
  const node = element("li");
  blocks(node, lines, { ...state, depth: state.depth + 1 });
  // One paragraph alone is the item's own text.
  const [only] = node.children;
  if (only?.localName === "p" && !only.className) only.replaceWith(...only.childNodes);
  return node;
}

function isTable(lines, at) {
  const under = lines[at + 1] ?? "";
  return lines[at].includes("|") && under.includes("|") && DIVIDER.test(under);
}

function cells(line) {
  return line.trim().replace(/^\||(?<!\\)\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function table(parent, lines, at, state) {
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) end += 1;
  const inner = growing(state, lines, end);
  const head = cells(lines[at]);
  const row = (kind, words) =>
    element("tr", ...head.map((_, column) => {
      const cell = element(kind);
      if (kind === "th") cell.scope = "col";
      inline(cell, words[column] ?? "", inner);
      return cell;
    }));
  const body = element("tbody", ...lines.slice(at + 2, end).map((line) => row("td", cells(line))));
  const frame = element("div", element("table", element("thead", row("th", head)), body));
  frame.className = "wide";
  // Wide tables scroll inside the bubble; the keyboard must get there too.
  frame.tabIndex = 0;
  parent.append(frame);
  return end;
}

function starts(lines, at) {
  const line = lines[at];
  return !line.trim() || FENCE.test(line) || RULE.test(line) || HEADING.test(line) || QUOTE.test(line) ||
    ITEM.test(line) || isTable(lines, at);
}

function paragraph(parent, lines, at, state) {
  let end = at + 1;
  while (end < lines.length && !starts(lines, end)) end += 1;
  const node = element("p");
  lines.slice(at, end).forEach((line, index) => {
    if (index) node.append(element("br"));
    inline(node, line.trim(), growing(state, lines, at + index + 1));
  });
  parent.append(node);
  return end;
}

// -- Inside a line --

function inline(parent, text, outer) {
  // Marks that are known not to be closed further on: without it a long row of them would be searched again and again.
  const state = { ...outer, open: new Set() };
  let plain = "";
  let at = 0;
  const flush = () => {
    if (plain) parent.append(plain);
    plain = "";
  };
  while (at < text.length) {
    const found = state.depth < DEEPEST ? special(text, at, state) : null;
    if (!found) {
      plain += text[at];
      at += 1;
      continue;
    }
    if (found.node !== undefined) {
      flush();
      if (found.node) parent.append(found.node);
    } else plain += found.text;
    at = found.end;
  }
  flush();
}

function special(text, at, state) {
  switch (text[at]) {
    case "\\": return PUNCTUATION.test(text[at + 1] ?? "") ? { text: text[at + 1], end: at + 2 } : null;
    case "`": return span(text, at, state);
    case "*": case "_": case "~": return emphasis(text, at, state);
    case "!": return text[at + 1] === "[" ? link(text, at + 1, state) : null;
    case "[": return link(text, at, state);
    case "<": return pointed(text, at);
    case "h": case "H": return bare(text, at);
    default: return null;
  }
}

function span(text, at, state) {
  const mark = text.slice(at).match(/^`+/)[0];
  let end = text.indexOf(mark, at + mark.length);
  if (end < 0 && state.partial) end = text.length;
  if (end < 0) return { text: mark, end: at + mark.length };
  return { node: element("code", text.slice(at + mark.length, end).trim()), end: end + mark.length };
}

function emphasis(text, at, state) {
  const sign = text[at];
  const mark = text[at + 1] === sign ? sign + sign : sign;
  if (mark === "~") return null;
  const begin = at + mark.length;
  // An underscore inside a word is part of a name.
  if (sign === "_" && /[\p{L}\p{N}]/u.test(text[at - 1] ?? "")) return { text: mark, end: begin };
  // At the end of a growing text the mark may be the first of more: it waits unseen.
  if (begin >= text.length) return state.partial ? { node: null, end: begin } : { text: mark, end: begin };
  if (/\s/.test(text[begin])) return { text: mark, end: begin };
  let end = state.open.has(mark) ? -1 : closing(text, begin, mark);
  if (end < 0) state.open.add(mark);
  if (end < 0 && state.partial) end = text.length;
  if (end < 0) return { text: mark, end: begin };
  const node = element(mark === "~~" ? "s" : mark.length === 2 ? "strong" : "em");
  const body = end === text.length ? text.slice(begin).replace(/[*_~]+$/, "") : text.slice(begin, end);
  inline(node, body, { ...state, depth: state.depth + 1 });
  return { node, end: Math.min(text.length, end + mark.length) };
}

function closing(text, from, mark) {
  let at = text.indexOf(mark, from);
  while (at >= 0) {
    const single = mark.length === 1 && (text[at + 1] === mark || text[at - 1] === mark);
    const inWord = mark[0] === "_" && /[\p{L}\p{N}]/u.test(text[at + mark.length] ?? "");
    // Of three in a row the first closes what is inside.
    const last = mark.length === 2 && text[at + 2] === mark[0] ? at + 1 : at;
    if (at > from && !single && !inWord && !/\s/.test(text[at - 1])) return last;
    at = text.indexOf(mark, at + (single ? 2 : 1));
  }
  return -1;
}

function link(text, at, state) {
  const middle = text.indexOf("](", at);
  if (middle < 0) return null;
  const words = text.slice(at + 1, middle);
  if (words.includes("[") || words.includes("]")) return null;
  const end = text.indexOf(")", middle);
  if (end < 0 && !state.partial) return null;
  const target = end < 0 ? "" : text.slice(middle + 2, end).trim().split(/\s+/)[0].replace(/^<|>$/g, "");
  const stop = end < 0 ? text.length : end + 1;
  const address = safeAddress(target);
  // An address that may not be opened leaves the words.
  const node = address ? anchor(address) : element("span");
  inline(node, words || target, { ...state, depth: DEEPEST });
  return { node, end: stop };
}

function pointed(text, at) {
  const end = text.indexOf(">", at);
  if (end < 0) return null;
  const words = text.slice(at + 1, end);
  const address = /^[a-z]+:\S+$/i.test(words) ? safeAddress(words) : "";
  return address ? { node: anchor(address, words), end: end + 1 } : null;
}

function bare(text, at) {
  if (/[\w]/.test(text[at - 1] ?? "")) return null;
  let words = text.slice(at).match(ADDRESS)?.[0];
  if (!words) return null;
  words = words.replace(/[.,;:!?*_~]+$/, "");
  if (words.endsWith(")") && !words.includes("(")) words = words.slice(0, -1);
  const address = safeAddress(words);
  return address ? { node: anchor(address, words), end: at + words.length } : null;
}

export function anchor(address, ...children) {
  const node = element("a", ...children);
  node.href = address;
  node.target = "_blank";
  node.rel = "noopener noreferrer nofollow";
  return node;
}

// Makes `parent` read as `fragment` and touches only what differs, so that growing text does not flicker and a
// selection in it survives.
export function patch(parent, fragment) {
  const fresh = [...fragment.childNodes];
  fresh.forEach((node, index) => {
    const old = parent.childNodes[index];
    if (!old) parent.append(node);
    else if (old.isEqualNode(node)) return;
    else if (old.nodeType === Node.TEXT_NODE && node.nodeType === Node.TEXT_NODE) grow(old, node.data);
    else if (old.nodeName === node.nodeName && old.cloneNode().isEqualNode(node.cloneNode())) patch(old, node);
    else old.replaceWith(node);
  });
  while (parent.childNodes.length > fresh.length) parent.lastChild.remove();
}

function grow(old, text) {
  if (text.startsWith(old.data)) old.appendData(text.slice(old.data.length));
  else old.data = text;
}
