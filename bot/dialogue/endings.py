"""How a turn ends when it does not end with an answer: stopped, out of time, over a limit, or given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.dialogue.calls import answer_to_pending
from bot.dialogue.details import contact_in, order_in
from bot.dialogue.language import detect
from bot.dialogue.phrases import Phrase, Phrases
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.ticketing import Ticketing
from bot.messages import (
    IncomingMessage,
    Language,
    OpenTicket,
    Outcome,
    Reply,
    ReplyAction,
    Ticket,
    TicketState,
    Turn,
    TurnResult,
)
from bot.ports import Clock, Tickets


class Endings:
    """The sentences for it, in the person's language. What waited for the person's yes is dropped; if they had said it,
    nobody knows how far it came."""

    def __init__(
        self, phrases: Phrases, settings: DialogueSettings, tickets: Tickets, ticketing: Ticketing, clock: Clock
    ) -> None:
        self._phrases = phrases
        self._settings = settings
        self._tickets = tickets
        self._ticketing = ticketing
        self._clock = clock

    def busy(self, message: IncomingMessage) -> Reply:
        """For a message over a limit. It knows the message only: nothing is read from the database for it."""
        language = detect(message.text, setting=self._settings.language, known=None, hint=message.sender.language)
        return Reply(outcome=Outcome.ERROR, text=self._phrases.say(Phrase.BUSY, language), language=language)

    def stopped(self, turn: Turn, partial: str) -> TurnResult:
        """What the person has seen stays, and says that it is not the whole."""
        if unconfirmed := self._unconfirmed(turn):
            return unconfirmed
        language = self._language(turn)
        said = self._phrases.say(Phrase.STOPPED, language)
        text = f"{partial}…\n\n{said}" if partial else said
        reply = Reply(outcome=Outcome.CHAT, text=text, language=language)
        return TurnResult(reply=reply, state=replace(turn.state, pending=None))

    def out_of_time(self, turn: Turn) -> TurnResult:
        """An apology, and the way to a person."""
        return self._unconfirmed(turn) or self._apology(turn, Phrase.OUT_OF_TIME)

    def over_budget(self, turn: Turn) -> TurnResult:
        """Today's tokens are used up; a person can still be asked for, which costs none."""
        return self._apology(turn, Phrase.OVER_BUDGET)

    def parked(self, turn: Turn) -> TurnResult:
        """An apology, and a ticket with the words that could not be handled."""
        if unconfirmed := self._unconfirmed(turn):
            return unconfirmed
        language = self._language(turn)
        now, span = self._clock.now(), timedelta(hours=self._settings.sla_hours)
        line = self._phrases.say(Phrase.CUSTOMER_LINE, language, text=turn.text)
        ticket = Ticket(
            number=self._tickets.new_number(),
            subject=self._phrases.say(Phrase.PARKED_SUBJECT, language),
            state=TicketState.OPEN,
            requester=turn.sender.id,
            requester_name=turn.sender.name,
            conversation=turn.conversation,
            transcript=(line,),
            contact=contact_in(turn.text),
            order_no=order_in(turn.text),
            created_at=now,
            updated_at=now,
            due_at=now + span,
        )
        within = self._phrases.within(span, language)
        text = self._phrases.say(Phrase.PARKED, language, number=ticket.number, within=within)
        reply = Reply(outcome=Outcome.TICKET, text=text, language=language, ticket=ticket)
        state = replace(turn.state, offered="", question="", pending=None)
        return TurnResult(reply=reply, state=state, effects=(OpenTicket(ticket=ticket),))

    def _unconfirmed(self, turn: Turn) -> TurnResult | None:
        """Where the person had agreed to a call: it may have been begun before the turn was ended, and the state in
        which it waits goes with the turn. A ticket too many is better than a change that nobody looks after."""
        pending = turn.state.pending
        if pending is None or answer_to_pending(turn) != "yes":
            return None
        opened = self._ticketing.unconfirmed(pending, turn, self._language(turn))
        state = replace(turn.state, offered="", pending=None)
        return TurnResult(reply=opened.reply, state=state, effects=(opened.effect,), functions=(opened.returned,))

    def _apology(self, turn: Turn, phrase: Phrase) -> TurnResult:
        language = self._language(turn)
        reply = Reply(
            outcome=Outcome.ERROR,
            text=self._phrases.say(phrase, language),
            language=language,
            actions=(ReplyAction.TALK_TO_PERSON,),
        )
        return TurnResult(reply=reply, state=replace(turn.state, pending=None))

    def _language(self, turn: Turn) -> Language:
        hint = turn.sender.language
        return detect(turn.text, setting=self._settings.language, known=turn.state.language, hint=hint)
