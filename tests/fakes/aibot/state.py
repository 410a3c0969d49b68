"""What the fake knows: conversations, what it asked the bot, what the bot said, and every rule it broke."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fakes.platform import Changes, MovableClock

Json = dict[str, Any]
Kind = Literal["single", "group"]


@dataclass(slots=True, kw_only=True)
class Place:
    """A conversation: a colleague's own (its id is the userid) or a group's."""

    id: str
    kind: Kind
    written: bool = False
    """Somebody has written to the bot here; before that it may not speak by itself."""
    member: bool = True
    """The bot is still in the group."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """A message or an event that went to the bot."""

    req_id: str
    msgid: str
    kind: str
    """message, enter_chat, template_card_event or feedback_event."""
    place: Place
    user: str
    at: float
    """The fake's clock, seconds."""
    body: Json
    link: int = 0
    """The connection it went out on; 0: the bot was not there, and it is lost."""
    task_id: str = ""
    """The card that was pressed."""
    answers: int = 0
    """How many frames were accepted for it."""


@dataclass(slots=True, kw_only=True)
class Post:
    """Something the bot said, as it stands in the conversation now."""

    number: int
    place: Place
    via: str
    """stream, markdown, template_card, text, …: the msgtype."""
    at: float
    req_id: str
    """Of the callback it answers; of the frame itself when the bot spoke by itself."""
    asked: Asked | None = None
    text: str = ""
    card: Json = field(default_factory=dict)
    feedback: str = ""
    """The id that a thumb comes back with; "" when there are no thumbs."""
    stream: str = ""
    finished: bool = True
    ended: bool = False
    """WeCom ended the stream, because its time was over."""
    shown: list[tuple[float, str]] = field(default_factory=list)
    """Every state it had, with its time."""
    updates: int = 0
    """How often a card was replaced."""


@dataclass(slots=True, kw_only=True)
class Heard:
    """One frame of the bot, in the order of arrival."""

    number: int
    at: float
    link: int
    cmd: str
    req_id: str
    body: Json
    errcode: int | None = None
    """What the fake made of it, whether the bot was told or not; None: it never had an effect."""
    why: str = ""
    """In the fake's words, when it refused."""
    fault: str = ""
    """The kind of the fault that hit it."""

    @property
    def method(self) -> str:
        return self.cmd

    @property
    def params(self) -> Json:
        return self.body


class State(Changes):
    """Everything at once; the parts share it."""

    def __init__(self, clock: MovableClock, *, bot_id: str, secret: str) -> None:
        super().__init__()
        self.clock = clock
        self.bot_id, self.secret = bot_id, secret
        self.places: dict[tuple[str, str], Place] = {}
        self.asked: dict[str, Asked] = {}
        self.posts: list[Post] = []
        self.cards: dict[str, Post] = {}
        """By task_id, which no bot may use twice."""
        self.heard: list[Heard] = []
        self.violations: list[str] = []
        """Rules the bot broke, also those that WeCom itself would let pass; tests want none."""
        self._numbers = 0

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def new_id(self, prefix: str = "") -> str:
        return f"{prefix}{secrets.token_hex(12)}"

    def place(self, kind: Kind, place_id: str) -> Place:
        """The conversation; it is made when it is not there."""
        return self.places.setdefault((kind, place_id), Place(id=place_id, kind=kind))

    def breach(self, words: str) -> None:
        """Writes a broken rule down."""
        self.violations.append(words)

    def post(self, post: Post) -> Post:
        """The bot said something."""
        post.shown.append((post.at, post.text))
        self.posts.append(post)
        if post.card.get("task_id"):
            self.cards[str(post.card["task_id"])] = post
        return post
