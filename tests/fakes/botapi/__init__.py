"""The parts of the fake Bot API; `tests.fakes.telegram_api` is its front door."""
