"""For `kefu doctor`: whether the model server can be reached, takes the key, and generates with the model."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.engine.openai_server import ModelServer, OfferedModel, found
from bot.engine.openai_standing import ServerTrouble
from bot.errors import KefuError
from bot.ports import Clock
from bot.sections import ModelSettings

NAMED = 5
"""As many of the server's models are named."""
_STRANGE = re.compile(r"[^\w./:@+-]")


async def check(settings: ModelSettings, clock: Clock) -> str:
    """What answers, e.g. "openai, http://127.0.0.1:8000/v1 generates with Qwen/Qwen2.5-7B-Instruct". Costs one token.

    :raises KefuError: it does not work; the text says why.
    """
    server = ModelServer(settings.base_url, settings.api_key.get_secret_value(), clock=clock)
    await server.open()
    try:
        models = await server.models()
        try:
            await server.say_one_word(settings.name)
        except ServerTrouble:
            # Some routers take more names than they list, so only a refusal counts.
            if models and found(models, settings.name) is None:
                raise KefuError(
                    f"{settings.base_url} does not offer {settings.name}: set model.name to one of {_names(models)}"
                ) from None
            raise
    finally:
        await server.close()
    return f"openai, {settings.base_url} generates with {settings.name}"


def _names(models: Sequence[OfferedModel]) -> str:
    """The server's names, as far as a terminal can show them."""
    names = [_STRANGE.sub("?", model.id[:80]) for model in models[:NAMED]]
    return ", ".join(names + (["…"] if len(models) > NAMED else []))
