"""The `[slack]` section of `kefu.toml`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import pydantic

SECTION = "slack"
EVENTS_PATH = "/slack/events"
INSTALL_PATH = "/slack/install"
REDIRECT_PATH = "/slack/oauth_redirect"

_BOT_TOKEN = re.compile(r"xox[be][.-][A-Za-z0-9.-]{4,}")
_APP_TOKEN = re.compile(r"xapp-[A-Za-z0-9-]{4,}")
_SECRET = re.compile(r"[!-~]{8,128}")
_CLIENT_ID = re.compile(r"[0-9]{1,30}\.[0-9]{1,30}")
_TOKEN_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")

_NOTHING = pydantic.SecretStr("")


def _bot_token(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not _BOT_TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError("is no bot token: it begins with xoxb- (your app's page, OAuth & Permissions)")
    return value


def _app_token(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not _APP_TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError("is no app-level token: it begins with xapp- (your app's page, Basic Information)")
    return value


def _secret(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not _SECRET.fullmatch(value.get_secret_value()):
        raise ValueError("is no secret of Slack's: 8 or more letters and digits (your app's page, Basic Information)")
    return value


def _client_id(value: str) -> str:
    if value and not _CLIENT_ID.fullmatch(value):
        raise ValueError("is no client id: it is two numbers with a dot between (your app's page, Basic Information)")
    return value


def _token_key(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if not all(_TOKEN_KEY.fullmatch(key) for key in keys_of(value)):
        raise ValueError("is no key: 32 bytes in URL-safe base64, 44 characters (several with commas between)")
    return value


def _api_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be the address of Slack's Web API, such as https://slack.com/api/")
    return value.rstrip("/") + "/"


def keys_of(value: pydantic.SecretStr) -> tuple[str, ...]:
    """The keys in `token_key`: the first one encrypts, each of them decrypts, so that a key can be replaced."""
    return tuple(key.strip() for key in value.get_secret_value().split(",") if key.strip())


class ChannelSettings(pydantic.BaseModel):
    """What an operator can set of the Slack channel."""

    # The input of a refused value may be a secret.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bot_token: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_bot_token)] = _NOTHING
    """One workspace: the bot's token, xoxb-…. The channel is on when it or `client_id` is set."""
    app_token: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_app_token)] = _NOTHING
    """For Socket Mode: the app-level token, xapp-…, with the scope connections:write."""
    signing_secret: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_secret)] = _NOTHING
    """For HTTP: what Slack signs its calls with."""
    api_url: Annotated[str, pydantic.AfterValidator(_api_url)] = "https://slack.com/api/"
    """Another address for Slack's Web API (a proxy of one's own)."""
    transport: Literal["socket", "http"] = "http"
    """"socket" needs `app_token` and no public address, "http" needs `signing_secret`. Without a word it is "socket"
    where `app_token` is set, else "http"."""
    client_id: Annotated[str, pydantic.AfterValidator(_client_id)] = ""
    """Several workspaces: the app's client id; people install the app at /slack/install."""
    client_secret: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_secret)] = _NOTHING
    """Several workspaces: the app's client secret."""
    token_key: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_token_key)] = _NOTHING
    """Several workspaces: the key their tokens are encrypted with in the database; best kept in the environment."""
    workspaces: tuple[str, ...] = ()
    """Several workspaces: the ids of those (T…), or of organisations (E…), that may install the app. Empty lets any
    that finds /slack/install; whoever has the bot may ask it."""
    sockets: int = pydantic.Field(default=2, ge=1, le=10)
    """How many connections Socket Mode holds: while one is renewed, the others hear."""
    collections: tuple[str, ...] = pydantic.Field(default=("default",), min_length=1)
    """What employees may be told from."""
    guests: bool = False
    """Whether guests of the workspace are answered too. People of other companies never are."""
    shared_channels: bool = False
    """Whether our own people are answered in channels that are shared with other companies, who then read along."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _choose_transport(cls, data: Any) -> Any:
        if isinstance(data, dict) and "transport" not in data and data.get("app_token"):
            return {**data, "transport": "socket"}
        return data

    @property
    def on(self) -> bool:
        return bool(self.bot_token.get_secret_value() or self.client_id)

    @property
    def many(self) -> bool:
        """Several workspaces, each with an installation of its own."""
        return bool(self.client_id)

    @property
    def keys(self) -> tuple[str, ...]:
        return keys_of(self.token_key)

    @pydantic.model_validator(mode="after")
    def _whole(self) -> Self:
        is_set = {
            name: bool(value.get_secret_value() if isinstance(value, pydantic.SecretStr) else value)
            for name in ("bot_token", "app_token", "signing_secret", "client_id", "client_secret", "token_key")
            for value in (getattr(self, name),)
        }
        if is_set["bot_token"] and is_set["client_id"]:
            raise ValueError("slack.bot_token is for one workspace and slack.client_id for several: set one of them")
        if not self.on:
            if asked := [name for name, there in is_set.items() if there]:
                raise ValueError(f"slack.bot_token (or slack.client_id) is missing, but slack.{asked[0]} is set")
            return self
        if self.many:
            _ask(is_set, ("client_secret", "token_key"), "slack.client_id")
        else:
            for name in ("client_secret", "token_key"):
                if is_set[name]:
                    raise ValueError(f"slack.client_id is missing, but slack.{name} is set")
        needed = "app_token" if self.transport == "socket" else "signing_secret"
        _ask(is_set, (needed,), f'slack.transport = "{self.transport}"')
        return self


def _ask(is_set: dict[str, bool], names: tuple[str, ...], by: str) -> None:
    for name in names:
        if not is_set[name]:
            raise ValueError(f"slack.{name} is missing: {by} needs it")
