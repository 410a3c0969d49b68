"""Websites as knowledge, from a server on loopback."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from knowledge.documents import Converter, SourceContents
from knowledge.errors import SourceError
from knowledge.service import Knowledge
from knowledge.sources.base import read_all
from knowledge.sources.fetching import Fetcher, FetchError, is_public
from knowledge.sources.sitemap import NotASitemap, below, is_below, read_sitemap
from knowledge.sources.website import WebLimits, WebSource
from tests.knowledge.website import FakeSite, Page, zipped

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("markitdown") is None, reason="kefu[docs] is not installed here"
)
QUICK = WebLimits(pause=0.0, request_seconds=2.0)
_REAL_GETADDRINFO = socket.getaddrinfo


def _source(address: str, keep: Path | None = None, **options: Any) -> WebSource:
    return WebSource(address, keep=keep, allow_private=True, **{"limits": QUICK, **options})


@pytest.fixture(scope="module", autouse=True)
def converter() -> Iterator[Converter]:
    """One for all of them: it takes a second to start."""
    with Converter() as opened:
        _shared.append(opened)
        yield opened
        _shared.clear()


_shared: list[Converter] = []


async def _read(address: str, keep: Path | None = None, **options: Any) -> SourceContents:
    return await _source(address, keep, **options).read(_shared[0])


def _html(title: str, body: str) -> str:
    return f"<html><head><title>{title}</title></head><body><main>{body}</main></body></html>"


HELP: dict[str, Page | str] = {
    "/robots.txt": Page("User-agent: *\nDisallow: /help/secret", "text/plain"),
    "/help/": _html(
        "帮助",
        "<h1>帮助</h1><p>在这里。</p><a href='refunds#top'>退款</a> <a href='/help/refunds'>退款</a> "
        "<a href='/other'>x</a> <a href='https://elsewhere.example/help/'>x</a> <a href='logo.png'>x</a> "
        "<a href='secret'>x</a> <a href='draft'>x</a> <a href='dead'>x</a> <a href='http://[broken'>x</a>",
    ),
    "/help/refunds": _html("退款", "<h1>退款</h1><p>三个工作日内到账，见<a href='terms.txt'>条款</a>。</p>"),
    "/help/terms.txt": Page("Terms in plain words.", "text/plain"),
    "/help/draft": _html("Draft", "<p>not yet</p>").replace("<head>", "<head><meta name=robots content=noindex>"),
    "/help/secret": _html("Secret", "<p>secret</p>"),
    "/other": _html("Other", "<p>outside</p>"),
}


async def test_a_page_and_what_it_links_to_below_it_is_read() -> None:
    async with FakeSite(dict(HELP)) as site:
        contents = await _read(f"{site.url}/help/")
        found = {document.id.removeprefix(site.url): document for document in contents.documents}
        assert list(found) == ["/help/", "/help/refunds", "/help/terms.txt"]
        assert (found["/help/refunds"].title, found["/help/refunds"].url) == ("退款", f"{site.url}/help/refunds")
        assert f"[条款]({site.url}/help/terms.txt)" in found["/help/refunds"].text
        assert contents.problems == ()
        assert not {"/other", "/help/secret", "/help/logo.png"} & set(site.asked)


async def test_what_did_not_change_is_asked_about_and_not_fetched_again(tmp_path: Path) -> None:
    async with FakeSite(dict(HELP)) as site:
        first = await _read(f"{site.url}/help/", tmp_path)
        site.answered.clear()
        site.pages["/help/refunds"] = _html("退款", "<h1>退款</h1><p>五个工作日内到账。</p>")
        second = await _read(f"{site.url}/help/", tmp_path)
        # robots.txt is asked for each time; /help/terms.txt is not linked any more.
        assert sorted(site.answered) == [200, 200, 304, 304, 404]
    assert first.documents[0] == second.documents[0]
    assert "五个工作日" in second.documents[1].text
    assert len(second.documents) == 2
    (kept,) = tmp_path.iterdir()
    assert "三个工作日" not in kept.read_bytes().decode("unicode_escape")
    assert "plain words" not in kept.read_text()


async def test_a_page_that_fails_stays_what_it_was_and_one_that_is_gone_goes(tmp_path: Path) -> None:
    async with FakeSite(dict(HELP)) as site:
        await _read(f"{site.url}/help/", tmp_path)
        site.pages["/help/refunds"] = Page(status=503)
        site.pages["/help/terms.txt"] = Page(status=410)
        contents = await _read(f"{site.url}/help/", tmp_path)
    assert [URL(document.id).path for document in contents.documents] == ["/help/", "/help/refunds"]
    assert [problem.reason for problem in contents.problems] == ["answers 503; the copy of the last sync is used"]


def _sitemap(*places: str, kind: str = "urlset") -> str:
    entry = "url" if kind == "urlset" else "sitemap"
    body = "".join(f"<{entry}><loc>{place}</loc></{entry}>" for place in places)
    return f'<?xml version="1.0"?><{kind} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{body}</{kind}>'


async def test_a_sitemap_of_sitemaps_is_read() -> None:
    async with FakeSite({"/a": "<p>one</p><a href='/c'>c</a>", "/b": "<p>two</p>", "/c": "<p>not in it</p>"}) as site:
        site.pages["/sitemap.xml"] = Page(
            _sitemap(f"{site.url}/one.xml", f"{site.url}/two.xml.gz", kind="sitemapindex"), "application/xml"
        )
        site.pages["/one.xml"] = Page(_sitemap(f"{site.url}/a", "https://elsewhere.example/x"), "text/xml")
        two = _sitemap(f"{site.url}/b", f"{site.url}/a", f"{site.url}/gone")
        site.pages["/two.xml.gz"] = Page(zipped(two), "application/gzip")
        contents = await _read(f"{site.url}/sitemap.xml", only_sitemap=True)
        assert [URL(document.id).path for document in contents.documents] == ["/a", "/b"]
        assert [str(problem) for problem in contents.problems] == [f"{site.url}/gone: answers 404"]
        with pytest.raises(SourceError, match="is no sitemap"):
            await _read(f"{site.url}/a", only_sitemap=True)


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        pytest.param({}, "answers 404", id="nothing there"),
        pytest.param({"/robots.txt": Page(status=500), "/": "<p>x"}, "robots.txt answers 500", id="robots fail"),
        pytest.param({"/robots.txt": Page("User-agent: kefu\nDisallow: /", "text/plain")}, "not allow", id="forbidden"),
        pytest.param({"/": Page("<p>x", seconds=1.0)}, "no answer within", id="silent"),
        pytest.param({"/": Page(b"<p>x" * 3_000_000)}, "is larger than", id="large"),
        pytest.param(
            {"/": Page(zipped("x" * 50_000_000), headers={"Content-Encoding": "gzip"})},
            "is larger than",
            id="gzip bomb",
        ),
        pytest.param({"/": Page(status=302, headers={"Location": "/"})}, "in a circle", id="circle"),
        pytest.param(
            {"/": Page(status=302, headers={"Location": "http://10.0.0.1/"})}, "another host", id="leads away"
        ),
        pytest.param({"/": Page(status=302, headers={"Location": "file:///etc/passwd"})}, "another host", id="file"),
        pytest.param({"/": Page(b"%PDF nothing", "application/pdf")}, "is no PDF", id="broken document"),
    ],
)
async def test_a_site_that_can_not_be_read_is_one_line(pages: dict[str, Page | str], says: str) -> None:
    async with FakeSite(pages) as site:
        with pytest.raises(SourceError, match=says) as refused:
            await _read(f"{site.url}/?key=hunter2", limits=WebLimits(pause=0.0, request_seconds=0.5))
    assert "hunter2" not in str(refused.value)


async def test_a_redirect_within_the_site_is_followed_and_the_page_named_by_where_it_is() -> None:
    async with FakeSite({"/a": Page(status=301, headers={"Location": "/b"}), "/b": "<p>words"}) as site:
        (document,) = (await _read(f"{site.url}/a")).documents
        assert (document.id, document.text) == (f"{site.url}/b", "words")


async def test_a_site_without_end_ends() -> None:
    pages: dict[str, Page | str] = {f"/{n}": f"<p>{n}</p><a href='/{n + 1}'>next</a>" for n in range(1, 50)}
    pages["/"] = "<p>0</p><a href='/1'>next</a>"
    async with FakeSite(pages) as site:
        deep = await _read(f"{site.url}/")
        assert len(deep.documents) == 1 + QUICK.depth
        few = await _read(f"{site.url}/", limits=WebLimits(pause=0.0, pages=3))
    assert len(few.documents) == 3
    assert "more than 3 pages" in few.problems[0].reason


async def test_a_changed_sentence_is_the_answer_within_one_sync(tmp_path: Path, knowledge: Knowledge) -> None:
    async with FakeSite({"/": _html("Refunds", "<p>Refunds take three days.</p>")}) as site:
        source = _source(f"{site.url}/", tmp_path)
        await knowledge.sync([source])
        assert (await knowledge.retriever.search("how long do refunds take"))[0].text == "Refunds take three days."
        site.pages["/"] = _html("Refunds", "<p>Refunds take five days.</p>")
        await knowledge.sync([source])
        assert (await knowledge.retriever.search("how long do refunds take"))[0].text == "Refunds take five days."
        site.pages["/robots.txt"] = Page(status=503)
        with pytest.raises(SourceError):
            await knowledge.sync([source])
        assert (await knowledge.retriever.search("how long do refunds take"))[0].text == "Refunds take five days."


# Every way to write an address of our own network that a resolver or a parser takes.
INSIDE = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0",
    "0.0.0.0", "127.255.255.254", "localhost", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
    "192.168.0.1", "192.168.1.254", "169.254.169.254", "169.254.0.1", "2852039166", "0xa9fea9fe", "100.64.0.1",
    "100.100.100.200", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]", "[0:0:0:0:0:ffff:c0a8:1]", "[fe80::1]", "[fc00::1]", "[fd00::1]",
    "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]", "[2001:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[fec0::1]", "[100::1]",
]  # fmt: skip


async def test_no_way_to_write_an_address_leads_into_our_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    # Numbers in odd forms are the system's resolver's to read; nothing leaves the machine for them.
    monkeypatch.setattr(socket, "getaddrinfo", _REAL_GETADDRINFO)
    async with FakeSite({"/": "<p>inside"}) as site, Fetcher(allow_private=False, seconds=5.0) as fetcher:
        for host in INSIDE:
            with pytest.raises(FetchError):
                await fetcher.get(URL(f"http://{host}:{URL(site.url).port}/"), most=1000, allowed=lambda _: True)
        assert site.asked == []
        with pytest.raises(SourceError, match=r"is a private address; knowledge.allow_private_addresses"):
            await read_all([WebSource(site.url, limits=QUICK)])
    assert site.asked == []


async def test_a_name_that_resolves_inwards_the_second_time_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str] = []

    def rebinding(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        answers.append("127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    async with FakeSite({"/": "<p>inside"}) as site:
        address = f"http://rebind.example:{URL(site.url).port}/"
        with pytest.raises(SourceError, match="private address"):
            await read_all([WebSource(address, limits=QUICK)])
    assert answers
    assert site.asked == []


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"<rss></rss>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><urlset>&a;</urlset>',
        b"\x1f\x8bbroken",
        zipped("<urlset>" + " " * 5_000_000),
    ],
    ids=["html", "rss", "entities", "broken gzip", "gzip bomb"],
)
def test_what_is_no_sitemap_is_refused(data: bytes) -> None:
    with pytest.raises(NotASitemap):
        read_sitemap(data, 1_000_000)


@pytest.mark.parametrize(
    ("start", "inside", "outside"),
    [
        ("https://x.example/help/", "/help/a/b", "/helpers"),
        ("https://x.example/help/index.html", "/help/a", "/"),
        ("https://x.example/help", "/help/a", "/helpers"),
        ("https://x.example", "/anything", ""),
    ],
)
def test_what_stands_below_a_start_page(start: str, inside: str, outside: str) -> None:
    prefix = below(URL(start))
    assert is_below(URL(start).with_path(inside), prefix)
    assert not outside or not is_below(URL(start).with_path(outside), prefix)


@pytest.mark.parametrize("address", ["ftp://x.example/", "http://u:p@x.example/", "nowhere", "http://[x"])
def test_what_is_no_address_of_the_web_is_refused(address: str) -> None:
    with pytest.raises(SourceError, match="no address of the web"):
        WebSource(address)
