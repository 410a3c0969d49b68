"""For the contract suite: ways to turn Telegram on, where nobody answers, and somebody to write to."""

from bot.messages import ConversationRef

_ACCOUNT = {"token": "123456789:AAF-a-token-that-nobody-has", "api_url": "http://127.0.0.1:9"}

WAYS = {
    "polling": _ACCOUNT,
    "webhook": {
        **_ACCOUNT,
        "transport": "webhook",
        "webhook_url": "https://bot.example.com/telegram/webhook",
        "webhook_secret": "a-secret-that-nobody-has",
    },
}
CONVERSATION = ConversationRef(platform="telegram", account="123456789", channel="42")
