"""What operators are told, where `tickets.notify` says. Personal data is masked: a group may read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bot.dialogue.phrases import Phrase, Phrases
from bot.history.endings import Delivery
from bot.messages import (
    AddToTicket,
    Author,
    ConversationRef,
    Language,
    OpenTicket,
    Outcome,
    Reply,
    Ticket,
    Turn,
    TurnResult,
)
from bot.privacy import Redactor

TEXT_CHARS = 500


class OperatorNotices:
    """Notices as replies to the addresses that want them."""

    def __init__(self, addresses: Sequence[ConversationRef], phrases: Phrases, redactor: Redactor) -> None:
        self._addresses = tuple(addresses)
        self._phrases = phrases
        self._redactor = redactor

    def of_turn(self, turn: Turn, result: TurnResult) -> Sequence[tuple[ConversationRef, Reply]]:
        """What the turn did to tickets."""
        language: Language = result.reply.language if result.reply else (turn.state.language or "zh")
        said = []
        for effect in result.effects:
            match effect:
                case OpenTicket(ticket=ticket):
                    said.append(self._opened(ticket, language))
                case AddToTicket(number=number, text=text):
                    words = {"number": number, "text": self._masked(text)}
                    said.append(self._phrases.say(Phrase.NOTICE_CUSTOMER, language, **words))
                case _:
                    pass
        return self._to_all("\n\n".join(said), language) if said else ()

    def stuck(self, delivery: Delivery, state: str, error: str) -> Sequence[tuple[ConversationRef, Reply]]:
        """A reply that nobody knows the fate of, or that failed. The customer's words are not repeated."""
        language = delivery.reply.language
        text = self._phrases.say(Phrase.NOTICE_STUCK, language, state=state, reason=self._masked(error), id=delivery.id)
        return self._to_all(text, language)

    def of_channel(
        self, platform: str, news: Literal["down", "up", "note"], reason: str, language: Language
    ) -> Sequence[tuple[ConversationRef, Reply]]:
        """A channel has stopped working, works again, or has something to say of itself. Not told on that platform:
        it would wait there until it is of no use."""
        phrase = {"down": Phrase.NOTICE_DOWN, "up": Phrase.NOTICE_UP, "note": Phrase.NOTICE_OF_CHANNEL}[news]
        text = self._phrases.say(phrase, language, platform=platform, reason=self._masked(reason))
        return [(address, notice) for address, notice in self._to_all(text, language) if address.platform != platform]

    def _opened(self, ticket: Ticket, language: Language) -> str:
        who = ticket.requester_name or ticket.conversation.platform
        return self._phrases.say(
            Phrase.NOTICE_OPENED,
            language,
            number=ticket.number,
            subject=self._masked(ticket.subject),
            who=self._masked(who),
            due=f"{ticket.due_at:%Y-%m-%d %H:%M} UTC",
        )

    def _masked(self, text: str) -> str:
        return self._redactor.redact(text[:TEXT_CHARS])

    def _to_all(self, text: str, language: Language) -> list[tuple[ConversationRef, Reply]]:
        notice = Reply(outcome=Outcome.CHAT, text=text, language=language, author=Author.NOTICE)
        return [(address, notice) for address in self._addresses]
