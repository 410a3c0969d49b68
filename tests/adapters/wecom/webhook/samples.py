"""For the contract suite: a group's robot, where nobody answers, and its one place."""

from bot.messages import ConversationRef

WAYS = {"webhook": {"url": "http://127.0.0.1:9/cgi-bin/webhook/send?key=a-key-that-nobody-has"}}
CONVERSATION = ConversationRef(platform="wecom_webhook", account="", channel="")
