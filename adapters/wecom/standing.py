"""Whether WeCom still knows us: what every call tells, for the calls that come after it and for operators."""

from __future__ import annotations

import math

from adapters.wecom.failures import is_about_one_method, is_about_settings, operator_line
from adapters.wecom.timing import Timing
from adapters.wecom.wire import Refused, WeComError
from bot.ports import ChannelHealth, Clock
from bot.telemetry import get_logger

_EVERYTHING = ""

log = get_logger(__name__)


class Standing:
    """What WeCom refuses us, remembered.

    Where only an operator can help (a wrong secret, an address that is not trusted), calls fail at once for a while,
    then one is let through: it works again by itself when the operator has mended it, and there is no storm till then.
    """

    def __init__(self, section: str, *, clock: Clock, timing: Timing) -> None:
        """:param section: of kefu.toml, for operators."""
        self._section = section
        self._clock = clock
        self._pause = timing.refused_pause
        self._refusals: dict[str, tuple[Refused, float]] = {}
        self._unreachable = ""
        self._heard_at = -math.inf

    @property
    def trouble(self) -> str:
        """What is wrong, in an operator's words; "" while all is well."""
        for refused, _ in self._refusals.values():
            return operator_line(refused, self._section)
        return self._unreachable

    def health(self) -> ChannelHealth:
        return ChannelHealth(up=not self.trouble, detail=self.trouble)

    def require(self, method: str) -> float:
        """The time, by which `failed` knows when the call began.

        :raises Refused: as the last time; there is no point in asking yet.
        """
        now = self._clock.monotonic()
        for about in (_EVERYTHING, method):
            if (found := self._refusals.get(about)) is None:
                continue
            refused, ask_at = found
            if now < ask_at:
                raise refused.with_traceback(None)
            # This caller may try; the others wait for what it learns.
            self._refusals[about] = (refused, now + self._pause)
        return now

    def heard(self, method: str) -> None:
        """WeCom has done what it was asked."""
        before = self.trouble
        self._heard_at = self._clock.monotonic()
        self._unreachable = ""
        self._refusals.pop(_EVERYTHING, None)
        self._refusals.pop(method, None)
        if before and not self.trouble:
            log.info("wecom.up", channel=self._section, after=before)

    def failed(self, error: WeComError, *, begun: float = math.inf) -> None:
        """A call has failed. One line a kind of trouble: an outage has many faces and lasts long.

        :param begun: what `require` returned: of an outage that has ended since, calls that hung in it tell nothing.
        """
        if not isinstance(error, Refused) and begun < self._heard_at:
            return
        before = self.trouble
        if is_about_settings(error):
            assert isinstance(error, Refused)
            about = error.method if is_about_one_method(error) else _EVERYTHING
            self._refusals[about] = (error, self._clock.monotonic() + self._pause)
            self._unreachable = ""
        elif isinstance(error, Refused) and error.errcode:
            self._unreachable = ""  # it was heard, and what it refused is this one call
        else:
            self._unreachable = self._unreachable or operator_line(error, self._section)
        if self.trouble and self.trouble != before:
            write = log.error if self._refusals else log.warning
            write("wecom.down", channel=self._section, reason=self.trouble)
        elif before and not self.trouble:
            log.info("wecom.up", channel=self._section, after=before)
