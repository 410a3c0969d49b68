"""For `kefu doctor`: whether Telegram knows our token."""

from __future__ import annotations

from telegram.error import TelegramError

from adapters.telegram.api import Api
from adapters.telegram.settings import ChannelSettings
from adapters.telegram.timing import Timing
from adapters.telegram.wire import NoAnswer, NotReached, Refused
from bot.errors import CredentialsRefused, KefuError


async def check(settings: ChannelSettings, *, public_url: str = "") -> str:
    """Who we are there, e.g. "@my_shop_bot, polling".

    :raises CredentialsRefused: Telegram does not know the token.
    :raises KefuError: it can not be asked now; the text says why.
    """
    api = Api(settings.token.get_secret_value(), settings.api_url, Timing(answer=10.0))
    try:
        me = await api.me()
    except Refused as refused:
        if refused.code in (401, 404):
            raise CredentialsRefused("Telegram does not know this token; @BotFather shows the valid one") from None
        raise KefuError(f"Telegram answers with an error: {refused.code}") from None
    except (NoAnswer, NotReached) as failure:
        raise KefuError(f"Telegram can not be reached: {failure.message}") from None
    except TelegramError as failure:
        raise KefuError(f"Telegram gives no useful answer: {type(failure).__name__}") from None
    finally:
        await api.close()
    return f"@{me.username}, {settings.transport}"
