"""Slack: direct messages, mentions and threads, over Socket Mode or HTTP."""
