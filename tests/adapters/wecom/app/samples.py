"""For the contract suite: a WeCom app, where nobody answers, and somebody to write to."""

from bot.messages import ConversationRef

WAYS = {
    "callback": {
        "corp_id": "ww1436e0e65a779aee",
        "agent_id": "1000002",
        "secret": "a-secret-that-nobody-has-0123456789",
        "token": "aTokenThatNobodyHas",
        "aes_key": "anEncodingAESKeyThatNobodyHas00000000000000",
        "api_url": "http://127.0.0.1:9",
    }
}
CONVERSATION = ConversationRef(platform="wecom_app", account="ww1436e0e65a779aee/1000002", channel="zhangsan")
