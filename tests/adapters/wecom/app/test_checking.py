"""What `kefu doctor` says of a WeCom app."""

from __future__ import annotations

import pytest
from aiohttp import web

from adapters.wecom.app.checking import check
from bot.errors import CredentialsRefused, KefuError
from tests.adapters.wecom.app.conftest import App
from tests.adapters.wecom.doubles import serving


async def test_an_app_that_is_well_is_named(app: App) -> None:
    assert await check(app.settings()) == "客服 (1000002); its callback was not tried: http.public_url is not set"


async def test_the_callback_is_called_as_wecom_calls_it(app: App) -> None:
    async with app.running(app.build()):
        public = app.wecom.app.url.removesuffix("/wecom/app/callback")
        said = await check(app.settings(), public_url=f"{public}/")
        assert said == f"客服 (1000002); its callback {app.wecom.app.url} answers"
        with pytest.raises(KefuError, match=r"another wecom_app\.token or aes_key"):
            await check(app.settings(token="another"), public_url=public)
        with pytest.raises(KefuError, match="answered by something else"):
            await check(app.settings(), public_url=f"{public}/elsewhere")
    assert "is kefu running?" in await check(app.settings(), public_url="http://127.0.0.1:9")


async def test_a_page_that_answers_everything_is_not_taken_for_kefu(app: App) -> None:
    async def greet(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with serving([web.get("/wecom/app/callback", greet)]) as server:
        with pytest.raises(KefuError, match="answered by something else"):
            await check(app.settings(), public_url=str(server.make_url("")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"secret": "another-secret-another-secret"}, r"wecom_app\.secret"),
        ({"corp_id": "ww-another"}, r"wecom_app\.corp_id"),
        ({"agent_id": 9}, r"wecom_app\.agent_id"),
    ],
)
async def test_what_is_wrong_is_named(app: App, changes: dict[str, object], said: str) -> None:
    with pytest.raises(CredentialsRefused, match=said) as error:
        await check(app.settings(**changes))
    assert "another-secret" not in str(error.value)


async def test_an_address_that_is_not_trusted_is_named(app: App) -> None:
    app.wecom.server.trusted = False
    with pytest.raises(CredentialsRefused, match=r"add 203\.0\.113\.9 to 企业可信IP"):
        await check(app.settings())


async def test_a_wecom_that_is_away_is_no_fault_of_the_settings(app: App) -> None:
    with pytest.raises(KefuError, match="can not be reached") as error:
        await check(app.settings(api_url="http://127.0.0.1:9"))
    assert not isinstance(error.value, CredentialsRefused)
