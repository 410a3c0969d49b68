"""For the contract suite: ways to turn the AI bot on, where nobody answers, and somebody to write to."""

from bot.messages import ConversationRef

WAYS = {
    "websocket": {
        "bot_id": "aibNobodysBot",
        "secret": "a-secret-that-nobody-has",
        "ws_url": "ws://127.0.0.1:9",
    },
    "callback": {
        "transport": "callback",
        "bot_id": "aibNobodysBot",
        "token": "aTokenThatNobodyHas",
        "aes_key": "anEncodingAESKeyThatNobodyHas00000000000000",
        "api_url": "http://127.0.0.1:9",
    },
}
CONVERSATION = ConversationRef(platform="wecom_bot", account="aibNobodysBot", channel="wrGROUP", thread="zhangsan")
