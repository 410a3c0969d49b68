"""For the contract suite: how 微信客服 is turned on, where nobody answers, and somebody to write to."""

from bot.messages import ConversationRef

CORP_ID = "wwkefu00000000009z"

WAYS = {
    "callback": {
        "corp_id": CORP_ID,
        "secret": "a-secret-that-nobody-has",
        "token": "ATokenThatNobodyHas",
        "aes_key": "AnAesKeyThatNobodyHas0000000000000000000000",
        "api_url": "http://127.0.0.1:9",
    },
}
CONVERSATION = ConversationRef(
    platform="wecom_kf", account=CORP_ID, channel="wkKEFU00000000000009", thread="wmCustomer00000000001"
)
