"""The values that flow through kefu: from a platform to the core and back.

Everything here is frozen and free of behaviour beyond what a value can say of itself. Times are aware and in UTC.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

Language: TypeAlias = Literal["zh", "en"]
"""A language the phrase book has. Questions in other languages are answered in the nearer of the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRef:
    """Where a conversation takes place: the key of a lane and the address of a reply."""

    platform: str
    """"telegram", "web", "terminal", … as in a channel address."""
    account: str
    """The bot's own account there (a Telegram bot's id, a Slack workspace's id); "" where there is only one."""
    channel: str
    """The chat, channel or session."""
    thread: str = ""
    """The thread or forum topic inside the channel; "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A person as the platform authenticated them. Functions act with this identity and no other."""

    id: str
    """"platform:id", e.g. "telegram:123": what `kefu users export` takes."""
    name: str = ""
    """What to call them; chosen by themselves, so never an identity."""
    language: str = ""
    """The platform's hint (an IETF tag such as "zh-hans"); "" where it gives none."""


class MessageKind(enum.StrEnum):
    """What arrived."""

    TEXT = "text"
    """Words to answer (a photo's caption is words too)."""
    COMMAND = "command"
    """A command such as /help; `command` names it, `text` is the rest."""
    ACTION = "action"
    """A pressed button; `command` names it ("person", "ticket", …), `text` is its value."""
    EDIT = "edit"
    """New words for the message `message_id`."""
    STOP = "stop"
    """The running answer is no longer wanted."""
    FEEDBACK = "feedback"
    """A thumb up or down: `feedback` is set."""
    GONE = "gone"
    """The person or group closed the door: nothing can be sent there any more."""
    MOVED = "moved"
    """The conversation's channel is now called `text`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A judgement of one answer."""

    turn_id: str
    rating: Literal["up", "down"]
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingMessage:
    """One thing a person did on a platform, verified and parsed."""

    keys: tuple[str, ...]
    """Every key under which the platform may deliver this message again; one is enough to recognise it."""
    conversation: ConversationRef
    sender: Sender
    kind: MessageKind = MessageKind.TEXT
    text: str = ""
    sent_at: datetime
    """When the platform says it was sent."""
    sequence: int | None = None
    """The platform's own order inside the conversation; None where it has none (then arrival counts)."""
    message_id: str = ""
    """The platform's name of the message, for edits and replies; "" where it has none."""
    command: str = ""
    """Set for COMMAND and ACTION, without the slash."""
    quote: str = ""
    """The words of the message this one replies to."""
    attachments: tuple[str, ...] = ()
    """Kinds of what came along and cannot be read: "photo", "voice", "file", …"""
    feedback: Feedback | None = None
    collections: tuple[str, ...] = ("default",)
    """What the audience of this channel may be told from."""
    direct: bool = True
    """A conversation between this person and the bot alone."""


class ReceiptStatus(enum.StrEnum):
    """What became of a message that was handed in."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    EDITED = "edited"
    SHED = "shed"
    """Over a limit: kept in history, not answered; the person is told, once a minute at most."""
    DONE = "done"
    """Needed no answer: a stop, feedback, a closed door."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The stored fate of one incoming message. Once it is returned, a crash loses nothing."""

    status: ReceiptStatus
    inbound_id: int | None = None
    """The row's id; for a duplicate, the first copy's. None where nothing was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of the company's knowledge, as retrieval found it."""

    id: str
    document: str
    """e.g. "faq.csv#12"."""
    collection: str
    title: str
    text: str
    """What may be quoted: the whole chunk, or the answer of a question-and-answer row."""
    question: str = ""
    """The question column of a question-and-answer row; "" elsewhere."""
    url: str = ""
    score: float = 0.0
    """Fused, 0..1."""
    dense: float = 0.0
    """Cosine of question and passage; its range depends on the embedder."""
    lexical: float = 0.0
    """Full-text score, 0..1."""
    chance: float = 0.0
    """The probability that it answers the question, as the dialogue weighs it (`bot.dialogue.evidence`)."""
    version: int = 0
    """Of the knowledge that was searched (`kefu knowledge versions`); 0 where it counts none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an answer comes from, as the reader sees it."""

    id: str
    title: str
    url: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """A message that leans on what was said before it: 「加拿大呢？」."""

    text: str
    earlier: tuple[str, ...]
    """What the same customer said before, oldest first; nobody else's words."""
    language: Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A follow-up as an engine would have asked it of somebody who heard nothing before: 「寄到加拿大要几天？」."""

    text: str
    """As the engine said it; whoever uses it checks it."""
    tokens: int = 0
    """What it cost."""


# -- History: a closed union, so that a reader of it must think of every author. --


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerSaid:
    """The person's own words."""

    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BotSaid:
    """What the bot answered."""

    text: str
    at: datetime
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSaid:
    """What a person of the company answered."""

    text: str
    at: datetime
    agent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionReturned:
    """A function's result inside a turn."""

    name: str
    result: str
    at: datetime


HistoryEntry: TypeAlias = CustomerSaid | BotSaid | AgentSaid | FunctionReturned


# -- Turns --


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCall:
    """A function call that the customer was shown and that waits for their yes."""

    key: str
    """Names this call for good; under it, it is made once at most."""
    function: str
    arguments: str
    """As validated, in JSON."""
    action: str
    """What the customer was shown."""
    at: datetime
    """When it was shown; a yes that was sent before is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueState:
    """What one person's dialogue remembers between turns, apart from the words."""

    language: Language | None = None
    """The language of the last message that showed one; None before the first."""
    offered: Literal["", "ticket"] = ""
    """What the last reply offered: a plain "yes" then accepts it."""
    question: str = ""
    """The last question in the form it was searched for: a follow-up leans on it, an offered ticket is about it."""
    pending: PendingCall | None = None
    """What the last reply asked the customer to confirm; any turn that follows makes it or drops it."""
    held_by: str = ""
    """The ticket whose agent has taken over; the bot is silent while it is set."""
    held_noted: bool = False
    """The person has been told that a person of the company reads along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One or more messages of one person, answered together."""

    id: str
    conversation: ConversationRef
    sender: Sender
    messages: tuple[IncomingMessage, ...]
    history: tuple[HistoryEntry, ...] = ()
    """Oldest first; this person's own in this conversation, without the messages of this turn."""
    state: DialogueState = DialogueState()
    attempt: int = 1
    started_at: datetime
    open_ticket: str = ""
    """The number of this person's newest ticket that is not closed; "" for none."""
    late: bool = False
    """The oldest message waited so long (an outage) that the reply should say sorry for it."""

    @property
    def text(self) -> str:
        """All the words of the turn, in order."""
        return "\n".join(message.text for message in self.messages if message.text)

    @property
    def collections(self) -> tuple[str, ...]:
        return self.messages[-1].collections


class Outcome(enum.StrEnum):
    """How a turn ended, as the API names it."""

    ANSWERED = "answered"
    REFUSED = "refused"
    TICKET = "ticket"
    STATUS = "status"
    HANDOFF = "handoff"
    CHAT = "chat"
    ERROR = "error"


class TicketState(enum.StrEnum):
    """The life of a ticket."""

    OPEN = "open"
    ASSIGNED = "assigned"
    ANSWERED = "answered"
    """An agent has replied; the customer may come back to it."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A request that a person of the company works on."""

    number: str
    """e.g. "TICKET-7K2M9Q4D"; not guessable, but never proof of anything."""
    subject: str
    state: TicketState
    requester: str
    """The sender's id."""
    requester_name: str = ""
    conversation: ConversationRef
    transcript: tuple[str, ...] = ()
    """The dialogue that led here, a line a message, oldest first."""
    contact: str = ""
    order_no: str = ""
    urgency: Literal["low", "normal", "high"] = "normal"
    assignee: str = ""
    created_at: datetime
    updated_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketEvent:
    """One thing that happened to a ticket."""

    kind: Literal["opened", "customer", "agent", "assigned", "state", "delivery"]
    author: str
    text: str
    at: datetime


class ReplyAction(enum.StrEnum):
    """What a reader can press under a reply; an adapter shows those its platform can."""

    FEEDBACK = "feedback"
    OPEN_TICKET = "ticket"
    TALK_TO_PERSON = "person"


class Author(enum.StrEnum):
    """Who speaks in a reply."""

    BOT = "bot"
    AGENT = "agent"
    NOTICE = "notice"
    """The house itself, to its operators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is to be said, whole. Text is Markdown; sources are data, and each adapter renders them its own way."""

    outcome: Outcome
    text: str
    language: Language
    confidence: float = 0.0
    sources: tuple[Source, ...] = ()
    ticket: Ticket | None = None
    actions: tuple[ReplyAction, ...] = ()
    author: Author = Author.BOT
    agent: str = ""
    """The agent's name when author is AGENT."""
    turn_id: str = ""
    answers: tuple[int, ...] = ()
    """Receipt.inbound_id of every message this reply answers; filled in when the turn is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTicket:
    """Effect of a turn: a ticket to be opened, once, in the transaction that ends the turn."""

    ticket: Ticket
    call: int = 0
    """The number of the function call inside the turn; with the turn's id it makes the ticket unique."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddToTicket:
    """Effect of a turn: the customer's words go to the agent who holds the conversation."""

    number: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseTicket:
    """Effect of a turn: the requester says that it is solved."""

    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetHistory:
    """Effect of a turn: what was said so far is not used again in this conversation."""


Effect: TypeAlias = OpenTicket | AddToTicket | CloseTicket | ForgetHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResult:
    """All that a turn decided; it becomes true in one transaction."""

    reply: Reply | None
    """None when the bot stays silent (an agent has the conversation)."""
    state: DialogueState
    effects: tuple[Effect, ...] = ()
    functions: tuple[FunctionReturned, ...] = ()
    tokens: int = 0
    engine: str = ""
    knowledge_version: int = 0
    """Of the knowledge that the answer, or the refusal, was drawn from; 0 where nothing was found in it."""


# -- Generation --


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """A function the model may call, as JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    withheld: bool = False
    """Not to be called in this turn. The model is told of it all the same: prompts that begin alike are read once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What an engine is asked, in the order that suits a prefix cache: what never changes first."""

    language: Language
    persona: str
    functions: tuple[FunctionSpec, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    passages: tuple[Passage, ...] = ()
    """Best first."""
    question: str
    """In a form that stands on its own."""
    max_answer_chars: int
    last_try: bool = False
    """The house has asked once more already: an engine that can not read its model's output does not ask again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The answer so far: a snapshot, each one starts with the one before."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The end of a generation: the whole answer. An empty text says that the passages do not answer the question."""

    text: str
    confidence: float
    """As the engine states it, 0..1; not yet what the house acts on."""
    quoted: bool = False
    """The text is the passages' own words, and the confidence the calibrated chance of the one it is taken from."""
    passages: tuple[str, ...] = ()
    """Ids of the passages it was drawn from, if the engine knows."""
    logprob: float | None = None
    """Mean token log-probability, where the engine gives it."""
    tokens: int = 0
    """Prompt and output tokens together; 0 where nothing is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCall:
    """The end of a generation: the model calls a function. Arguments are not validated yet."""

    name: str
    arguments: Mapping[str, Any]
    tokens: int = 0


EngineOutput: TypeAlias = Delta | Answered | FunctionCall
