"""For the contract suite: how the web chat is turned on, and somebody to write to."""

from bot.messages import ConversationRef

WAYS = {"default": {"enabled": True}}
CONVERSATION = ConversationRef(platform="web", account="", channel="a-session-of-somebody")
