"""The `[telegram]` section of `kefu.toml`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import pydantic

SECTION = "telegram"
WEBHOOK_PATH = "/telegram/webhook"

_TOKEN = re.compile(r"[0-9]{1,19}:[A-Za-z0-9_-]{10,}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


def _token(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not _TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError("is no bot token: @BotFather gives one in the form 123456789:AAF…, digits, a colon, letters")
    return value


def _secret(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not _SECRET.fullmatch(value.get_secret_value()):
        raise ValueError("must be 1 to 256 of the characters A-Z a-z 0-9 _ - (Telegram's rule)")
    return value


def _api_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "{" in value:
        raise ValueError("must be the address of a Bot API server, such as https://api.telegram.org")
    return value.rstrip("/")


def _webhook_url(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme != "https" or not parts.hostname or parts.path.rpartition(WEBHOOK_PATH)[1:] == ("", "")):
        raise ValueError(f"must be the full https address, ending in {WEBHOOK_PATH}")
    if value and not value.endswith(WEBHOOK_PATH):
        raise ValueError(f"must end in {WEBHOOK_PATH}, where kefu listens")
    return value


class ChannelSettings(pydantic.BaseModel):
    """What an operator can set of the Telegram channel."""

    # The input of a refused value may be a secret.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_token)] = pydantic.SecretStr("")
    """From @BotFather. The channel is on when it is set."""
    api_url: Annotated[str, pydantic.AfterValidator(_api_url)] = "https://api.telegram.org"
    """Another address for a Bot API server of one's own."""
    transport: Literal["polling", "webhook"] = "polling"
    """"polling" needs no public address; "webhook" needs `webhook_url` and `webhook_secret`."""
    webhook_url: Annotated[str, pydantic.AfterValidator(_webhook_url)] = ""
    """Where Telegram reaches kefu: https, ending in /telegram/webhook."""
    webhook_secret: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_secret)] = pydantic.SecretStr("")
    """Telegram sends it with every call, so that nobody else can."""
    collections: tuple[str, ...] = pydantic.Field(default=("default",), min_length=1)
    """What customers may be told from."""

    @property
    def on(self) -> bool:
        return bool(self.token.get_secret_value())

    @property
    def account(self) -> str:
        """The bot's id: the digits before the token's colon."""
        return self.token.get_secret_value().partition(":")[0]

    @pydantic.model_validator(mode="after")
    def _whole(self) -> Self:
        webhook = {
            "webhook_url": bool(self.webhook_url),
            "webhook_secret": bool(self.webhook_secret.get_secret_value()),
        }
        if not self.on:
            asked = [name for name, is_set in webhook.items() if is_set] or ["transport"] * (
                self.transport == "webhook"
            )
            if asked:
                raise ValueError(f"telegram.token is missing, but telegram.{asked[0]} is set")
        elif self.transport == "webhook":
            missing = [name for name, is_set in webhook.items() if not is_set]
            if missing:
                raise ValueError(f'telegram.{missing[0]} is missing: telegram.transport = "webhook" needs it')
        return self
