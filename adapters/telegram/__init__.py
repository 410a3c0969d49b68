"""Telegram: customers write to a bot in private chats, groups and forum topics."""
