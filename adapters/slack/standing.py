"""Whether Slack still knows us: the one token of a bot that lives in one workspace."""

from __future__ import annotations

from adapters.slack.failures import is_dead_token
from adapters.slack.timing import Timing
from adapters.slack.wire import Refused, SlackError, Transport
from bot.errors import CredentialsRefused
from bot.ports import Clock
from bot.telemetry import get_logger

log = get_logger(__name__)


class FixedToken:
    """As `adapters.slack.wire.Tokens`, for a token from the settings.

    While it is refused, calls fail at once; the first one after a pause asks `auth.test`, and opens again where that
    succeeds: a token can be revived on Slack's side.
    """

    def __init__(self, token: str, *, transport: Transport, clock: Clock, timing: Timing) -> None:
        self._token = token
        self._transport = transport
        self._clock = clock
        self._pause = timing.refused_pause
        self._ask_at = 0.0
        self._asking = False
        self.refused = ""
        """Slack's code, while it does not accept the token; "" while all is well."""

    def __repr__(self) -> str:
        return f"FixedToken(refused={self.refused!r})"

    @property
    def trouble(self) -> str:
        """Why nothing can be sent, in an operator's words; "" while all is well."""
        return f"Slack refuses the token: slack.bot_token ({self.refused})" if self.refused else ""

    async def token(self, account: str) -> str:
        if self.refused and not await self._works_again():
            raise CredentialsRefused(self.trouble)
        return self._token

    def revoked(self, account: str, reason: str) -> None:
        if not self.refused:
            log.error("slack.token_refused", reason=reason)
        self.refused = reason
        self._ask_at = self._clock.monotonic() + self._pause

    async def _works_again(self) -> bool:
        """Asks, where nobody is asking and the pause is over."""
        if self._asking or self._clock.monotonic() < self._ask_at:
            return False
        self._asking = True
        self._ask_at = self._clock.monotonic() + self._pause
        try:
            await self._transport.call(self._token, "auth.test", {})
        except Refused as refused:
            if is_dead_token(refused):
                self.refused = refused.error
            return False
        except SlackError:
            return False
        finally:
            self._asking = False
        log.info("slack.token_accepted", after=self.refused)
        self.refused = ""
        return True
