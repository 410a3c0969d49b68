"""What goes wrong between the bot and WeCom's AI-bot server, on order."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fakes.aibot.errors import BUSY
from tests.fakes.faults import Planned, Program

__all__ = ["Fault", "Faults"]


@dataclass(slots=True, kw_only=True)
class Fault(Planned):
    """As `Planned`, with kinds of its own; `method` is a command ("aibot_respond_msg", "aibot_*", "ping").

    - error: the acknowledgement carries `errcode`
    - no_ack: nothing is answered
    - slow: the true acknowledgement, `seconds` later; twice: the true one, two times
    - garbage: something that is no JSON instead of it
    - close: the connection breaks instead
    - silence: from now on nothing comes through, and the connection stays open
    - kick: another connection of the same bot subscribes at this moment
    """

    errcode: int = BUSY


class Faults(Program[Fault]):
    """What is ordered of them."""
