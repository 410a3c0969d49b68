"""The parts of the fake Slack; `tests.fakes.slack_api` puts them together."""
