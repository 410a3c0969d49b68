"""Whether Telegram still knows us: what receiving and sending tell each other."""

from __future__ import annotations

from typing import Literal, TypeAlias

from bot.errors import CredentialsRefused
from bot.ports import Clock
from bot.telemetry import get_logger

Trouble: TypeAlias = Literal["starting", "unreachable", "token", "rival", "defect"]
"""Nothing heard yet; the network or Telegram fails; the token is refused; somebody else receives; we fail ourselves."""

log = get_logger(__name__)


class Standing:
    """The bot's credentials and when Telegram last said something sensible. One for receiving and sending together.

    While the token is refused only the receiver asks, twice a minute at most; sends fail at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard_at: float | None = None
        self._kind: Trouble | None = "starting"
        self.trouble = "starting"
        """Why nothing is received, in an operator's words; "" while all is well."""
        self.refused = False

    def silent_for(self) -> float | None:
        """Seconds since Telegram last answered the receiver; None if it never did."""
        return None if self._heard_at is None else self._clock.monotonic() - self._heard_at

    def heard(self) -> None:
        """The receiver got a good answer."""
        self._heard_at = self._clock.monotonic()
        if self._kind is not None:
            log.info("telegram.up", after=self.trouble)
        self._kind, self.trouble, self.refused = None, "", False

    def failed(self, kind: Trouble, words: str) -> None:
        """The receiver gets no good answer. One line a kind of trouble: an outage has many faces and lasts long."""
        if kind != self._kind:
            log.warning("telegram.down", reason=words)
        self._kind, self.trouble = kind, words

    def refuse(self) -> None:
        """Telegram does not accept the token (401)."""
        self.refused = True
        self.failed("token", "Telegram refuses the token: telegram.token was revoked or replaced")

    def require(self) -> None:
        """:raises CredentialsRefused: there is no point in trying."""
        if self.refused:
            raise CredentialsRefused("Telegram refuses the token")
