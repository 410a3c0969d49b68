"""For the contract suite: ways to turn the web chat on, and a session to write to."""

from bot.messages import ConversationRef

WAYS = {
    "alone": {"enabled": True},
    "beside a shop": {"allowed_origins": ["https://shop.example.com"], "title": "云杉商城"},
}
CONVERSATION = ConversationRef(platform="web", account="", channel="a-session-of-one-visitor")
