"""What WeCom's refusals mean: by errcode, never by errmsg, which WeCom says may change."""

from __future__ import annotations

from adapters.wecom.timing import Timing
from adapters.wecom.wire import UNTRUSTED_ADDRESS, NotReached, Refused, WeComError
from bot.errors import CredentialsRefused, DestinationGone, NotSent, PerhapsSent, SendError, Undeliverable

BUSY = -1
TOO_OFTEN = 45009
TOO_MANY_AT_ONCE = 45033
DEAD_TOKEN = frozenset({40014, 42001})
"""The access token has expired or was taken back: a new one is to be had."""
_TOKEN_MISSING = frozenset({41001})

# The operator has to change a setting or a page; until then no other message fares better.
_SECRET = frozenset({40001, 40091, 41004, 853000})
_CORP = frozenset({40013, 41002})
_AGENT = frozenset({40056, 41011, 301002})
_FORBIDDEN = frozenset({48002, 48003, 48004, 48005, 48006, 50003, 60011, 95017})
_ROBOT = frozenset({93000, 93004})

_NOBODY_THERE = frozenset(
    {
        40003,  # no such user id
        40031,
        40050,  # no such group
        46004,
        50002,  # not among those who may see the app
        60111,
        81013,  # none of the receivers exists, or may be written to
        82001,
        86001,
        86003,
        93001,  # the group does not take messages of robots
        93006,
        93008,  # the robot was put out of the group
    }
)
_BUSY_PAUSE = 2.0


def is_dead_token(error: WeComError) -> bool:
    return isinstance(error, Refused) and error.errcode in DEAD_TOKEN


def is_busy(error: WeComError) -> bool:
    """Worth asking again at once."""
    return isinstance(error, Refused) and error.errcode == BUSY


def is_about_settings(error: WeComError) -> bool:
    """Somebody has to change something; `operator_line` says what."""
    if not isinstance(error, Refused):
        return False
    return error.errcode in _SECRET | _CORP | _AGENT | _FORBIDDEN | _ROBOT | {UNTRUSTED_ADDRESS}


def is_about_one_method(error: WeComError) -> bool:
    """Of `is_about_settings`: other methods may be allowed all the same."""
    return isinstance(error, Refused) and error.errcode in _FORBIDDEN | _AGENT


def as_send_error(error: WeComError, timing: Timing | None = None, *, section: str = "wecom") -> SendError:
    """The core's word for it.

    :param section: as in `operator_line`.
    """
    if isinstance(error, NotReached):
        return NotSent(f"WeCom can not be reached ({error})")
    if not isinstance(error, Refused):
        return PerhapsSent(f"WeCom did not answer ({error})")
    words = f"WeCom says no ({error})"
    if error.errcode == TOO_OFTEN:
        return NotSent(f"WeCom asks for patience ({error})", retry_after=(timing or Timing()).frequency_pause)
    if error.errcode in (BUSY, TOO_MANY_AT_ONCE):
        return NotSent(f"WeCom asks for patience ({error})", retry_after=_BUSY_PAUSE)
    if error.errcode in DEAD_TOKEN | _TOKEN_MISSING:
        return NotSent(words, retry_after=_BUSY_PAUSE)
    if is_about_settings(error):
        return CredentialsRefused(operator_line(error, section))
    if error.errcode in _NOBODY_THERE:
        return DestinationGone(words)
    if error.errcode or error.status == 413:
        return Undeliverable(words)
    # Something between us and WeCom: a proxy that wants to know who we are, a captive portal.
    return NotSent(words)


def operator_line(error: WeComError, section: str = "wecom") -> str:
    """What is wrong and what to do about it, for the log, the health page and the doctor. It holds no secret.

    :param section: of kefu.toml, whose keys are named.
    """
    if isinstance(error, NotReached):
        return f"WeCom can not be reached ({error})"
    if not isinstance(error, Refused):
        return f"WeCom gives no useful answer ({error})"
    code = error.errcode
    if code in _SECRET:
        return f"WeCom refuses {section}.secret ({code}): copy it again from the app's page (docs/wecom.md)"
    if code in _CORP:
        return f"WeCom does not know {section}.corp_id ({code}): it stands under 我的企业 → 企业信息 (docs/wecom.md)"
    if code in _AGENT:
        return f"WeCom refuses {section}.agent_id ({code}): id and secret have to be of one app (docs/wecom.md)"
    if code == UNTRUSTED_ADDRESS:
        return f"add {error.address or 'the address of this machine'} to 企业可信IP of the app (60020, docs/wecom.md)"
    if code in _FORBIDDEN:
        return f"the app may not call {error.method} ({code}): allow it on the app's page (docs/wecom.md)"
    if code in _ROBOT:
        return f"the group robot was removed or stopped ({code}): make a new one, and set its {section}.url"
    if code == TOO_OFTEN:
        return f"WeCom is called too often ({error})"
    return f"WeCom says no ({error})"
