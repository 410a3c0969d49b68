"""The parts of the fake AI-bot server; `tests.fakes.wecom_aibot` puts them together."""
