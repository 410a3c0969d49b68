"""For `kefu doctor`: whether WeCom knows corp id, secret and agent id, trusts our address, and can reach us."""

from __future__ import annotations

from adapters.wecom.app.settings import CALLBACK_PATH, SECTION, ChannelSettings
from adapters.wecom.client import make_client
from adapters.wecom.crypto import Cipher
from adapters.wecom.failures import is_about_settings, operator_line
from adapters.wecom.reachability import callback_finding
from adapters.wecom.timing import Timing
from adapters.wecom.wire import WeComError
from bot.clock import SystemClock
from bot.errors import CredentialsRefused, KefuError

_CLOSED = 1


async def check(settings: ChannelSettings, *, public_url: str = "") -> str:
    """Who we are there, and what is known of the callback.

    :param public_url: `http.public_url`; without it the callback is not tried.
    :raises CredentialsRefused: something has to be changed in kefu.toml or on the app's page; the text says what.
    :raises KefuError: it can not be asked now, or the callback is answered by something else.
    """
    client, _ = make_client(
        url=settings.api_url,
        corp_id=settings.corp_id,
        secret=settings.secret.get_secret_value(),
        section=SECTION,
        clock=SystemClock(),
        timing=Timing(answer=4.0, call=6.0),
    )
    try:
        agent = await client.get("agent/get", agentid=str(settings.agent_id))
    except WeComError as error:
        kind = CredentialsRefused if is_about_settings(error) else KefuError
        raise kind(operator_line(error, SECTION)) from None
    finally:
        await client.close()
    if agent.get("close") == _CLOSED:
        raise KefuError("the app is switched off: start it on its page (启用应用)")
    name = str(agent.get("name") or "the app")[:40]
    finding = await callback_finding(
        public_url,
        CALLBACK_PATH,
        section=SECTION,
        token=settings.token.get_secret_value(),
        cipher=Cipher(settings.aes_key.get_secret_value(), settings.corp_id),
    )
    return f"{name} ({settings.agent_id}); {finding}"
