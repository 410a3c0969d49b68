"""Installing the app into a workspace: two pages that an administrator's browser visits, before Slack's own and after.

The flow is Bolt's. What it leaves open is closed here: an address that is no Slack's answer, a database that can not
keep the installation, and a workspace that may not have one, for whoever has the bot may ask it.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackClientError
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.installation_store.models.installation import Installation
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator

from adapters.slack.app_client import AppClient
from adapters.slack.installations import Installations
from adapters.slack.scopes import BOT_SCOPES
from adapters.slack.settings import INSTALL_PATH, REDIRECT_PATH, ChannelSettings
from adapters.slack.stores import STATE_LIFE, StateRows
from adapters.slack.timing import Timing
from bot.errors import StoreUnavailable
from bot.telemetry import get_logger

_QUERY_LIMIT = 2000
_NO_ANSWER = (SlackClientError, aiohttp.ClientError, OSError)

log = get_logger(__name__)


class OAuthDoor:
    """The two routes."""

    def __init__(
        self,
        *,
        settings: ChannelSettings,
        installations: Installations,
        states: StateRows,
        public_url: str,
        timing: Timing,
    ) -> None:
        self._limit = 3 * timing.answer
        self._flow = _Flow(
            client=AppClient(settings.api_url, limit=timing.answer),
            logger=_silent(),
            allowed=frozenset(settings.workspaces),
            settings=AsyncOAuthSettings(
                client_id=settings.client_id,
                client_secret=settings.client_secret.get_secret_value(),
                scopes=list(BOT_SCOPES),
                user_scopes=[],
                redirect_uri=public_url + REDIRECT_PATH if public_url else None,
                install_path=INSTALL_PATH,
                redirect_uri_path=REDIRECT_PATH,
                authorization_url=authorization_url(settings.api_url),
                installation_store=_Installed(installations),
                state_store=_States(states),
                state_expiration_seconds=STATE_LIFE,
                logger=_silent(),
            ),
        )

    def routes(self) -> list[web.RouteDef]:
        return [web.get(INSTALL_PATH, self._install), web.get(REDIRECT_PATH, self._redirected)]

    async def _install(self, request: web.Request) -> web.Response:
        return await self._answer(request, begins=True)

    async def _redirected(self, request: web.Request) -> web.Response:
        return await self._answer(request, begins=False)

    async def _answer(self, request: web.Request, *, begins: bool) -> web.Response:
        if len(request.query_string) > _QUERY_LIMIT:
            return web.Response(status=HTTPStatus.REQUEST_URI_TOO_LONG)
        asked = AsyncBoltRequest(
            body="",
            query=request.query_string,
            headers={"cookie": request.headers.getall("Cookie", [])},
        )
        try:
            async with asyncio.timeout(self._limit):
                work = self._flow.handle_installation if begins else self._flow.handle_callback
                answer: BoltResponse = await work(asked)
        except (StoreUnavailable, TimeoutError):
            log.warning("slack.installation_unavailable")
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="Please try again in a minute.")
        made: web.Response = await to_aiohttp_response(answer)
        # The address holds a code; neither it nor the page are anybody else's business.
        made.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"})
        return made


class _Flow(AsyncOAuthFlow):
    """Bolt's, with failures that are answers."""

    def __init__(self, *, allowed: frozenset[str], **options: Any) -> None:
        super().__init__(**options)
        self._allowed = allowed

    async def run_installation(self, code: str) -> Installation | None:
        """None: Slack does not confirm it, or it is a workspace that may not have one."""
        try:
            made = await super().run_installation(code)
        except (
            SlackClientError,
            aiohttp.ClientError,
            OSError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            log.warning("slack.installation_failed", reason=type(error).__name__)
            return None
        if made is None or not made.bot_token or not (made.team_id or made.enterprise_id):
            log.warning("slack.installation_failed", reason="Slack does not confirm it")
            return None
        if self._allowed and not self._allowed & {made.team_id, made.enterprise_id}:
            log.error("slack.installation_refused", account=made.team_id or made.enterprise_id)
            await self._give_back(made.bot_token)
            return None
        return made

    async def _give_back(self, token: str) -> None:
        try:
            await self.client.auth_revoke(token=token)
        except _NO_ANSWER as error:
            log.warning("slack.token_not_given_back", reason=type(error).__name__)


class _Installed(AsyncInstallationStore):
    """Where Bolt's flow puts what it has made."""

    def __init__(self, installations: Installations) -> None:
        self._installations = installations

    @property
    def logger(self) -> logging.Logger:
        return _silent()

    async def async_save(self, installation: Installation) -> None:
        await self._installations.installed(installation)


class _States(AsyncOAuthStateStore):
    def __init__(self, states: StateRows) -> None:
        self._states = states

    @property
    def logger(self) -> logging.Logger:
        return _silent()

    async def async_issue(self, *args: Any, **kwargs: Any) -> str:
        return await self._states.issue()

    async def async_consume(self, state: str) -> bool:
        return await self._states.consume(state)


def authorization_url(api_url: str) -> str:
    """Where an administrator agrees: beside the Web API, wherever that is."""
    return api_url.removesuffix("/").removesuffix("/api") + "/oauth/v2/authorize"


def rotator(settings: ChannelSettings, timing: Timing) -> AsyncTokenRotator:
    return AsyncTokenRotator(
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        client=AppClient(settings.api_url, limit=timing.answer),
    )


def _silent() -> logging.Logger:
    """What the libraries would say here holds codes and tokens; we say ourselves what went wrong."""
    logger = logging.getLogger("adapters.slack.oauth.library")
    logger.setLevel(logging.CRITICAL)
    return logger
