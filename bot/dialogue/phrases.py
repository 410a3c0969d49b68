"""Everything the bot says in its own words, in every language it has.

The tone is that of a good support agent: warm, short, concrete about what happens next. Braces are filled in by
`Phrases.say`; a ticket's number is always followed by what the customer can do with it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from bot.messages import Language, TicketState


class Phrase(enum.Enum):
    """A sentence's name: (Chinese, English)."""

    START = (
        "您好，我是智能客服，很高兴为您服务。直接把问题发给我就行；想找人工，发「转人工」。",
        "Hello, and welcome! Just send me your question. If you would rather talk to a person, say “agent”.",
    )
    GREETING = (
        "您好，请问有什么可以帮您？",
        "Hello! How can I help you today?",
    )
    THANKS = (
        "不客气，有问题随时找我。",
        "You're welcome! I'm here whenever you need me.",
    )
    NOTED = (
        "好的，还有其他问题随时告诉我。",
        "All right. Just write if there is anything else.",
    )
    HELP = (
        "我是智能客服，可以帮您：\n"
        "- 解答问题：直接问就行\n"
        "- 转人工：发「转人工」\n"
        "- 登记工单：发「/ticket 问题描述」\n"
        "- 查工单进度：把工单编号发给我\n"
        "- 重新开始：发「重新开始」",
        "I'm the automated assistant. Here is what I can do:\n"
        "- Answer your questions: just ask\n"
        "- Bring in a person: say “agent”\n"
        "- Open a ticket: send “/ticket” and what it is about\n"
        "- Tell you how a ticket stands: send me its number\n"
        "- Start over: say “start over”",
    )
    RESET = (
        "好的，我们重新开始。请问有什么可以帮您？",
        "All right, let's start over. How can I help you?",
    )
    NOTHING_TO_STOP = (
        "现在没有正在生成的回答。有问题直接问我就行。",
        "Nothing is being written right now. Just ask if you need anything.",
    )
    UNKNOWN_COMMAND = (
        "我不认识这个指令。",
        "I don't know that command.",
    )
    UNREADABLE = (
        "我没看明白这条消息，能用一句话说说您遇到的问题吗？",
        "I couldn't make out that message. Could you tell me in a sentence what you need?",
    )
    TEXT_ONLY = (
        "收到您发来的{what}。我暂时只能看懂文字，麻烦用一句话说说您的问题。",
        "Thanks for the {what}. I can only read text for now. Could you tell me in a sentence what you need?",
    )
    TEXT_ONLY_NOTE = (
        "（您发来的{what}我暂时看不了，以上是根据文字回答的。）",
        "(I can't open the {what} yet, so this answers your words only.)",
    )
    LATE = (
        "抱歉，让您久等了。",
        "Sorry to have kept you waiting.",
    )

    REFUSAL = (
        "抱歉，我暂时无法查询到该问题。",
        "Sorry, I could not find that.",
    )
    OFFER_TICKET = (
        "要我为您登记工单，请同事来答复吗？回复「好的」就行。",
        "Shall I open a ticket so that a colleague can answer you? Just reply “yes”.",
    )
    REFUSAL_ABOUT = (
        "关于「{question}」，抱歉，我暂时无法查询到。",
        "About “{question}”: sorry, I could not find that.",
    )
    NEAREST = (
        "也许您想问：「{question}」把这句话发给我就行。",
        "Did you perhaps mean “{question}”? Just send me that.",
    )
    REMINDED = (
        "您的请求 {number} 已经在人工客服那里了，我刚又提醒了一次。有同事回复时会直接显示在这里，请稍等。",
        "{number} is already with our support team, and I've just reminded them. A colleague's reply will appear "
        "right here; thank you for your patience.",
    )
    OPEN_TICKET_EXISTS = (
        "如果问的是您的工单 {number}，把编号发给我就能看到进度。",
        "If this is about {number}, which is still open, send me the number and I'll tell you how it stands.",
    )
    KNOWLEDGE_DOWN = (
        "抱歉，我现在暂时查不了资料，请过几分钟再问我一次。",
        "Sorry, I can't look things up right now. Please ask me again in a few minutes.",
    )
    CONFIRM_TICKET = (
        "这件事需要同事来处理。要我为您登记工单吗？回复「好的」就行。",
        "A colleague would have to look into this. Shall I open a ticket for you? Just reply “yes”.",
    )
    CONFIRM_ACTION = (
        "我可以为您办理：{action}\n确认的话回复「好的」，我马上去办；不需要就回复「不用」。",
        "I can do this for you: {action}\nReply “yes” and I'll go ahead, or “no” to leave things as they are.",
    )
    ACTION_DECLINED = (
        "好的，那就不办了。有需要随时找我。",
        "All right, I'll leave things as they are. I'm here if you need anything.",
    )
    FUNCTION_FAILED = (
        "抱歉，我刚才没能查办成功，系统暂时没有给出结果。",
        "Sorry, that didn't work just now: our system gave me no result.",
    )
    UNCONFIRMED = (
        "抱歉，这件事我没能确认是否已经办成：{action}\n"
        "为免重复，我没有再试。已为您登记工单 {number} 请同事核实，{within}会在这里答复您。",
        "I'm sorry, I couldn't confirm whether this went through: {action}\n"
        "I haven't tried again, so that it isn't done twice. I've opened {number}; a colleague will check and answer "
        "you here {within}.",
    )
    UNCONFIRMED_ISSUE = ("请核实是否已办成：{action}", "Please check whether this was done: {action}")
    OFFER_DECLINED = (
        "好的，那先不登记了。有需要随时找我。",
        "No problem, I won't open one. I'm here if you need anything.",
    )

    TICKET_OPENED = (
        "已为您登记工单 {number}，{within}会有同事在这里答复您。想看进度，把编号发给我就行。",
        "Done: your ticket number is {number}. A colleague will answer you here {within}; "
        "to see how it stands, just send me the number.",
    )
    TICKET_NEEDS_WORDS = (
        "好的，请把要登记的问题写在「/ticket」后面发给我，例如：/ticket 收到的杯子碎了",
        "Sure. Please write what it is about after “/ticket”, for example: /ticket my cup arrived broken",
    )
    HANDOFF = (
        "好的，已为您转给人工客服，编号 {number}。{within}会有同事在这里回复您，前面的对话都能看到，不用再说一遍。"
        "等待时也可以继续问我。",
        "Of course. I've passed you on to our support team ({number}). A colleague will reply to you here {within} "
        "and can see our conversation, so there is no need to repeat anything. "
        "You can keep asking me in the meantime.",
    )
    COMPLAINT = (
        "非常抱歉，给您带来了不好的体验。您的投诉已登记，编号 {number}，由专人跟进，{within}会在这里答复您。",
        "I'm very sorry about this. I've registered your complaint under {number}; a colleague will look into it "
        "personally and answer you here {within}.",
    )
    HELD = (
        "同事正在处理您的工单 {number}，您的话我已经转达，请在这里等同事回复。想重新和我聊，发「重新开始」就行。",
        "A colleague is looking after your request ({number}). I've passed your message on, and they will reply here. "
        "To talk to me again, send “/reset”.",
    )

    STOPPED = (
        "好的，已停止。",
        "All right, I've stopped.",
    )
    OUT_OF_TIME = (
        "抱歉，这个问题我处理得太久了，没能给出答复。请稍后再试，或者发「转人工」。",
        "Sorry, this took me too long and I have no answer. Please try again later, or say “agent”.",
    )
    PARKED = (
        "抱歉，这条消息我没能处理好。已为您登记工单 {number}，{within}会有同事在这里答复您。",
        "Sorry, something went wrong with this message. I've opened a ticket for you, {number}; "
        "a colleague will answer you here {within}.",
    )
    PARKED_SUBJECT = ("机器人多次处理失败的消息", "A message the bot failed on repeatedly")
    BUSY = (
        "您发得有点快，我一时忙不过来。刚才的消息已经收到，但没来得及回答，请一分钟后再问一次。",
        "I can't keep up right now. I've kept your last messages but could not answer them; "
        "please ask again in a minute.",
    )
    OVER_BUDGET = (
        "您今天的提问已达上限，明天可以继续问我。着急的话，发「转人工」，同事会来答复。",
        "You have reached today's limit of questions; I can go on tomorrow. If it is urgent, say “agent” "
        "and a colleague will answer you.",
    )

    TICKET_SOLVED = (
        "太好了，工单 {number} 已为您关闭。以后有问题随时找我。",
        "Good to hear. I've closed {number}; I'm here if anything else comes up.",
    )
    TICKET_UNKNOWN = (
        "没有查到您名下的工单 {number}，请核对一下编号。",
        "I can't find {number} among your tickets. Please check the number.",
    )
    NO_TICKETS = (
        "您目前没有工单。需要登记一个的话，发「/ticket 问题描述」就行。",
        "You have no tickets yet. To open one, send “/ticket” and what it is about.",
    )
    TICKET_OPEN = (
        "工单 {number}（{subject}）已登记，正在等同事处理，{due}。",
        "{number} (“{subject}”) is registered and waiting for a colleague; {due}.",
    )
    TICKET_ASSIGNED = (
        "工单 {number}（{subject}）同事正在处理，{due}。",
        "A colleague is working on {number} (“{subject}”); {due}.",
    )
    TICKET_ANSWERED = (
        "工单 {number}（{subject}）同事已经答复，请看上面的消息；还有疑问，发「转人工」就行。",
        "A colleague has answered {number} (“{subject}”): please see the messages above. "
        "If anything is still open, say “agent”.",
    )
    TICKET_CLOSED = (
        "工单 {number}（{subject}）已经办结。如果问题还在，告诉我，我再为您登记一个。",
        "{number} (“{subject}”) is closed. If the problem is still there, tell me and I'll open a new one.",
    )
    DUE_WITHIN = ("预计 {within}答复您", "you should hear from them {within}")
    OVERDUE = (
        "已经超过约定的时间，非常抱歉，同事会尽快答复您",
        "it is overdue, and I'm sorry; they will answer you as soon as they can",
    )

    WITHIN_FEW_MINUTES = ("几分钟内", "within a few minutes")
    WITHIN_MINUTES = ("{count} 分钟内", "within {count} minutes")
    WITHIN_HOUR = ("1 小时内", "within an hour")
    WITHIN_HOURS = ("{count} 小时内", "within {count} hours")
    WITHIN_DAYS = ("{count} 天内", "within {count} days")

    NOTICE_OPENED = (
        "新工单 {number}：{subject}\n客户：{who}\n时限：{due}\n答复：kefu tickets reply {number} 内容",
        "New ticket {number}: {subject}\nCustomer: {who}\nDue: {due}\nTo answer: kefu tickets reply {number} TEXT",
    )
    NOTICE_CUSTOMER = (
        "工单 {number} 的客户又写道：\n{text}",
        "The customer of {number} writes:\n{text}",
    )
    NOTICE_STUCK = (
        "一条回复需要人工确认（{state}）：{reason}\n查看：kefu deliveries list（编号 {id}）",
        "A reply needs a decision ({state}): {reason}\nSee: kefu deliveries list (number {id})",
    )
    NOTICE_DOWN = (
        "渠道 {platform} 已中断超过一分钟：{reason}\n"
        "客户在该渠道的消息可能收不到或发不出，请尽快处理。检查：kefu doctor",
        "The channel {platform} has not worked for more than a minute: {reason}\n"
        "Customers may not reach us there. To check: kefu doctor",
    )
    NOTICE_UP = (
        "渠道 {platform} 已恢复，积压的消息正在处理。",
        "The channel {platform} works again; what waited there is being dealt with.",
    )
    NOTICE_OF_CHANNEL = (
        "渠道 {platform} 提示：{reason}",
        "The channel {platform} says: {reason}",
    )

    CUSTOMER_LINE = ("客户：{text}", "Customer: {text}")
    BOT_LINE = ("机器人：{text}", "Bot: {text}")
    AGENT_LINE = ("同事：{text}", "Agent: {text}")
    PERSON_WANTED = ("希望人工客服联系", "Wants to talk to a person")
    ISSUE_UNSAID = ("客户要求登记工单，未说明问题", "Asked for a ticket without saying what it is about")


ATTACHMENTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "photo": ("图片", "picture"),
        "image": ("图片", "picture"),
        "voice": ("语音", "voice message"),
        "audio": ("音频", "audio file"),
        "video": ("视频", "video"),
        "sticker": ("表情", "sticker"),
        "location": ("位置", "location"),
        "contact": ("名片", "contact card"),
    }
)
"""Kinds of attachment by name; anything else is a file."""

_STATES: Mapping[TicketState, Phrase] = MappingProxyType(
    {
        TicketState.OPEN: Phrase.TICKET_OPEN,
        TicketState.ASSIGNED: Phrase.TICKET_ASSIGNED,
        TicketState.ANSWERED: Phrase.TICKET_ANSWERED,
        TicketState.CLOSED: Phrase.TICKET_CLOSED,
    }
)


class Phrases:
    """The phrase book. `refusal` replaces the built-in refusal in every language."""

    def __init__(self, *, refusal: str = "") -> None:
        self._refusal = refusal.strip()

    def say(self, phrase: Phrase, language: Language, **fields: object) -> str:
        """The sentence with its fields filled in. Fields are data: braces inside them mean nothing."""
        if phrase is Phrase.REFUSAL and self._refusal:
            return self._refusal
        chinese, english = phrase.value
        return (chinese if language == "zh" else english).format(**fields)

    def within(self, span: timedelta, language: Language) -> str:
        """A span in words, rounded up: "within 3 hours". No clock time, because nobody knows the reader's time zone."""
        minutes = max(-(-int(span.total_seconds()) // 60), 1)
        hours = -(-minutes // 60)
        if minutes < 10:
            return self.say(Phrase.WITHIN_FEW_MINUTES, language)
        if minutes < 60:
            return self.say(Phrase.WITHIN_MINUTES, language, count=minutes)
        if hours == 1:
            return self.say(Phrase.WITHIN_HOUR, language)
        if hours <= 48:
            return self.say(Phrase.WITHIN_HOURS, language, count=hours)
        return self.say(Phrase.WITHIN_DAYS, language, count=-(-hours // 24))

    def status(
        self, state: TicketState, language: Language, *, number: str, subject: str, due_at: datetime, now: datetime
    ) -> str:
        """How a ticket stands, for its owner."""
        if due_at > now:
            due = self.say(Phrase.DUE_WITHIN, language, within=self.within(due_at - now, language))
        else:
            due = self.say(Phrase.OVERDUE, language)
        return self.say(_STATES[state], language, number=number, subject=subject, due=due)

    def attachments(self, kinds: tuple[str, ...], language: Language) -> str:
        """What came along, in words: 「图片和语音」; "" for nothing."""
        at = 0 if language == "zh" else 1
        names = list(dict.fromkeys(ATTACHMENTS.get(kind, ("文件", "file"))[at] for kind in kinds))
        if len(names) < 2:
            return "".join(names)
        head, last = ("、".join(names[:-1]), "和") if language == "zh" else (", ".join(names[:-1]), " and ")
        return f"{head}{last}{names[-1]}"
