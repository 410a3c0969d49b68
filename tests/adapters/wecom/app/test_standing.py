"""Whether WeCom still knows the app: noticed by itself, told once, and well again by itself."""

from __future__ import annotations

import asyncio

from tests.adapters.wecom.app.conftest import App


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
