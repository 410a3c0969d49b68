"""Whether Telegram still knows us: what receiving and sending tell each other."""

from __future__ import annotations

from bot.errors import CredentialsRefused
from bot.ports import Clock
from bot.telemetry import get_logger

log = get_logger(__name__)


class Standing:
    """The bot's credentials and when Telegram last said something sensible. One for receiving and sending together.

    While the token is refused only the receiver asks, twice a minute at most; sends fail at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard_at: float | None = None
        self._trouble = "starting"
        self.refused = False

    @property
    def trouble(self) -> str:
        """Why nothing is received, in an operator's words; "" while all is well."""
        return self._trouble

    def silent_for(self) -> float | None:
        """Seconds since Telegram last answered the receiver; None if it never did."""
        return None if self._heard_at is None else self._clock.monotonic() - self._heard_at

    def heard(self) -> None:
        """The receiver got a good answer."""
        self._heard_at = self._clock.monotonic()
        if self._trouble:
            log.info("telegram.up", after=self._trouble)
        self._trouble = ""
        self.refused = False

    def failed(self, trouble: str) -> None:
        """The receiver gets no good answer. One line a kind of trouble, not one an attempt."""
        if trouble != self._trouble:
            log.warning("telegram.down", reason=trouble)
        self._trouble = trouble

    def refuse(self) -> None:
        """Telegram does not accept the token (401)."""
        self.refused = True
        self.failed("Telegram refuses the token: telegram.token was revoked or replaced")

    def require(self) -> None:
        """:raises CredentialsRefused: there is no point in trying."""
        if self.refused:
            raise CredentialsRefused("Telegram refuses the token")
