// Every word the page itself says, in both languages. {name} is filled in by `say`.

const ZH = {
  title: "在线客服",
  status_bot: "AI 智能助手 · 自动回复",
  status_held: "人工客服正在为您服务",
  status_agent: "人工客服 {name} 正在为您服务",
  log: "对话记录",
  bot: "智能助手",
  agent: "客服",
  agent_named: "客服 {name}",
  agent_badge: "人工",
  notice: "通知",
  you: "您",
  hello: "您好！我是 AI 智能助手，可以马上回答常见问题。我的回答由 AI 自动生成；我解决不了的，随时可以转给人工客服。",
  try: "您可以这样问",
  question_1: "忘记密码了怎么办？",
  question_2: "下单后多久发货？",
  question_3: "怎么申请退货退款？",
  question_4: "怎么开发票？",
  say: "输入您的问题",
  hint: "输入您的问题…",
  send: "发送",
  stop: "停止回答",
  caution: "AI 自动回复，可能有误，重要事项请以人工客服为准。",
  typing: "正在回复",
  newest: "最新消息",
  person: "转人工",
  ticket: "建工单",
  chose: "已选择：{label}",
  restart: "重新开始",
  restart_ask: "开始新的对话，并清空这里显示的内容？已建的工单不受影响。",
  restart_yes: "重新开始",
  restarted: "新的对话",
  cancel: "取消",
  language: "Switch to English",
  sources: "来源",
  new_window: "（在新窗口打开）",
  up: "有帮助",
  down: "没有帮助",
  copy: "复制回答",
  copied: "已复制",
  why: "哪里不对？可以告诉我们（选填）",
  why_send: "提交",
  why_skip: "不用了",
  thanks: "感谢您的反馈。",
  vote_failed: "反馈没有送达，请稍后再试。",
  offline: "网络已断开。恢复后会自动发送，不用重发。",
  unreachable: "暂时连不上客服，正在重试。您的消息不会丢失。",
  crowded: "现在咨询的人较多，正在为您排队。",
  online: "网络已恢复。",
  sending: "发送中…",
  unsent: "等待发送",
  delivered: "已送达",
  delivered_agent: "已转给客服",
  failed: "没有发送成功",
  failed_busy: "发得太快了，请稍等一会儿再试。",
  failed_long: "内容太长，请分几次发送。",
  failed_other: "这条消息没能发送。",
  retry: "重试",
  stopped: "已停止",
  count: "还可以输入 {left} 个字",
  card_ticket: "工单",
  card_copy: "复制工单号",
  state_open: "待处理",
  state_assigned: "处理中",
  state_answered: "已回复",
  state_closed: "已关闭",
  next_open: "客服会在 {due} 前回复您，回复会显示在这里。",
  next_open_late: "客服会尽快回复您，回复会显示在这里。",
  next_assigned: "客服正在处理，有进展会在这里告诉您。",
  next_answered: "客服已经回复。如果还有问题，直接在这里说就可以。",
  next_closed: "这个工单已经处理完毕。如果还有问题，直接在这里说就可以。",
  unread: "（{count} 条新消息）",
};

const EN = {
  title: "Customer support",
  status_bot: "AI assistant · automated replies",
  status_held: "A member of our team is with you",
  status_agent: "{name} from our team is with you",
  log: "Conversation",
  bot: "Assistant",
  agent: "Support team",
  agent_named: "{name}",
  agent_badge: "Human",
  notice: "Notice",
  you: "You",
  hello:
    "Hello! I'm an AI assistant and can answer common questions right away. My answers are generated automatically. " +
    "Whatever I can't solve, our team will: you can ask for a person at any time.",
  try: "You could ask",
  question_1: "I forgot my password. What can I do?",
  question_2: "When will my order ship?",
  question_3: "How do I return something?",
  question_4: "Can I get an invoice?",
  say: "Your message",
  hint: "Type your question…",
  send: "Send",
  stop: "Stop answering",
  caution: "Automated AI replies can be wrong. Please confirm important matters with our team.",
  typing: "Writing a reply",
  newest: "Latest message",
  person: "Talk to a person",
  ticket: "Open a ticket",
  chose: "You chose: {label}",
  restart: "New conversation",
  restart_ask: "Start a new conversation and clear what is shown here? Your tickets are not affected.",
  restart_yes: "Start over",
  restarted: "New conversation",
  cancel: "Cancel",
  language: "切换到中文",
  sources: "Sources",
  new_window: " (opens in a new window)",
  up: "Helpful",
  down: "Not helpful",
  copy: "Copy the answer",
  copied: "Copied",
  why: "What was wrong? (optional)",
  why_send: "Send",
  why_skip: "No, thanks",
  thanks: "Thank you for your feedback.",
  vote_failed: "Your feedback did not get through. Please try again later.",
  offline: "You're offline. Your messages will be sent when you're back.",
  unreachable: "We can't be reached right now. Trying again; your messages are safe.",
  crowded: "It's busy right now. You're in the queue.",
  online: "You're back online.",
  sending: "Sending…",
  unsent: "Waiting to be sent",
  delivered: "Delivered",
  delivered_agent: "Passed on to our team",
  failed: "Not sent",
  failed_busy: "That was a bit fast. Please wait a moment and try again.",
  failed_long: "This message is too long. Please send it in parts.",
  failed_other: "This message could not be sent.",
  retry: "Try again",
  stopped: "Stopped",
  count: "{left} characters left",
  card_ticket: "Ticket",
  card_copy: "Copy the ticket number",
  state_open: "Open",
  state_assigned: "In progress",
  state_answered: "Answered",
  state_closed: "Closed",
  next_open: "Our team will reply by {due}. The answer will appear here.",
  next_open_late: "Our team will reply as soon as possible. The answer will appear here.",
  next_assigned: "Our team is working on it and will keep you posted here.",
  next_answered: "Our team has replied. If anything is left, just write here.",
  next_closed: "This ticket is closed. If anything is left, just write here.",
  unread: "({count} new) ",
};

export const LANGUAGES = { zh: ZH, en: EN };
export const TAGS = { zh: "zh-CN", en: "en" };

let current = "zh";

export function language() {
  return current;
}

export function speak(name) {
  current = LANGUAGES[name] ? name : "en";
}

export function preferred(tags) {
  return /^zh\b/i.test(tags?.[0] ?? "") ? "zh" : "en";
}

export function say(key, values = {}) {
  return LANGUAGES[current][key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// Texts carry their key, so that switching the language changes what is already on the page.
const SPOTS = [
  ["t", (node, words) => (node.textContent = words)],
  ["tLabel", (node, words) => { node.setAttribute("aria-label", words); node.title = words; }],
  ["tHint", (node, words) => (node.placeholder = words)],
];

export function label(node, key, values, spot = "t") {
  node.dataset[spot] = key;
  if (values) node.dataset.values = JSON.stringify(values);
  fill(node);
  return node;
}

// Empties a node and forgets its key.
export function unlabel(node) {
  delete node.dataset.t;
  delete node.dataset.values;
  node.replaceChildren();
  return node;
}

function fill(node) {
  const values = node.dataset.values ? JSON.parse(node.dataset.values) : {};
  if (values.due) values.due = moment(values.due);
  for (const [spot, write] of SPOTS) {
    if (node.dataset[spot]) write(node, say(node.dataset[spot], values));
  }
  if (node.dataset.time) node.textContent = moment(node.dataset.time);
}

export function translate(root) {
  for (const node of root.querySelectorAll("[data-t], [data-t-label], [data-t-hint], [data-time]")) fill(node);
}

// Today only the time, otherwise the day too.
export function moment(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "";
  const clock = { hour: "2-digit", minute: "2-digit", hour12: false };
  const today = at.toDateString() === new Date().toDateString();
  const day = today ? {} : { month: "long", day: "numeric" };
  return new Intl.DateTimeFormat(TAGS[current], { ...day, ...clock }).format(at);
}
