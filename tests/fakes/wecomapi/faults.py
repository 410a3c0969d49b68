"""What goes wrong between the bot and qyapi, on order."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fakes.faults import Planned, Program
from tests.fakes.wecomapi.errors import Refused

__all__ = ["Fault", "Faults"]


@dataclass(slots=True, kw_only=True)
class Fault(Planned):
    """`Planned`, and the kind "error": `{"errcode": errcode, …}`. The token is not looked at then.

    `method` is the path behind /cgi-bin/ ("message/send", "kf/*"); "*" is all of them, gettoken too.
    """

    errcode: int = -1
    secret: str = ""
    """Only calls with a token of this secret's name: "app" or "kf"."""

    def meant(self, call: object) -> bool:
        return Planned.meant(self, call) and self.secret in {"", getattr(call, "secret", "")}

    def refusal(self) -> Refused:
        """The answer of the kind "error"."""
        return Refused(self.errcode)


class Faults(Program[Fault]):
    """What is ordered of them."""
