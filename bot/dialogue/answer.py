"""Reading a generation while it grows, and what of it is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

from bot.dialogue.text import can_be_shown_unchecked, clean, cut
from bot.errors import BadOutput
from bot.messages import Answered, Delta, EngineOutput, FunctionCall
from bot.ports import SnapshotSink


async def read_generation(
    stream: AsyncIterator[EngineOutput], show: SnapshotSink, *, max_chars: int, sure: Callable[[str], bool]
) -> Answered | FunctionCall:
    """Shows each snapshot as it comes and returns how the generation ended. The stream is closed in every case.

    Only what can become part of the answer is shown: nothing before the house is `sure` of as much as there is, nothing
    past `max_chars`, nothing that takes words back. From the first link or tag on nothing grows any more: whether the
    passages have it is known only of the whole answer, and a channel fetches a link the moment it is shown.

    :param sure: whether an answer that ended here would be sent. Asked until it says yes.
    :raises EngineError: from the engine; BadOutput also when the stream ends without an end.
    """
    shown, growing, cleared = "", True, False
    async with AsyncExitStack() as stack:
        # A stopped turn must free what the generation holds at once, not when the iterator is collected.
        close = getattr(stream, "aclose", None)
        if close is not None:
            stack.push_async_callback(close)
        async for output in stream:
            if not isinstance(output, Delta):
                return output
            text = clean(output.text)
            growing = growing and can_be_shown_unchecked(text)
            if growing and len(shown) < len(text) <= max_chars and text.startswith(shown):
                cleared = cleared or sure(text)
                if not cleared:
                    continue
                shown = text
                show(text)
    raise BadOutput("the engine's output ended without an answer")


def fit(text: str, max_chars: int) -> str:
    """The answer as it is sent: clean, and within its length at a sentence's end."""
    return cut(clean(text), max_chars)
