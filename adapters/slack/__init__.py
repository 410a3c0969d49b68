"""Slack, through the Events API or Socket Mode."""
