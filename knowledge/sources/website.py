"""Pages of a website as documents: a page and what it links to below it, or the pages of a sitemap."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.robotparser import RobotFileParser

from yarl import URL

from knowledge.documents import Converter, SourceContents
from knowledge.documents.conversion import RefusedError
from knowledge.documents.converted import converted_documents
from knowledge.documents.text import UnreadableTextError, decode
from knowledge.errors import SourceError
from knowledge.sources.fetching import Fetched, Fetcher, FetchError, same_site
from knowledge.sources.kept import Copy, KeptCopies
from knowledge.sources.sitemap import NotASitemap, below, is_below, linked, read_sitemap
from knowledge.values import Document, Problem

_AGENT = "kefu"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
    f"{_OFFICE}.wordprocessingml.document": ".docx",
    f"{_OFFICE}.spreadsheetml.sheet": ".xlsx",
    f"{_OFFICE}.presentationml.presentation": ".pptx",
}
_TEXTS = frozenset({"text/plain", "text/markdown", "text/x-markdown"})
_LINK = re.compile(r"(?<=\]\()(?!https?://|#|mailto:|tel:)[^)\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """What one website may take."""

    pages: int = 2000
    depth: int = 5
    """Links from the start page."""

    page_bytes: int = 8 * 1024 * 1024
    sitemap_bytes: int = 50 * 1024 * 1024
    """What the protocol allows a sitemap."""

    sitemaps: int = 50
    request_seconds: float = 20.0
    seconds: float = 3600.0
    pause: float = 0.2
    """Between two requests; `Crawl-delay` in robots.txt makes it longer, up to `longest_pause`."""

    longest_pause: float = 10.0


@dataclass(slots=True, kw_only=True)
class _Visit:
    """One sync of one site, while it goes on."""

    fetcher: Fetcher
    converter: Converter
    robots: RobotFileParser
    before: Mapping[str, Copy]
    pause: float
    now: dict[str, Copy] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def allowed(self, url: URL) -> bool:
        return self.robots.can_fetch(_AGENT, str(url))


class WebSource:
    """One start page with the pages below it, or one sitemap. A document's id is its page's address."""

    def __init__(
        self,
        address: str,
        *,
        keep: Path | None = None,
        allow_private: bool = False,
        only_sitemap: bool = False,
        limits: WebLimits | None = None,
    ) -> None:
        """:param keep: the folder for copies between two syncs; without one, everything is fetched each time.
        :param only_sitemap: a page at this address is an error.
        :raises SourceError: this is no address of the web.
        """
        try:
            self._start = URL(address).with_fragment(None)
        except ValueError:
            raise SourceError("the source is no address of the web") from None
        if self._start.scheme not in ("http", "https") or not self._start.host or self._start.user:
            raise SourceError("the source is no address of the web, or holds a user")
        self._kept = KeptCopies(keep, str(self._start)) if keep is not None else None
        self._allow_private = allow_private
        self._only_sitemap = only_sitemap
        self._limits = limits or WebLimits()

    @property
    def name(self) -> str:
        # A query may hold a key.
        return str(self._start.with_query(None))

    async def read(self, converter: Converter) -> SourceContents:
        before = await asyncio.to_thread(self._kept.load) if self._kept is not None else {}
        try:
            async with asyncio.timeout(self._limits.seconds), self._fetcher() as fetcher:
                robots = await self._robots(fetcher)
                pause = min(float(robots.crawl_delay(_AGENT) or self._limits.pause), self._limits.longest_pause)
                visit = _Visit(fetcher=fetcher, converter=converter, robots=robots, before=before, pause=pause)
                await self._visit(visit)
                if visit.problems and not visit.documents:
                    # A whole site that can not be read is no site without pages.
                    raise FetchError(str(visit.problems[0]))
        except FetchError as error:
            raise SourceError(f"{self.name}: {error}") from None
        except TimeoutError:
            raise SourceError(f"{self.name}: not read within {self._limits.seconds:g} s") from None
        if self._kept is not None:
            with suppress(OSError):  # a full disk: they only save work
                await asyncio.to_thread(self._kept.store, visit.now)
        return SourceContents(documents=tuple(visit.documents.values()), problems=tuple(visit.problems))

    async def check(self) -> str:
        try:
            async with self._fetcher() as fetcher:
                robots = await self._robots(fetcher)
                await self._fetch_start(fetcher, robots)
        except FetchError as error:
            raise SourceError(f"{self.name}: {error}") from None
        return f"{self.name} answers"

    def _fetcher(self) -> Fetcher:
        return Fetcher(allow_private=self._allow_private, seconds=self._limits.request_seconds)

    async def _robots(self, fetcher: Fetcher) -> RobotFileParser:
        """As RFC 9309 has it: no file allows everything, and a server that fails allows nothing."""
        robots = RobotFileParser()
        try:
            found = await fetcher.get(
                self._start.with_path("/robots.txt").with_query(None), most=512 * 1024, allowed=lambda _: True
            )
            robots.parse(found.body.decode("utf-8", "replace").splitlines())
        except FetchError as error:
            if not (error.gone or re.match(r"answers 4(?!29)", str(error))):
                raise FetchError(f"robots.txt {error}", private=error.private) from None
            robots.parse([])
        return robots

    async def _fetch_start(self, fetcher: Fetcher, robots: RobotFileParser, known: Copy | None = None) -> Fetched:
        if not robots.can_fetch(_AGENT, str(self._start)):
            raise FetchError("robots.txt does not allow it")
        return await fetcher.get(
            self._start,
            most=self._limits.sitemap_bytes if self._only_sitemap else self._limits.page_bytes,
            allowed=lambda url: robots.can_fetch(_AGENT, str(url)),
            etag=known.etag if known is not None else "",
            modified=known.modified if known is not None else "",
        )

    async def _visit(self, visit: _Visit) -> None:
        known = visit.before.get(str(self._start))
        first = await self._fetch_start(visit.fetcher, visit.robots, known)
        try:
            pages = await self._of_sitemap(visit, first.body) if first.changed else None
        except NotASitemap:
            pages = None
        if pages is not None:
            await self._walk(visit, deque((page, 0) for page in pages), follow=False)
        elif self._only_sitemap:
            raise FetchError("is no sitemap")
        else:
            try:
                links = await self._take(visit, self._start, first, known)
            except (RefusedError, UnreadableTextError) as error:
                raise FetchError(str(error)) from None
            await self._walk(visit, deque((url, 1) for url in links), follow=True)

    async def _of_sitemap(self, visit: _Visit, data: bytes) -> list[URL]:
        """The pages of a sitemap and of those that it names, on this site, each once."""
        pages, further = await asyncio.to_thread(read_sitemap, data, self._limits.sitemap_bytes)
        maps = _on_site(further, self._start)
        if len(maps) > self._limits.sitemaps:
            raise FetchError(f"names more than {self._limits.sitemaps} sitemaps")
        for address in maps:
            await asyncio.sleep(visit.pause)
            found = await visit.fetcher.get(address, most=self._limits.sitemap_bytes, allowed=visit.allowed)
            try:
                more, _ = await asyncio.to_thread(read_sitemap, found.body, self._limits.sitemap_bytes)
            except NotASitemap:
                raise FetchError(f"names {address.path}, which is no sitemap") from None
            pages += more
        return _on_site(pages, self._start)

    async def _walk(self, visit: _Visit, waiting: deque[tuple[URL, int]], *, follow: bool) -> None:
        prefix = below(self._start)
        seen = {self._start} if follow else set()
        while waiting:
            url, depth = waiting.popleft()
            outside = follow and not is_below(url, prefix)
            if url in seen or outside or not same_site(url, self._start) or not visit.allowed(url):
                continue
            if len(seen) >= self._limits.pages:
                reason = f"has more than {self._limits.pages} pages; the others are left out"
                visit.problems.append(Problem(path=self.name, line=None, reason=reason))
                return
            seen.add(url)
            await asyncio.sleep(visit.pause)
            links = await self._page(visit, url, quiet=follow)
            if follow and depth < self._limits.depth:
                waiting.extend((link, depth + 1) for link in links)

    async def _page(self, visit: _Visit, url: URL, *, quiet: bool) -> list[URL]:
        """Takes one page; where it leads to. A page that fails stays what it was, with a problem that says so."""
        known = visit.before.get(str(url))
        try:
            found = await visit.fetcher.get(
                url,
                most=self._limits.page_bytes,
                allowed=visit.allowed,
                etag=known.etag if known is not None else "",
                modified=known.modified if known is not None else "",
            )
            return await self._take(visit, url, found, known)
        except FetchError as error:
            if error.gone and quiet:
                return []  # a dead link is the site's problem, and a page that was here is gone
            kept = known is not None and not error.gone
            reason = f"{error}; the copy of the last sync is used" if kept else str(error)
            visit.problems.append(Problem(path=str(url), line=None, reason=reason))
            return self._keep(visit, url, known) if known is not None and kept else []
        except (RefusedError, UnreadableTextError) as error:
            visit.problems.append(Problem(path=str(url), line=None, reason=str(error)))
            return []

    async def _take(self, visit: _Visit, url: URL, found: Fetched, known: Copy | None) -> list[URL]:
        if not found.changed:
            if known is None:
                raise FetchError("answers 304 to a question without a copy")
            return self._keep(visit, url, known)
        converted = await _convert(visit.converter, found)
        if converted is None:
            return []
        copy = Copy(etag=found.etag, modified=found.modified, url=str(found.url), robots=found.robots, found=converted)
        return self._keep(visit, url, copy)

    def _keep(self, visit: _Visit, url: URL, copy: Copy) -> list[URL]:
        """The page's documents, and where it leads to."""
        visit.now[str(url)] = copy
        rules = f"{copy.robots} {copy.found.get('robots', '')}"
        here = URL(copy.url)
        if "noindex" not in rules and "none" not in rules.replace(",", " ").split():
            for item in converted_documents(copy.url, _absolute(copy.found, copy.url), url=copy.url):
                if isinstance(item, Problem):
                    visit.problems.append(item)
                else:
                    visit.documents.setdefault(item.id, item)
        if "nofollow" in rules:
            return []
        base = here.join(URL(str(copy.found["base"]))) if copy.found.get("base") else here
        return list(linked(copy.found.get("links", ()), base))


async def _convert(converter: Converter, found: Fetched) -> Mapping[str, Any] | None:
    """What is in a page; None for something that holds no text, such as a picture."""
    if found.kind in _TEXTS:
        return {"kind": "markdown", "text": decode(found.body)}
    suffix = _SUFFIXES.get(found.kind)
    return None if suffix is None else await asyncio.to_thread(converter.convert, suffix, found.body)


def _absolute(found: Mapping[str, Any], address: str) -> Mapping[str, Any]:
    """Links as they work outside of the page."""
    if "text" not in found:
        return found
    base = urljoin(address, str(found.get("base", "")))
    return {**found, "text": _LINK.sub(lambda link: urljoin(base, link[0]), found["text"])}


def _on_site(addresses: Sequence[str], start: URL) -> list[URL]:
    """Those that are on the site, each once."""
    found: dict[URL, None] = {}
    for address in addresses:
        try:
            url = URL(address).with_fragment(None)
        except ValueError:
            continue
        if url.scheme in ("http", "https") and same_site(url, start) and not url.user:
            found[url] = None
    return list(found)
