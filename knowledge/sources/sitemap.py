"""Sitemaps, and which addresses of a page are pages. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from yarl import URL

_NO_PAGE = re.compile(
    r"\.(?:png|jpe?g|gif|webp|svg|ico|css|js|json|xml|zip|gz|rar|7z|exe|dmg|apk|mp[34]|mov|avi|webm|woff2?|ttf)$",
    re.IGNORECASE,
)


class NotASitemap(Exception):
    """It is something else."""


def read_sitemap(data: bytes, most: int) -> tuple[list[str], list[str]]:
    """The pages and the further sitemaps that a sitemap names, in its order.

    Raises NotASitemap.
    """
    if data.startswith(b"\x1f\x8b"):
        unpacking = zlib.decompressobj(wbits=31)
        try:
            data = unpacking.decompress(data, most)
        except zlib.error:
            raise NotASitemap from None
        if unpacking.unconsumed_tail:
            raise NotASitemap
    try:
        root = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        raise NotASitemap from None
    kind = root.tag.rpartition("}")[2]
    if kind not in ("urlset", "sitemapindex"):
        raise NotASitemap
    places = [
        (element.text or "").strip() for entry in root for element in entry if element.tag.rpartition("}")[2] == "loc"
    ]
    return (places, []) if kind == "urlset" else ([], places)


def linked(links: Iterable[str], base: URL) -> Iterator[URL]:
    """The addresses that a page's links lead to, without fragments; what is no address of the web is left out."""
    for link in links:
        try:
            url = base.join(URL(link.strip())).with_fragment(None)
        except ValueError:
            continue
        if url.scheme in ("http", "https") and url.host and not url.user and not _NO_PAGE.search(url.path):
            yield url


def below(start: URL) -> str:
    """The beginning of the paths that belong to a start page: `/help/index.html` and `/help/` stand for everything in
    `/help/`, `/help` for that page and everything in `/help/`."""
    path = start.path
    last = path.rpartition("/")[2]
    if last and "." in last:
        return path[: -len(last)]
    return path


def is_below(url: URL, prefix: str) -> bool:
    """See `below`."""
    return url.path == prefix or url.path.startswith(prefix if prefix.endswith("/") else prefix + "/")
