"""The web channel: a small HTTP API that streams answers, and the chat page that is its first client."""
