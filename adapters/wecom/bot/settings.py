"""The `[wecom_bot]` section of `kefu.toml`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import pydantic

from adapters.wecom.values import API_URL, NOTHING, AesKey, ApiUrl, CallbackToken

SECTION = "wecom_bot"
CALLBACK_PATH = "/wecom/bot/callback"

_BOT_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SECRET = re.compile(r"[!-~]{8,256}")


def _bot_id(value: str) -> str:
    if value and not _BOT_ID.fullmatch(value):
        raise ValueError("is no bot id: letters, digits, - and _ (the bot's page, API 模式)")
    return value


def _secret(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not _SECRET.fullmatch(value.get_secret_value()):
        raise ValueError("is no secret of a bot: 8 or more characters (the bot's page, API 模式 → 长连接)")
    return value


def _ws_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an address such as wss://openws.work.weixin.qq.com")
    return value.rstrip("/")


class ChannelSettings(pydantic.BaseModel):
    """What an operator can set of the AI bot."""

    # The input of a refused value may be a secret.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    transport: Literal["websocket", "callback"] = "websocket"
    """"websocket" needs `secret` and no public address; "callback" needs `token` and `aes_key`, and WeCom has to reach
    /wecom/bot/callback. A bot has the one or the other: its page in WeCom decides."""
    bot_id: Annotated[str, pydantic.AfterValidator(_bot_id)] = ""
    """The bot's id. The channel is on when it is set."""
    secret: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_secret)] = NOTHING
    """For the long connection."""
    ws_url: Annotated[str, pydantic.AfterValidator(_ws_url)] = "wss://openws.work.weixin.qq.com"
    """Another address for the long connection (a proxy of one's own)."""
    token: CallbackToken = NOTHING
    """For callbacks: what they are signed with."""
    aes_key: AesKey = NOTHING
    """For callbacks: the EncodingAESKey that they are encrypted with."""
    api_url: ApiUrl = API_URL
    """Another address for WeCom's API, where answers go that come too late for their callback."""
    name: str = pydantic.Field(default="", max_length=60)
    """The bot's name in groups. Only needed where it has a space in it: it is taken out of what people write."""
    collections: tuple[str, ...] = pydantic.Field(default=("default",), min_length=1)
    """What colleagues may be told from."""

    @property
    def on(self) -> bool:
        return bool(self.bot_id)

    @pydantic.model_validator(mode="after")
    def _whole(self) -> Self:
        is_set = {name: bool(getattr(self, name).get_secret_value()) for name in ("secret", "token", "aes_key")}
        if not self.on:
            if asked := [name for name, there in is_set.items() if there]:
                raise ValueError(f"wecom_bot.bot_id is missing, but wecom_bot.{asked[0]} is set")
            return self
        for name in ("secret",) if self.transport == "websocket" else ("token", "aes_key"):
            if not is_set[name]:
                raise ValueError(f'wecom_bot.{name} is missing: wecom_bot.transport = "{self.transport}" needs it')
        return self
