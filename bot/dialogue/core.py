"""One turn: what was said becomes a reply, a new state and effects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from bot.dialogue.calls import Calls, answer_to_pending
from bot.dialogue.functions.base import TicketWish
from bot.dialogue.functions.registry import Functions
from bot.dialogue.hearing import Heard, hear, words_of
from bot.dialogue.intents import Intent
from bot.dialogue.language import detect, shown
from bot.dialogue.moment import Moment
from bot.dialogue.phrases import Phrase, Phrases
from bot.dialogue.questions import Finding, Questions
from bot.dialogue.rules import consent, without_command, without_ticket_numbers
from bot.dialogue.settings import DialogueSettings
from bot.dialogue.text import bare, clauses, clean, excerpt, searchable
from bot.dialogue.ticketing import TICKET_STATUS, Ticketing
from bot.dialogue.understanding import WISHES, Reading, Understanding
from bot.errors import FunctionFailed, KnowledgeUnavailable, TurnError
from bot.messages import (
    AddToTicket,
    BotSaid,
    CloseTicket,
    CustomerSaid,
    DialogueState,
    Effect,
    ForgetHistory,
    IncomingMessage,
    MessageKind,
    Outcome,
    Reply,
    ReplyAction,
    Turn,
    TurnResult,
)
from bot.ports import Clock, Engine, Knowledge, SnapshotSink
from bot.telemetry import get_logger

SOLVED = "solved"
"""The button of a ticket's card that closes it; its value is the number."""

_BARE_WISH = 24
"""Letters: a longer wish for a person or a ticket says for itself what it is about."""

log = get_logger(__name__)


class Dialogue:
    """Responds to turns. Holds nothing of any conversation."""

    def __init__(
        self,
        *,
        knowledge: Knowledge,
        engine: Engine,
        ticketing: Ticketing,
        functions: Functions,
        understanding: Understanding,
        phrases: Phrases,
        settings: DialogueSettings,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._understanding = understanding
        self._phrases = phrases
        self._settings = settings
        self._ticketing = ticketing
        self._calls = Calls(functions, ticketing, phrases=phrases, clock=clock)
        self._questions = Questions(
            knowledge=knowledge,
            engine=engine,
            understanding=understanding,
            functions=functions,
            settings=settings,
        )

    async def respond(self, turn: Turn, show: SnapshotSink) -> TurnResult:
        """The turn's result. A TurnError becomes a sentence here and nowhere else.

        :raises StoreUnavailable: tickets can not be read now; the turn should be tried again.
        """
        moment = self._begin(turn, show)
        try:
            async with asyncio.timeout(self._settings.turn_seconds):
                result = await self._calls.settled(moment) or await self._respond(moment)
        except (TurnError, TimeoutError) as error:
            log.warning("turn failed", turn=turn.id, kind=type(error).__name__)
            result = self._failed(moment, error)
        return self._finished(moment, result)

    def expect(self, message: IncomingMessage) -> None:
        """A turn with this message begins in a moment: its search may run while the message is being stored."""
        if message.kind is MessageKind.TEXT:
            question = self._understanding.expected(searchable(clean(message.text)))
            if question:
                self._questions.expect(question, message.collections)

    def _begin(self, turn: Turn, show: SnapshotSink) -> Moment:
        heard = hear(turn)
        # The name of a command is English in any language, and so is a ticket's number.
        words = heard.text or (heard.command[1] if heard.command else "")
        spoken = without_ticket_numbers(words, prefix=self._settings.ticket_prefix)
        language = detect(spoken, setting=self._settings.language, known=turn.state.language, hint=turn.sender.language)
        if turn.late:
            show = _after(self._phrases.say(Phrase.LATE, language), show)
        state = replace(turn.state, language=shown(spoken) or turn.state.language, offered="", pending=None)
        return Moment(turn=turn, heard=heard, language=language, state=state, show=show)

    async def _respond(self, moment: Moment) -> TurnResult:
        heard = moment.heard
        if heard.reset:
            return await self._start_over(moment)
        if heard.action is not None and heard.action[0] == SOLVED:
            return await self._solved(moment, heard.action[1])
        if moment.state.held_by:
            return self._stay_silent(moment)
        if heard.action is not None:
            return self._pressed(moment, heard.action[0])
        if heard.command is not None and (heard.command[0] == "ticket" or not heard.texts):
            return self._command(moment, *heard.command)
        if heard.texts:
            return await self._words(moment)
        if heard.attachments:
            what = self._phrases.attachments(heard.attachments, moment.language)
            return self._chat(moment, Phrase.TEXT_ONLY, what=what)
        return self._chat(moment, Phrase.UNREADABLE)

    # -- Who has the conversation --

    async def _start_over(self, moment: Moment) -> TurnResult:
        """Forgets what was said and takes the conversation back; what was said after that is answered anew."""
        effects: list[Effect] = []
        held, said = moment.state.held_by, words_of(moment.heard.before_reset)
        if held and said:
            effects.append(AddToTicket(number=held, text=said))
        effects.append(ForgetHistory())
        fresh = replace(
            moment,
            turn=replace(moment.turn, history=(), state=DialogueState(language=moment.state.language)),
            heard=replace(moment.heard, reset=False, before_reset=()),
            state=DialogueState(language=moment.state.language),
        )
        if moment.heard.texts or moment.heard.command or moment.heard.action:
            result = await self._respond(fresh)
        else:
            result = self._chat(fresh, Phrase.RESET)
        return replace(result, effects=(*effects, *result.effects))

    def _stay_silent(self, moment: Moment) -> TurnResult:
        """An agent has the conversation: the words go there, and the person is told so once."""
        number = moment.state.held_by
        said = words_of(moment.turn.messages)
        effects = (AddToTicket(number=number, text=said),) if said else ()
        if moment.state.held_noted:
            return TurnResult(reply=None, state=moment.state, effects=effects)
        text = self._phrases.say(Phrase.HELD, moment.language, number=number)
        reply = Reply(outcome=Outcome.HANDOFF, text=text, language=moment.language, confidence=1.0)
        return TurnResult(reply=reply, state=replace(moment.state, held_noted=True), effects=effects)

    # -- Commands and buttons --

    def _command(self, moment: Moment, name: str, rest: str) -> TurnResult:
        match name:
            case "start":
                return self._chat(moment, Phrase.START)
            case "help":
                return self._chat(moment, Phrase.HELP)
            case "stop":
                return self._chat(moment, Phrase.NOTHING_TO_STOP)
            case "ticket":
                issue = "\n".join(part for part in (rest, moment.heard.text) if part) or self._last_question(moment)
                if not issue:
                    return self._chat(moment, Phrase.TICKET_NEEDS_WORDS)
                return self._ticket(moment, issue)
        unknown = self._phrases.say(Phrase.UNKNOWN_COMMAND, moment.language)
        result = self._chat(moment, Phrase.HELP)
        assert result.reply is not None
        return replace(result, reply=replace(result.reply, text=f"{unknown}\n{result.reply.text}"))

    def _pressed(self, moment: Moment, name: str) -> TurnResult:
        if name == ReplyAction.TALK_TO_PERSON:
            if not moment.heard.text and (waiting := self._waiting(moment)):
                return self._remind(moment, waiting)
            return self._hand_over(moment, moment.heard.text or self._last_question(moment))
        if name == ReplyAction.OPEN_TICKET:
            issue = moment.heard.text or self._last_question(moment)
            return self._ticket(moment, issue) if issue else self._chat(moment, Phrase.TICKET_NEEDS_WORDS)
        return self._chat(moment, Phrase.HELP)

    async def _solved(self, moment: Moment, number: str) -> TurnResult:
        """The person closes their own ticket; if its agent had the conversation, the bot has it back."""
        closed = await self._ticketing.closed(number, requester=moment.turn.sender.id, language=moment.language)
        result = self._calls.became(moment, TICKET_STATUS, closed)
        if closed.ticket is None:
            return result
        state = result.state
        if state.held_by == closed.ticket.number:
            state = replace(state, held_by="", held_noted=False)
        return replace(result, state=state, effects=(*result.effects, CloseTicket(number=closed.ticket.number)))

    # -- Words --

    async def _words(self, moment: Moment) -> TurnResult:
        heard = moment.heard
        if settled := await self._calls.answered(moment):
            return settled
        answer = consent(heard.text)
        if answer and moment.turn.state.offered == "ticket":
            if answer == "no":
                return self._chat(moment, Phrase.OFFER_DECLINED)
            return self._ticket(moment, self._last_question(moment) or heard.text)
        if numbers := self._ticketing.numbers(heard.text):
            return await self._status_of(moment, numbers)
        readings = [await self._understanding.read(searchable(text)) for text in heard.texts]
        intents = {reading.intent for reading in readings}
        if (
            intents == {Intent.WANTS_PERSON}
            and len(bare(heard.text)) <= _BARE_WISH
            and (waiting := self._waiting(moment))
        ):
            return self._remind(moment, waiting)
        if wishes := intents & WISHES:
            return self._grant(moment, wishes, about=await self._about(moment))
        if Intent.TICKET_STATUS in intents:
            return await self._status(moment)
        if Intent.RESET in intents and len(readings) == 1:
            return await self._start_over(replace(moment, heard=Heard(reset=True)))
        asked = [
            (text, reading)
            for text, reading in zip(heard.texts, readings, strict=True)
            if reading.intent is Intent.QUESTION
        ]
        if asked and not (answer and len(readings) == 1):
            return await self._answer(moment, asked)
        return self._small_talk(moment, readings[-1], answered=answer is not None)

    def _grant(self, moment: Moment, wishes: set[Intent], *, about: str) -> TurnResult:
        """A wish for a person or a ticket, in the customer's own words. A complaint goes before the others."""
        said = moment.heard.text
        if Intent.COMPLAINT in wishes:
            return self._calls.opened(moment, TicketWish(issue=said, kind="complaint"))
        if Intent.WANTS_PERSON in wishes:
            return self._hand_over(moment, about)
        return self._ticket(moment, about)

    async def _status(self, moment: Moment) -> TurnResult:
        """「我的工单怎么样了」: the number may stand in the message that is replied to."""
        if numbers := self._ticketing.numbers(moment.heard.quote):
            return await self._status_of(moment, numbers)
        own = await self._ticketing.own(requester=moment.turn.sender.id, language=moment.language)
        return self._calls.became(moment, TICKET_STATUS, own)

    async def _status_of(self, moment: Moment, numbers: tuple[str, ...]) -> TurnResult:
        requester = moment.turn.sender.id
        told = await self._ticketing.status(numbers, requester=requester, language=moment.language)
        return self._calls.became(moment, TICKET_STATUS, told)

    def _small_talk(self, moment: Moment, reading: Reading, *, answered: bool) -> TurnResult:
        if answered:
            return self._chat(moment, Phrase.NOTED)
        if reading.intent is Intent.HELP:
            return self._chat(moment, Phrase.HELP)
        return self._chat(moment, Phrase.THANKS if reading.intent is Intent.THANKS else Phrase.GREETING)

    # -- Questions --

    async def _answer(self, moment: Moment, asked: Sequence[tuple[str, Reading]]) -> TurnResult:
        """Each question of the turn with its own search and answer."""
        findings = await self._findings(moment, asked)
        tokens = sum(finding.tokens for finding in findings)
        version = max(finding.knowledge_version for finding in findings)
        wish = max(reading.wish for _, reading in asked)
        for finding in findings:
            if finding.call is not None:
                result = await self._calls.wanted(moment, finding.call, wish=wish)
                return replace(result, tokens=tokens, engine=self._engine.name, knowledge_version=version)
        result = self._told(moment, findings)
        return replace(result, tokens=tokens, engine=self._engine.name, knowledge_version=version)

    async def _findings(self, moment: Moment, asked: Sequence[tuple[str, Reading]]) -> list[Finding]:
        findings: list[Finding] = []
        previous = moment.turn.state.question
        said = _customers_words(moment.turn) or [previous]
        if moment.heard.quote and len(moment.heard.quote) <= 80:
            previous, said = moment.heard.quote, [moment.heard.quote]
        for text, reading in asked:
            told = "\n\n".join(finding.text for finding in findings if finding.text)
            finding = await self._questions.answer(
                reading.rest or text,
                previous=previous,
                said=said,
                turn=moment.turn,
                language=moment.language,
                wish=reading.wish,
                show=_after(told, moment.show) if told else moment.show,
            )
            findings.append(finding)
            previous, said = finding.question, [*said, text]
            if finding.call is not None:
                break
        return findings

    def _told(self, moment: Moment, findings: Sequence[Finding]) -> TurnResult:
        answered = [finding for finding in findings if finding.text]
        missing = [finding for finding in findings if not finding.text]
        parts = [finding.text for finding in answered]
        if moment.heard.attachments:
            what = self._phrases.attachments(moment.heard.attachments, moment.language)
            parts.append(self._phrases.say(Phrase.TEXT_ONLY_NOTE, moment.language, what=what))
        if missing:
            parts.append(self._refusal(moment, missing, partly=bool(answered)))
        sources = {source.id: source for finding in answered for source in finding.sources}
        reply = Reply(
            outcome=Outcome.ANSWERED if answered else Outcome.REFUSED,
            text="\n\n".join(parts),
            language=moment.language,
            confidence=round(min(finding.confidence for finding in answered or missing), 4),
            sources=tuple(sources.values()),
            actions=(ReplyAction.FEEDBACK,) if not missing else (ReplyAction.OPEN_TICKET, ReplyAction.TALK_TO_PERSON),
        )
        state = replace(
            moment.state,
            question=(missing or findings)[-1].question,
            offered="ticket" if missing else "",
        )
        return TurnResult(reply=reply, state=state)

    def _refusal(self, moment: Moment, missing: Sequence[Finding], *, partly: bool) -> str:
        say, language = self._phrases.say, moment.language
        lines = [say(Phrase.REFUSAL, language)]
        if partly:
            about = excerpt(missing[-1].question.split("\n")[-1], 40)
            lines = [say(Phrase.REFUSAL_ABOUT, language, question=about)]
        if nearest := next((finding.nearest for finding in missing if finding.nearest), ""):
            lines.append(say(Phrase.NEAREST, language, question=nearest))
        if moment.turn.open_ticket:
            lines.append(say(Phrase.OPEN_TICKET_EXISTS, language, number=moment.turn.open_ticket))
        lines.append(say(Phrase.OFFER_TICKET, language))
        return "\n".join(lines)

    # -- Results --

    def _ticket(self, moment: Moment, issue: str) -> TurnResult:
        return self._calls.opened(moment, TicketWish(issue=issue))

    def _hand_over(self, moment: Moment, reason: str) -> TurnResult:
        return self._calls.opened(moment, TicketWish(issue=reason, kind="person"))

    def _waiting(self, moment: Moment) -> str:
        """The ticket by which our last words passed this person on; "" where they said something else."""
        number, last = moment.turn.open_ticket, moment.turn.history[-1] if moment.turn.history else None
        passed_on = isinstance(last, BotSaid) and last.outcome is Outcome.HANDOFF and number in last.text
        return number if passed_on else ""

    def _remind(self, moment: Moment, number: str) -> TurnResult:
        """Who asks for a person twice gets no second ticket: whoever has the first one hears of it."""
        text = self._phrases.say(Phrase.REMINDED, moment.language, number=number)
        reply = Reply(outcome=Outcome.HANDOFF, text=text, language=moment.language, confidence=1.0)
        said = words_of(moment.turn.messages) or self._phrases.say(Phrase.PERSON_WANTED, moment.language)
        effects = (AddToTicket(number=number, text=said),)
        return TurnResult(reply=reply, state=moment.state, effects=effects)

    def _chat(self, moment: Moment, phrase: Phrase, **fields: object) -> TurnResult:
        text = self._phrases.say(phrase, moment.language, **fields)
        reply = Reply(outcome=Outcome.CHAT, text=text, language=moment.language, confidence=1.0)
        return TurnResult(reply=reply, state=moment.state)

    def _failed(self, moment: Moment, error: TurnError | TimeoutError) -> TurnResult:
        """What the customer reads when something of ours is down: words, and the way to a person."""
        agreed = moment.turn.state.pending if answer_to_pending(moment.turn) == "yes" else None
        if agreed is not None and isinstance(error, TimeoutError):
            return self._calls.unconfirmed(moment, agreed)
        down = next((phrase for kind, phrase in _DOWN.items() if isinstance(error, kind)), Phrase.REFUSAL)
        offer = self._phrases.say(Phrase.OFFER_TICKET, moment.language)
        reply = Reply(
            outcome=Outcome.ERROR,
            text=f"{self._phrases.say(down, moment.language)}\n{offer}",
            language=moment.language,
            actions=(ReplyAction.OPEN_TICKET, ReplyAction.TALK_TO_PERSON),
        )
        question = agreed.action if agreed else moment.heard.text or moment.state.question
        return TurnResult(
            reply=reply, state=replace(moment.state, offered="ticket", question=question), engine=self._engine.name
        )

    def _finished(self, moment: Moment, result: TurnResult) -> TurnResult:
        if result.reply is None:
            return result
        text = result.reply.text
        if moment.turn.late:
            text = f"{self._phrases.say(Phrase.LATE, moment.language)}\n\n{text}"
        return replace(result, reply=replace(result.reply, text=text, turn_id=moment.turn.id))

    # -- What it is about --

    async def _about(self, moment: Moment) -> str:
        """What a ticket is about: the words themselves, after the question they follow if they are a bare wish."""
        said = moment.heard.text
        earlier = self._last_question(moment)
        if not earlier or len(bare(said)) > _BARE_WISH:
            return said
        for clause in clauses(said):
            # 「发票抬头开错了，帮我登记一个工单」 is short and says what it is about.
            if (
                len(bare(clause)) >= 5
                and (await self._understanding.read(searchable(clause))).intent is Intent.QUESTION
            ):
                return said
        return f"{earlier}\n{said}"

    def _last_question(self, moment: Moment) -> str:
        """What the customer asked last, in their words."""
        if moment.turn.state.question:
            return moment.turn.state.question
        return next((words for words in reversed(_customers_words(moment.turn)) if words), "")


_DOWN: dict[type[Exception], Phrase] = {
    KnowledgeUnavailable: Phrase.KNOWLEDGE_DOWN,
    FunctionFailed: Phrase.FUNCTION_FAILED,
}


def _customers_words(turn: Turn) -> list[str]:
    """What this person said before the turn, oldest first."""
    return [without_command(entry.text) for entry in turn.history if isinstance(entry, CustomerSaid)]


def _after(preface: str, show: SnapshotSink) -> SnapshotSink:
    """Shows everything behind a preface."""
    return lambda text: show(f"{preface}\n\n{text}")
