"""Whether the model server answers: what generations and the probe tell each other."""

from __future__ import annotations

from bot.errors import EngineError, EngineUnavailable
from bot.ports import Clock, EngineHealth
from bot.telemetry import Metrics, get_logger

DEFAULT_REST_SECONDS = 5.0
"""After a 429 that does not say how long to wait."""
LONGEST_REST_SECONDS = 300.0
"""No server's word keeps us away for longer."""

log = get_logger(__name__)


class ServerTrouble(EngineUnavailable):
    """The server can not be used now. The text is for operators: it says what to change and quotes nothing."""

    def __init__(self, words: str, *, rest: float | None = None) -> None:
        super().__init__(words)
        self.rest = rest
        """Seconds the server asked not to be asked again; None where it did not."""


class Standing:
    """The server's last word. While it is a bad one nothing is asked of it: otherwise every customer would wait for it.

    A server that is busy (429) is asked again when its time is over. One that failed is asked again when a probe
    (`heard`) says so.
    """

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._trouble = "has not been reached yet"
        self._resting_until = -float("inf")
        self.failed_generating = False
        """The trouble came from a generation: that a list of models is given out does not end it."""

    @property
    def resting(self) -> bool:
        """The server has asked for patience, and that time is not over."""
        return self._clock.monotonic() < self._resting_until

    def health(self) -> EngineHealth:
        """Its state now."""
        if self.resting:
            return EngineHealth(ready=False, detail="the model server asks for patience")
        return EngineHealth(ready=not self._trouble, detail=self._trouble)

    def require(self) -> None:
        """:raises EngineUnavailable: there is no point in asking."""
        health = self.health()
        if not health.ready:
            raise EngineUnavailable(health.detail)

    def heard(self) -> None:
        """The server gave a good answer."""
        if self._trouble:
            log.info("the model server answers")
            self._metrics.engine_up.set(1)
        self._trouble, self.failed_generating = "", False

    def failed(self, error: EngineError, *, generating: bool) -> None:
        """The server gave no good answer. One line a kind of trouble: an outage has many customers and lasts long."""
        if isinstance(error, ServerTrouble) and error.rest is not None:
            if not self.resting:
                log.warning("the model server asks for patience", seconds=error.rest)
            self._resting_until = self._clock.monotonic() + min(error.rest, LONGEST_REST_SECONDS)
            return
        self._metrics.engine_up.set(0)
        words = str(error)
        if words != self._trouble:
            log.warning("the model server can not be used", reason=words)
        self._trouble = words
        self.failed_generating = self.failed_generating or generating
