"""For `kefu doctor`: whether WeCom knows us, and for which accounts we may speak."""

from __future__ import annotations

from adapters.wecom.client import make_client
from adapters.wecom.failures import is_about_settings, operator_line
from adapters.wecom.kf.accounts import METHOD, PAGE
from adapters.wecom.kf.settings import SECTION, ChannelSettings
from adapters.wecom.kf.timing import Timing
from adapters.wecom.wire import WeComError
from bot.clock import SystemClock
from bot.errors import CredentialsRefused, KefuError

_NAMED = 3


async def check(settings: ChannelSettings) -> str:
    """Whom we speak for, e.g. "ww1234567890abcdef: 在线客服, 售后; hands over to pool".

    :raises CredentialsRefused: the operator has to change something; the text says what.
    :raises KefuError: WeCom can not be asked now, or no account is ours.
    """
    client, _ = make_client(
        url=settings.api_url,
        corp_id=settings.corp_id,
        secret=settings.secret.get_secret_value(),
        section=SECTION,
        clock=SystemClock(),
        timing=Timing(answer=8.0, call=10.0),
    )
    try:
        answer = await client.post(METHOD, {"offset": 0, "limit": PAGE})
    except WeComError as error:
        kind = CredentialsRefused if is_about_settings(error) else KefuError
        raise kind(operator_line(error, SECTION)) from None
    finally:
        await client.close()
    names = _names(answer.get("account_list"))
    if not names:
        raise KefuError(
            "the app may speak for no 客服账号: choose it under 微信客服 → 可调用接口的应用, and give it accounts"
        )
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{settings.corp_id}: {', '.join(names[:_NAMED])}{more}; hands over to {settings.hand_over_to}"


def _names(listed: object) -> list[str]:
    """The names of the accounts that are ours to look after."""
    accounts = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    ours = [one for one in accounts if one.get("manage_privilege", True)]
    return [" ".join(str(one.get("name") or one.get("open_kfid") or "?").split())[:40] for one in ours]
