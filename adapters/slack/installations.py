"""The tokens of the workspaces we are installed in: found, renewed before they end, marked when Slack refuses them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError, SlackTokenRotationError
from slack_sdk.oauth.installation_store.models.bot import Bot
from slack_sdk.oauth.installation_store.models.installation import Installation

from adapters.slack.failures import is_dead_token
from adapters.slack.reading import Place
from adapters.slack.stores import InstallationRows
from adapters.slack.timing import Timing
from adapters.slack.wire import NotReached, Refused, SlackError, Transport
from bot.errors import CredentialsRefused, StoreUnavailable
from bot.ports import Clock
from bot.telemetry import get_logger

RENEW_BEFORE = 7200.0
"""Seconds before its end that a token is renewed: they live for twelve hours."""
_FRESH = 300.0
"""Seconds that a token is taken from memory: another replica may have been told of a new one."""

log = get_logger(__name__)


class Rotator(Protocol):
    """slack_sdk's `AsyncTokenRotator`."""

    async def perform_bot_token_rotation(self, *, bot: Bot, minutes_before_expiration: int = 120) -> Bot | None:
        """As there."""


@dataclass(slots=True)
class _Held:
    """What is known of one workspace."""

    bot: Bot | None = None
    read_at: float | None = None
    unsaved: bool = False
    """Renewed, and not written down yet: what stands in the database has had its day."""
    refused: str = ""
    ask_at: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Installations:
    """As `adapters.slack.wire.Tokens`, for several workspaces."""

    def __init__(
        self, *, rows: InstallationRows, rotator: Rotator, transport: Transport, clock: Clock, timing: Timing
    ) -> None:
        self._rows = rows
        self._rotator = rotator
        self._transport = transport
        self._clock = clock
        self._pause = timing.refused_pause
        self._answer = timing.answer
        self._held: dict[str, _Held] = {}
        self._gone: dict[str, str] = {}  # account → Slack's reason, since this process was started

    @property
    def trouble(self) -> str:
        """The workspaces whose tokens are refused and those that we were removed from, for an operator; "" for none."""
        refused = sorted(account for account, held in self._held.items() if held.refused)
        lines = [f"Slack refuses the tokens of {', '.join(refused)}: install the app there again"] if refused else []
        lines += [f"the app was removed from {account} ({self._gone[account]})" for account in sorted(self._gone)]
        return "; ".join(lines)

    async def token(self, account: str) -> str:
        """
        :raises CredentialsRefused: not installed there, or refused; a new installation opens it again at once, and
            what Slack has revived itself is found within a minute.
        :raises NotReached: the database can not be read now.
        """
        held = self._held.setdefault(account, _Held())
        async with held.asking:  # twenty replies at once renew a token once
            try:
                await self._look(account, held)
            except StoreUnavailable as error:
                if held.bot is None:
                    raise NotReached("token: the database can not be read") from error
            if held.bot is None:
                raise CredentialsRefused(f"the app is not installed in {account or 'this workspace'}")
            if held.refused and not await self._works_again(account, held):
                raise CredentialsRefused(f"Slack refuses the token of {account} ({held.refused})")
            return await self._renewed(account, held, held.bot)

    def revoked(self, account: str, reason: str) -> None:
        held = self._held.setdefault(account, _Held())
        if not held.refused:
            log.error("slack.installation_refused", account=account, reason=reason)
        held.refused = reason
        held.read_at = None
        held.ask_at = self._clock.monotonic() + self._pause

    def bot_user(self, account: str) -> str:
        """Our own user id there; "" while it has not been looked up."""
        held = self._held.get(account)
        return (held.bot.bot_user_id or "") if held is not None and held.bot is not None else ""

    async def installed(self, installation: Installation) -> None:
        """:raises StoreUnavailable: nothing was kept."""
        await self._rows.save(installation)
        account = (installation.enterprise_id if installation.is_enterprise_install else installation.team_id) or ""
        self._held.pop(account, None)
        self._gone.pop(account, None)
        log.info("slack.installed", account=account)

    async def uninstalled(self, place: Place, reason: str, at: datetime) -> None:
        """Slack says that our installation, or its token, is gone: it is forgotten, and a later one is kept.

        Slack does not say then whether it was a workspace's or a whole organisation's: the nearer one is it.

        :raises StoreUnavailable: that could not be written down.
        """
        for account in dict.fromkeys((place.account, place.workspace, place.enterprise)):
            if account and await self._rows.remove(account, at):
                self._held.pop(account, None)
                self._gone[account] = reason
                log.error("slack.installation_gone", account=account, reason=reason)
                return

    async def _look(self, account: str, held: _Held) -> None:
        """Reads it where it was not read for a while."""
        now = self._clock.monotonic()
        if held.unsaved and held.bot is not None:
            await self._rows.refresh(held.bot)
            held.unsaved, held.read_at = False, now
        if held.read_at is not None and held.bot is not None and now - held.read_at < _FRESH:
            return
        found = await self._rows.find(account)
        if found is not None and held.bot is not None and found.bot_token != held.bot.bot_token:
            held.refused = ""  # installed again, or renewed, by another process
        held.bot, held.read_at = found, now

    async def _works_again(self, account: str, held: _Held) -> bool:
        """Asks Slack, twice a minute at most."""
        if self._clock.monotonic() < held.ask_at or held.bot is None:
            return False
        held.ask_at = self._clock.monotonic() + self._pause
        try:
            await self._transport.call(held.bot.bot_token, "auth.test", {})
        except Refused as refused:
            if is_dead_token(refused):
                held.refused = refused.error
            return False
        except SlackError:
            return False
        log.info("slack.installation_accepted", account=account, after=held.refused)
        held.refused = ""
        return True

    async def _renewed(self, account: str, held: _Held, bot: Bot) -> str:
        """The token, a new one where it is about to end. What fails is tried again later, while the old one lasts."""
        end = bot.bot_token_expires_at
        now = self._clock.now().timestamp()
        if end is None or now < end - RENEW_BEFORE or self._clock.monotonic() < held.ask_at:
            return bot.bot_token
        held.ask_at = self._clock.monotonic() + self._pause
        try:
            # Another replica may have renewed it: the number that renews it is good once.
            found = await self._rows.find(account)
            if found is not None and found.bot_token != bot.bot_token:
                held.bot, held.ask_at = found, 0.0
                return found.bot_token
            async with asyncio.timeout(self._answer):
                renewed = await self._rotator.perform_bot_token_rotation(bot=bot)
            if renewed is None:
                return bot.bot_token
            held.bot, held.unsaved, held.ask_at = renewed, True, 0.0
            log.info("slack.token_renewed", account=account)
            await self._look(account, held)
        except (SlackTokenRotationError, SlackApiError) as error:
            log.error("slack.token_not_renewed", account=account, reason=_code(error))
        except (SlackClientError, aiohttp.ClientError, OSError, TimeoutError, KeyError, ValueError, TypeError) as error:
            log.warning("slack.token_not_renewed", account=account, reason=type(error).__name__)
        except StoreUnavailable:
            log.warning("slack.token_not_kept", account=account)
        return (held.bot or bot).bot_token


def _code(error: SlackTokenRotationError | SlackApiError) -> str:
    refused = error.api_error if isinstance(error, SlackTokenRotationError) else error
    code = refused.response.get("error") if hasattr(refused.response, "get") else ""
    return code if isinstance(code, str) and code.isidentifier() else "refused"
