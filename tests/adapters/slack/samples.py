"""For the contract suite: ways to turn Slack on, where nobody answers, and somebody to write to."""

from bot.messages import ConversationRef

_WORKSPACE = {"bot_token": "xoxb-1-2-a-token-that-nobody-has", "api_url": "http://127.0.0.1:9/api/"}
_SECRET = "a-signing-secret-that-nobody-has"

WAYS = {
    "socket": {**_WORKSPACE, "app_token": "xapp-1-A1-1-a-token-that-nobody-has"},
    "http": {**_WORKSPACE, "signing_secret": _SECRET},
    "workspaces": {
        "api_url": "http://127.0.0.1:9/api/",
        "client_id": "1111111111.2222222222",
        "client_secret": "a-client-secret-that-nobody-has",
        "signing_secret": _SECRET,
        "token_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    },
}
CONVERSATION = ConversationRef(platform="slack", account="", channel="C0KEFU0001", thread="1790000000.000100")
