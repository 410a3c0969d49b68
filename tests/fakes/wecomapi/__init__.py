"""The parts of the fake WeCom; `tests.fakes.wecom_api` puts them together."""
