"""The registry: what may be called, by whom, and the one way a call is made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.dialogue.functions.base import Arguments, Caller, Function, Result
from bot.dialogue.text import clean, cut
from bot.errors import BadOutput, FunctionFailed, StoreUnavailable, Unconfirmed
from bot.messages import FunctionCall, FunctionSpec, Language, PendingCall, Turn
from bot.ports import CallLog, CallRecord, Clock
from bot.telemetry import get_logger

WISH = 0.3
"""So much the customer's words have to be a wish (`Reading.wish`) for what is offered "on a wish". Of the 475 ordinary
questions in tests/data/questions.jsonl and answers.jsonl, 39 come so near one. A model of half a billion weights called
a function, any function, at every second question that it could have answered, until it could call none."""
MAX_RESULT_CHARS = 2000
"""Of a function's words, so that one that returns a table does not fill a chat and the history behind it."""
MAX_ACTION_CHARS = 300
"""Of what a customer is asked to confirm: nobody reads a page before saying yes."""

_RESULTS = TypeAdapter(Result)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call whose arguments are valid and whose caller may make it."""

    function: Function[Any]
    arguments: Arguments


class NoCalls:
    """A `bot.ports.CallLog` that remembers nothing, for functions that change nothing outside."""

    async def find(self, key: str) -> CallRecord | None:
        """See `CallLog`."""
        return None

    async def begin(self, key: str, *, function: str, turn_id: str, requester: str) -> CallRecord | None:
        """See `CallLog`."""
        return None

    async def finish(self, key: str, result: Mapping[str, Any]) -> None:
        """See `CallLog`."""


class Functions:
    """Every function of the house. Holds nothing of any conversation."""

    def __init__(self, functions: Iterable[Function[Any]], *, log: CallLog, clock: Clock) -> None:
        """Of two functions with one name the first counts; `find_functions` finds no two."""
        self._functions: dict[str, Function[Any]] = {}
        for function in functions:
            self._functions.setdefault(function.name, function)
        self._log = log
        self._clock = clock
        # Kept: making the schemas took a third of a turn's computing.
        self._specs: dict[Language, dict[str, FunctionSpec]] = {
            "zh": {name: _spec(function, "zh") for name, function in self._functions.items()},
            "en": {name: _spec(function, "en") for name, function in self._functions.items()},
        }

    def specs(
        self, language: Language, collections: Sequence[str], *, wish: float, has_ticket: bool
    ) -> tuple[FunctionSpec, ...]:
        """What readers of these collections may call, as an engine is told of it, in the conversation's language.

        :param wish: how much the customer's words are a wish for a ticket or a person, 0 to 1.
        :param has_ticket: the customer has a ticket that is not closed.
        """
        offered = {"always": True, "on a wish": wish >= WISH, "with a ticket": has_ticket}
        specs = self._specs[language]
        return tuple(
            specs[name] if offered[function.offered] else replace(specs[name], withheld=True)
            for name, function in self._functions.items()
            if _may_call(function, collections)
        )

    def parse(self, call: FunctionCall, collections: Sequence[str]) -> Call:
        """A model's call, checked.

        :raises BadOutput: there is no such function for readers of these collections, or it does not take these
            arguments.
        """
        try:
            arguments = json.dumps(dict(call.arguments))
        except (TypeError, ValueError, RecursionError):
            raise BadOutput("the engine's arguments are not JSON") from None
        return self._checked(call.name, arguments, collections)

    def pending(self, call: Call, turn: Turn, language: Language) -> PendingCall:
        """A call of a function that changes something, in the words that the customer has to agree to.

        :raises FunctionFailed: it can not be put into words that a customer could agree to.
        """
        assert call.function.action is not None
        try:
            words = call.function.action(call.arguments).say(language)
        except Exception as error:  # noqa: BLE001 - an author's words may fail in any way; nothing has happened yet
            raise self._failed(call.function.name, type(error).__name__) from None
        action = " ".join(clean(words).split())
        # A model that was talked into the call may have put an address or an essay where a number belongs, or
        # characters that nobody sees.
        hidden = "".join(action.split()) != "".join(words.split())
        if hidden or not 0 < len(action) <= MAX_ACTION_CHARS or "://" in action:
            raise self._failed(call.function.name, "unfit to be confirmed")
        return PendingCall(
            key=_key(turn),
            function=call.function.name,
            arguments=call.arguments.model_dump_json(),
            action=action,
            at=self._clock.now(),
        )

    async def look_up(self, call: Call, turn: Turn, language: Language) -> Result:
        """The result of a function that changes nothing.

        :raises BadOutput: the turn's sender may not call it.
        :raises FunctionFailed: there is no result.
        """
        assert not call.function.changes
        if not _may_call(call.function, turn.collections):
            raise BadOutput("the engine called a function that this customer may not call")
        return await self._run(call, turn, language, _key(turn))

    async def recall(self, pending: PendingCall) -> Result | None:
        """What became of this call if it was begun before; None if it was not.

        :raises Unconfirmed: it was begun, and nobody knows.
        """
        record = await self._log.find(pending.key)
        return None if record is None else _known(record)

    async def carry_out(self, pending: PendingCall, turn: Turn, language: Language) -> Result:
        """The result of a call that the customer has agreed to. It is made once, however often this is called.

        :raises FunctionFailed: it can not be made any more (the function is gone, or not for this customer); nothing
            has happened.
        :raises Unconfirmed: it was begun, now or earlier, and nobody knows what became of it.
        """
        try:
            call = self._checked(pending.function, pending.arguments, turn.collections)
        except BadOutput:
            raise self._failed(pending.function, "no longer offered") from None
        record = await self._log.begin(
            pending.key, function=pending.function, turn_id=turn.id, requester=turn.sender.id
        )
        if record is not None:
            return _known(record)
        try:
            result = await self._run(call, turn, language, pending.key)
        except FunctionFailed:
            # It may have done its work before it failed, or do it still.
            raise Unconfirmed(f"{pending.function} was begun and gave no result") from None
        await self._log.finish(pending.key, _RESULTS.dump_python(result, mode="json"))
        return result

    def _checked(self, name: str, arguments: str, collections: Sequence[str]) -> Call:
        function = self._functions.get(name)
        if function is None or not _may_call(function, collections):
            # One error for both: what others may call is nobody's business.
            raise BadOutput("the engine called a function that does not exist")
        try:
            return Call(function=function, arguments=function.arguments.model_validate_json(arguments))
        except ValidationError:
            # The cause is cut off: its text quotes the arguments, which are the customer's words.
            raise BadOutput(f"the engine's arguments for {name} are not valid") from None

    async def _run(self, call: Call, turn: Turn, language: Language, key: str) -> Result:
        caller = Caller(
            sender=turn.sender,
            conversation=turn.conversation,
            language=language,
            turn_id=turn.id,
            key=key,
            clock=self._clock,
        )
        try:
            async with asyncio.timeout(call.function.seconds):
                return _usable(await call.function.run(call.arguments, caller))
        except StoreUnavailable:
            raise  # our own database: the turn is tried again
        except Exception as error:  # noqa: BLE001 - an author's code may fail in any way; the customer is answered
            raise self._failed(call.function.name, type(error).__name__) from None

    def _failed(self, function: str, kind: str) -> FunctionFailed:
        # The kind only: an error's own words could quote the arguments.
        log.warning("function failed", function=function, kind=kind)
        return FunctionFailed(f"{function} failed: {kind}")


def _may_call(function: Function[Any], collections: Sequence[str]) -> bool:
    return not function.audience or not function.audience.isdisjoint(collections)


def _key(turn: Turn) -> str:
    """Turn and number of the call in it; a turn makes one call at most."""
    return f"{turn.id}-0"


def _usable(result: Result) -> Result:
    text = cut(clean(result.text), MAX_RESULT_CHARS)
    if not text and result.wish is None:
        raise ValueError("a function returned neither words nor a wish")
    return replace(result, text=text)


def _known(record: CallRecord) -> Result:
    if record.result is None:
        raise Unconfirmed("the call was begun earlier and gave no result")
    return _RESULTS.validate_python(record.result)


def _spec(function: Function[Any], language: Language) -> FunctionSpec:
    schema = _without_checks(function.arguments.model_json_schema())
    schema.pop("description", None)
    for name, field in schema["properties"].items():
        meaning = function.meaning(name)
        assert meaning is not None  # Function saw to it
        field["description"] = meaning.say(language)
    return FunctionSpec(name=function.name, description=function.description.say(language), parameters=schema)


def _without_checks(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema's kinds, bounds and choices. What an engine's grammar can not hold is left out: every call is checked
    against the whole model when it is parsed."""
    kept = {key: value for key, value in schema.items() if key not in ("title", "pattern", "format", "multipleOf")}
    for group in kept.keys() & {"properties", "$defs"}:
        kept[group] = {name: _without_checks(inner) for name, inner in kept[group].items()}
    for choices in kept.keys() & {"anyOf", "oneOf", "allOf"}:
        kept[choices] = [_without_checks(inner) for inner in kept[choices]]
    if "items" in kept:
        kept["items"] = _without_checks(kept["items"])
    return kept
