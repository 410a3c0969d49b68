"""GET /chat and its files: complete, small, safe to show, and asked for by allowed origins only."""

from __future__ import annotations

import asyncio
import re

import pydantic
import pytest

from adapters.web.build import build
from adapters.web.channel import WebChannel
from adapters.web.pages import load_files
from adapters.web.settings import SECTION, ChannelSettings
from bot.ports import Surroundings
from tests.adapters.web.doubles import SESSION, CoreDouble, FixedClock, Scene, Site, answer, running_site
from tests.fakes.nothing import NoDatabase, NoTickets, nothing_comes_back

SHOP = "https://shop.example.com"


async def test_the_page_comes_with_a_strict_policy(site: Site) -> None:
    async with site.client.get(site.server.make_url("/chat")) as response:
        page = await response.text()

    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self';" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-cache"
    assert "<!doctype html>" in page.lower()


def test_no_file_reaches_outside_or_builds_html_from_strings() -> None:
    for name, file in load_files().items():
        text = file.plain.decode()
        addresses = set(re.findall(r"https?://[\w.-]+", text)) - {"http://www.w3.org"}
        assert not addresses, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        assert not re.search(r"""\son\w+=["']|style=["']|<style""", text), name


async def test_every_file_the_page_names_is_served_with_its_type(site: Site) -> None:
    names = set(await asyncio.to_thread(load_files))
    assert {"chat.html", "chat.css", "chat.js"} <= names
    for name in names - {"chat.html"}:
        async with site.client.get(site.server.make_url(f"/chat/{name}")) as response:
            assert response.status == 200
            assert response.headers["Content-Type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")


async def test_an_unchanged_file_is_not_sent_again(site: Site) -> None:
    url = site.server.make_url("/chat/chat.css")
    async with site.client.get(url) as response:
        tag = response.headers["ETag"]
    async with site.client.get(url, headers={"If-None-Match": tag}) as again:
        assert again.status == 304
        assert await again.read() == b""


async def test_files_are_compressed_for_those_who_can_read_it(site: Site) -> None:
    url = site.server.make_url("/chat/chat.css")
    async with site.client.get(url, headers={"Accept-Encoding": "gzip"}) as zipped:
        assert zipped.headers["Content-Encoding"] == "gzip"
        text = await zipped.text()
    async with site.client.get(url, headers={"Accept-Encoding": "identity"}) as plain:
        assert "Content-Encoding" not in plain.headers
        assert await plain.text() == text


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fsettings.py", "%2e%2e%2fsettings.py", "chat.html", "chat.py"])
async def test_only_the_pages_own_files_are_served(site: Site, name: str) -> None:
    async with site.client.get(f"{site.server.make_url('/chat')}/{name}") as response:
        assert response.status == 404


async def test_a_trailing_slash_leads_to_the_page(site: Site) -> None:
    async with site.client.get(site.server.make_url("/chat/")) as response:
        assert (response.status, response.url.path) == (200, "/chat")


async def test_the_page_is_told_what_the_operator_set() -> None:
    settings = ChannelSettings(title="云杉商城客服", questions=("怎么退货？",))
    async with (
        running_site(CoreDouble(), settings=settings, max_message_chars=500) as site,
        site.client.get(site.server.make_url("/chat/config.json")) as response,
    ):
        assert await response.json() == {
            "title": "云杉商城客服",
            "questions": ["怎么退货？"],
            "max_message_chars": 500,
        }


PATHS = ["chat", "chat/action", "chat/stop", "chat/events", "chat/history"]


@pytest.mark.parametrize("path", PATHS)
async def test_an_allowed_origin_may_ask_first(path: str) -> None:
    async with running_site(CoreDouble(), settings=ChannelSettings(allowed_origins=(SHOP,))) as site:
        headers = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
        async with site.client.options(site.server.make_url(f"/api/v1/{path}"), headers=headers) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == SHOP
            assert response.headers["Access-Control-Allow-Methods"] == "POST"
            assert response.headers["Access-Control-Allow-Headers"] == "Content-Type"
            assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example.com", "http://shop.example.com", f"{SHOP}:8443", f"{SHOP}.evil.example", "null", f"{SHOP}/"],
)
async def test_no_other_origin_may(origin: str) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with (
        running_site(CoreDouble(), settings=ChannelSettings(allowed_origins=(SHOP,))) as site,
        site.client.options(site.server.make_url("/api/v1/chat"), headers=headers) as response,
    ):
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("status", ["stream", "refusal"])
async def test_an_allowed_origin_can_read_streams_and_refusals(status: str) -> None:
    core = CoreDouble(lambda message: Scene(reply=answer()))
    async with running_site(core, settings=ChannelSettings(allowed_origins=(SHOP,))) as site:
        text = "hi" if status == "stream" else ""
        async with site.post("/api/v1/chat", {"session": SESSION, "text": text}, headers={"Origin": SHOP}) as response:
            assert response.headers["Access-Control-Allow-Origin"] == SHOP
            assert response.headers["Vary"] == "Origin"
            assert response.headers["Cache-Control"] == "no-store"


async def test_allowed_origins_may_frame_the_page() -> None:
    async with (
        running_site(CoreDouble(), settings=ChannelSettings(allowed_origins=(SHOP,))) as site,
        site.client.get(site.server.make_url("/chat")) as response,
    ):
        assert f"frame-ancestors 'self' {SHOP};" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "shop.example.com",
        f"{SHOP}/",
        f"{SHOP}/chat",
        "https://*.example.com",
        f"{SHOP}; script-src *",
        "null",
        "https://",
    ],
)
def test_an_inexact_origin_stops_the_start(origin: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        ChannelSettings(allowed_origins=(origin,))


def test_the_channel_is_on_unless_switched_off() -> None:
    assert SECTION == "web"
    assert ChannelSettings().on
    assert not ChannelSettings(enabled=False).on
    with pytest.raises(pydantic.ValidationError):
        ChannelSettings.model_validate({"enabeld": False})


def test_it_is_built_from_settings_and_surroundings() -> None:
    surroundings = Surroundings(
        clock=FixedClock(),
        metrics=None,  # type: ignore[arg-type]
        records=CoreDouble(),
        tickets=NoTickets(),
        database=NoDatabase(),
        came_back=nothing_comes_back,
        public_url="",
        max_message_chars=4000,
        max_body_bytes=1 << 20,
    )
    channel = build(ChannelSettings(), surroundings)

    assert isinstance(channel, WebChannel)
    assert (channel.platform, channel.account) == ("web", "")
    assert len(channel.render(answer("x" * 50_000))) == 1
