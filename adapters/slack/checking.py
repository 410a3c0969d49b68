"""For `kefu doctor`: whether Slack knows our credentials and lets us do what we need.

Which events the app is subscribed to only its manifest says, and Slack shows that to nobody but its owners. What can be
known is whether the scopes are there without which the events would not come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from adapters.slack.app_client import AppClient
from adapters.slack.failures import DEAD_TOKEN
from adapters.slack.scopes import BOT_SCOPES, NEEDED
from adapters.slack.settings import ChannelSettings
from bot.errors import CredentialsRefused, KefuError

_LIMIT = 4
"""Seconds for one call; the doctor waits ten for all of them."""


async def check(settings: ChannelSettings, *, public_url: str = "") -> str:
    """Who we are there, e.g. "kefu in Acme, socket".

    :raises CredentialsRefused: Slack does not know a token, or a secret.
    :raises KefuError: it can not be asked now, or the app may not do enough; the text says what.
    """
    client = AppClient(settings.api_url, limit=_LIMIT)
    said = await _many(client, settings) if settings.many else await _one(client, settings)
    if settings.transport == "socket":
        await _ask(client, "apps.connections.open", "slack.app_token", token=settings.app_token.get_secret_value())
    return f"{said}, {settings.transport}"


async def _one(client: AppClient, settings: ChannelSettings) -> str:
    answer, scopes = await _ask(client, "auth.test", "slack.bot_token", token=settings.bot_token.get_secret_value())
    who = f"{answer.get('user') or 'the bot'} in {answer.get('team') or 'its workspace'}"
    if scopes is None:
        return who
    if missing := sorted(NEEDED - scopes):
        raise KefuError(f"the app lacks the scopes {', '.join(missing)}: add them and install it again (docs/slack.md)")
    without = [scope for scope in BOT_SCOPES if scope not in scopes]
    return f"{who} (without {', '.join(without)})" if without else who


async def _many(client: AppClient, settings: ChannelSettings) -> str:
    """A code that was never given is refused as a code only when id and secret are right."""
    secret = settings.client_secret.get_secret_value()
    try:
        await client.oauth_v2_access(client_id=settings.client_id, client_secret=secret, code="kefu-doctor")
    except SlackApiError as refused:
        code = _code(refused)
        if code in ("invalid_client_id", "bad_client_secret"):
            raise CredentialsRefused(f"Slack refuses slack.client_id and slack.client_secret: {code}") from None
        if code != "invalid_code":
            raise KefuError(f"Slack answers with an error: {code}") from None
    except (SlackClientError, aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError) as failure:
        raise KefuError(f"Slack can not be reached: {type(failure).__name__}") from None
    allowed = ", ".join(settings.workspaces) or "any that finds /slack/install (slack.workspaces is empty)"
    return f"workspaces: {allowed}"


async def _ask(
    client: AppClient, method: str, name: str, *, token: str
) -> tuple[Mapping[str, Any], frozenset[str] | None]:
    """The answer, and the scopes of the token where Slack says them."""
    try:
        answer = await client.api_call(method, headers={"Authorization": f"Bearer {token}"}, json={})
    except SlackApiError as refused:
        code = _code(refused)
        if code in DEAD_TOKEN or code == "not_allowed_token_type":
            raise CredentialsRefused(f"Slack refuses {name}: {code}") from None
        if code == "missing_scope":
            raise KefuError(f"{name} lacks a scope for {method} (docs/slack.md)") from None
        raise KefuError(f"Slack answers {method} with an error: {code}") from None
    except (SlackClientError, aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError) as failure:
        raise KefuError(f"Slack can not be reached: {type(failure).__name__}") from None
    if not isinstance(answer.data, dict):
        raise KefuError(f"Slack gives no useful answer to {method}")
    scopes = next((value for key, value in answer.headers.items() if key.lower() == "x-oauth-scopes"), None)
    return answer.data, frozenset(scope.strip() for scope in scopes.split(",")) if scopes else None


def _code(refused: SlackApiError) -> str:
    """Slack's code, or the status of whatever answered in its place."""
    data = getattr(refused.response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    if isinstance(code, str) and code.replace("_", "").isalnum():
        return code[:80]
    return f"HTTP {getattr(refused.response, 'status_code', None) or getattr(refused.response, 'status', '?')}"
