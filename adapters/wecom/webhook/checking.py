"""For `kefu doctor`: whether the group's robot is there. Nothing is said in the group."""

from __future__ import annotations

from adapters.wecom.failures import is_about_settings, operator_line
from adapters.wecom.standing import Standing
from adapters.wecom.timing import Timing
from adapters.wecom.webhook.robot import Robot
from adapters.wecom.webhook.settings import SECTION, ChannelSettings
from adapters.wecom.wire import Refused, WeComError
from bot.clock import SystemClock
from bot.errors import CredentialsRefused, KefuError

_NO_SUCH_KIND = "kefu_doctor"
_ABOUT_THE_MESSAGE = range(40004, 45010)


async def check(settings: ChannelSettings) -> str:
    """Who it is.

    A message of a kind that does not exist is refused as a message only where the robot is there.

    :raises CredentialsRefused: there is no such robot any more.
    :raises KefuError: it can not be asked now; the text says why.
    """
    timing = Timing(answer=4.0)
    standing = Standing(SECTION, clock=SystemClock(), timing=timing)
    robot = Robot(settings.url.get_secret_value(), standing=standing, timing=timing)
    try:
        await robot.post({"msgtype": _NO_SUCH_KIND})
    except WeComError as error:
        if is_about_settings(error):
            raise CredentialsRefused(operator_line(error, SECTION)) from None
        if not isinstance(error, Refused) or error.errcode not in _ABOUT_THE_MESSAGE:
            raise KefuError(operator_line(error, SECTION)) from None
    finally:
        await robot.close()
    return "the group's robot is there"
