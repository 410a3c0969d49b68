"""What becomes of function calls and tickets in a turn: made at once, shown to the customer first, or not made."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from bot.dialogue.functions.base import Result, TicketWish
from bot.dialogue.functions.registry import Call, Functions
from bot.dialogue.hearing import hear
from bot.dialogue.moment import Moment
from bot.dialogue.phrases import Phrase, Phrases
from bot.dialogue.rules import confirms, consent
from bot.dialogue.text import literal
from bot.dialogue.ticketing import Opened, Ticketing
from bot.errors import Unconfirmed
from bot.messages import FunctionReturned, Outcome, PendingCall, Reply, ReplyAction, Turn, TurnResult
from bot.ports import Clock

WISHED_FROM = 0.65
"""A ticket that an engine's call asks for is opened at once only when the customer's own words wish for one at least so
much (`Reading.wish`); otherwise the customer is asked first. Text in a passage can talk a model into a call, but not
the customer into saying yes. Of the 475 ordinary questions in tests/data/questions.jsonl and answers.jsonl, 39 reach
.3 and none reaches more than .61."""


def answer_to_pending(turn: Turn) -> Literal["yes", "again", "no", ""]:
    """What the turn says to the call that the customer was asked to confirm. "again": it sounds like a yes, but not
    like one to exactly this, so they have to be asked once more; "": something else."""
    pending = turn.state.pending
    heard = hear(turn)
    if pending is None or heard.reset or heard.command or heard.action:
        return ""
    answer = consent(heard.text)
    if answer == "no":
        return "no"
    # A 「好的」 that was on its way before the question was asked agrees to something else.
    in_time = turn.messages[0].sent_at >= pending.at
    if confirms(heard.text) and in_time and not heard.attachments:
        return "yes"
    return "again" if answer == "yes" or confirms(heard.text) else ""


class Calls:
    """Decides over calls, and turns what they gave into the turn's result."""

    def __init__(self, functions: Functions, ticketing: Ticketing, *, phrases: Phrases, clock: Clock) -> None:
        self._functions = functions
        self._ticketing = ticketing
        self._phrases = phrases
        self._clock = clock

    async def wanted(self, moment: Moment, call: Call, *, wish: float) -> TurnResult:
        """A call that the engine wants made. A look-up is; what changes something waits for the customer's yes.

        :param wish: how much the customer's own words wish for a ticket or a person, 0 to 1.
        :raises FunctionFailed: there is no result.
        """
        if call.function.changes:
            return self._ask(moment, self._functions.pending(call, moment.turn, moment.language))
        result = await self._functions.look_up(call, moment.turn, moment.language)
        if result.wish is not None and wish < WISHED_FROM:
            return self._offer_ticket(moment, result)
        return self.became(moment, call.function.name, result)

    async def settled(self, moment: Moment) -> TurnResult | None:
        """What an earlier run of this turn has already done, whatever is said or wished by now; None for nothing."""
        pending = moment.turn.state.pending
        if pending is None:
            return None
        try:
            result = await self._functions.recall(pending)
        except Unconfirmed:
            return self.unconfirmed(moment, pending)
        return None if result is None else self.became(moment, pending.function, result)

    async def answered(self, moment: Moment) -> TurnResult | None:
        """What the customer's yes or no to the call that waits for it leads to; None when they speak of something else,
        which drops it.

        :raises FunctionFailed: it can not be made any more.
        """
        pending = moment.turn.state.pending
        answer = answer_to_pending(moment.turn)
        if pending is None or not answer:
            return None
        if answer == "no":
            return self._chat(moment, self._phrases.say(Phrase.ACTION_DECLINED, moment.language))
        if answer == "again":
            return self._ask(moment, replace(pending, at=self._clock.now()))
        try:
            result = await self._functions.carry_out(pending, moment.turn, moment.language)
        except Unconfirmed:
            return self.unconfirmed(moment, pending)
        return self.became(moment, pending.function, result)

    def became(self, moment: Moment, function: str, result: Result) -> TurnResult:
        """What a function found or did, told to the customer."""
        if result.wish is not None:
            opened = self._ticketing.open(result.wish, moment.turn, moment.language, function=function)
            return self._with_ticket(moment, opened, before=result.text)
        reply = Reply(
            outcome=Outcome.STATUS,
            text=result.text,
            language=moment.language,
            confidence=1.0,
            ticket=result.ticket,
            actions=(ReplyAction.TALK_TO_PERSON,),
        )
        returned = FunctionReturned(name=function, result=result.text, at=self._clock.now())
        return TurnResult(reply=reply, state=moment.state, functions=(returned,))

    def opened(self, moment: Moment, wish: TicketWish) -> TurnResult:
        """A ticket that the customer asked for."""
        return self._with_ticket(moment, self._ticketing.open(wish, moment.turn, moment.language))

    def unconfirmed(self, moment: Moment, pending: PendingCall) -> TurnResult:
        """Nobody knows whether the call was carried out: the customer is told so, and a person looks."""
        return self._with_ticket(moment, self._ticketing.unconfirmed(pending, moment.turn, moment.language))

    def _with_ticket(self, moment: Moment, opened: Opened, *, before: str = "") -> TurnResult:
        reply = opened.reply
        if before:
            reply = replace(reply, text=f"{before}\n{reply.text}")
        return TurnResult(reply=reply, state=moment.state, effects=(opened.effect,), functions=(opened.returned,))

    def _ask(self, moment: Moment, pending: PendingCall) -> TurnResult:
        text = self._phrases.say(Phrase.CONFIRM_ACTION, moment.language, action=literal(pending.action))
        return self._chat(replace(moment, state=replace(moment.state, pending=pending)), text)

    def _offer_ticket(self, moment: Moment, result: Result) -> TurnResult:
        text = self._phrases.say(Phrase.CONFIRM_TICKET, moment.language)
        state = replace(moment.state, offered="ticket", question=moment.heard.text)
        asked = self._chat(replace(moment, state=state), f"{result.text}\n{text}".strip())
        assert asked.reply is not None
        actions = (ReplyAction.OPEN_TICKET, ReplyAction.TALK_TO_PERSON)
        return replace(asked, reply=replace(asked.reply, actions=actions))

    def _chat(self, moment: Moment, text: str) -> TurnResult:
        reply = Reply(outcome=Outcome.CHAT, text=text, language=moment.language, confidence=1.0)
        return TurnResult(reply=reply, state=moment.state)
