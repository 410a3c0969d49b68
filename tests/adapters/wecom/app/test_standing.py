"""Whether WeCom still knows the app: noticed by itself, told once, and well again by itself."""

from __future__ import annotations

import asyncio
import logging

import pytest

from adapters.wecom.wire import WeComError
from tests.adapters.wecom.app.conftest import App
from tests.fakes.logs import plain_logs
from tests.fakes.wecom_api import Fault


async def test_a_changed_secret_is_noticed_and_the_right_one_too(app: App) -> None:
    channel = app.build()
    async with app.running(channel):
        await app.wecom.until(lambda: app.wecom.calls("agent/get", applied=True) and channel.health().up)
        app.wecom.tokens.ends("app")
        await app.wecom.until(lambda: not channel.health().up)
        assert "wecom_app.secret" in channel.health().detail
        asked = app.wecom.tokens.count("app")
        await asyncio.sleep(0.7)
        assert app.wecom.tokens.count("app") - asked <= 3
        app.wecom.tokens.works_again("app")
        await app.wecom.until(lambda: channel.health().up)


async def test_an_address_that_is_not_trusted_is_named(app: App) -> None:
    app.wecom.server.trusted = False
    channel = app.build()
    async with app.running(channel):
        await app.wecom.until(lambda: not channel.health().up)
        assert "203.0.113.9" in channel.health().detail
        app.wecom.server.trusted = True
        await app.wecom.until(lambda: channel.health().up)


async def test_what_goes_on_though_wecom_is_away(app: App) -> None:
    channel = app.build(api_url="http://127.0.0.1:9")
    async with app.running(channel):
        await app.wecom.until(lambda: not channel.health().up)
        delivery = app.wecom.colleagues.says("lisi", "在吗")
        await app.wecom.until(lambda: delivery.fate)
    assert app.memory.texts == ["在吗"]


async def test_a_wecom_that_takes_calls_and_never_answers_is_noticed(app: App) -> None:
    channel = app.build()
    async with app.running(channel):
        await app.wecom.until(lambda: app.wecom.calls("agent/get", applied=True) and channel.health().up)
        app.wecom.faults.add(Fault(kind="hang"))
        await app.wecom.until(lambda: not channel.health().up)
        assert "no answer in time" in channel.health().detail
        app.wecom.faults.clear()
        await app.wecom.until(lambda: channel.health().up)


async def test_an_outage_is_one_line_down_and_one_up_and_no_secret_in_either(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    channel = app.build()
    with plain_logs(logging.DEBUG):
        async with app.running(channel):
            await app.wecom.until(lambda: app.wecom.calls("agent/get", applied=True) and channel.health().up)
            for kind in ("html", "truncated", "reset"):
                app.wecom.faults.add(Fault(kind=kind, times=2))
            await app.wecom.until(lambda: not channel.health().up)
            app.wecom.colleagues.says("lisi", "我的银行卡是 6222")
            app.wecom.colleagues.does("lisi", "click", "年假有几天")
            await app.wecom.until(lambda: channel.health().up)
        app.wecom.tokens.ends("app")
        with pytest.raises(WeComError):
            await channel._client.post("message/send", {"text": "我的银行卡是 6222"})
    said = capsys.readouterr().out
    assert said.count("wecom.down") - said.count("wecom_app.secret") == said.count("wecom.up") == 1
    hidden = (app.wecom.app_secret, app.wecom.app.token, app.wecom.app.aes_key, "access_token", "6222", "年假")
    assert [words for words in hidden if words in said] == []
