"""Reading addresses of the web that others wrote: bounded in bytes and time, and never into our own network.

The check stands where a socket is made, on the address that it is then connected to. So it holds for every way to
write an address (decimal, hexadecimal, mapped into IPv6), for redirects, and for a name that resolves to something else
the second time.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

USER_AGENT = "kefu/1 (knowledge sync)"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_DEFAULT_PORTS = frozenset({80, 443})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchError(Exception):
    """The address could not be read; `str()` says why in a few words."""

    def __init__(self, reason: str, *, gone: bool = False, private: bool = False) -> None:
        super().__init__(reason)
        self.gone = gone
        """The server says that there is nothing there (any more)."""
        self.private = private


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a server answered."""

    url: URL
    """Where it was in the end."""

    changed: bool
    """False where the copy that was asked about is still right; there is no body then."""

    body: bytes = field(repr=False)
    kind: str
    """Its content type, without parameters."""

    etag: str
    modified: str
    robots: str
    """X-Robots-Tag, in small letters."""


class _PrivateAddress(OSError):
    pass


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet, with what is mapped or tunnelled into IPv6 looked at as well."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        if found.sixtofour is not None or found.teredo is not None:
            return False  # tunnels that nobody serves pages through
        if found.is_site_local:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def _public_socket(wanted: Any) -> socket.socket:
    family, kind, protocol, _, address = wanted
    if not is_public(str(address[0])):
        raise _PrivateAddress("private address")
    return socket.socket(family, kind, protocol)


def same_site(one: URL, other: URL) -> bool:
    """Same host and port; http and https of one host count as one site."""
    ports = {one.port, other.port}
    return one.host == other.host and (len(ports) == 1 or ports <= _DEFAULT_PORTS)


class Fetcher:
    """One sync's connections. `async with Fetcher(…) as fetcher`."""

    def __init__(self, *, allow_private: bool, seconds: float = 20.0) -> None:
        self._allow_private = allow_private
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Fetcher:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=2, use_dns_cache=False, socket_factory=None if self._allow_private else _public_socket
            ),
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            headers={"User-Agent": USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(
        self, url: URL, *, most: int, allowed: Callable[[URL], bool], etag: str = "", modified: str = ""
    ) -> Fetched:
        """Reads an address and follows its redirects, as long as they stay on its site and are `allowed`.

        :param most: bytes that are read, after unpacking.
        :param etag: with `modified`, what the server said of the copy that is here.
        :raises FetchError:
        """
        asked = {"If-None-Match": etag} if etag else {"If-Modified-Since": modified} if modified else {}
        here = url
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                found = await self._hop(here, most, asked)
                if isinstance(found, Fetched):
                    return found
                if not same_site(url, found) or found.user or found.password:
                    raise FetchError("leads to another host")
                if not allowed(found):
                    raise FetchError("leads to where robots.txt does not allow")
                here = found
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _PrivateAddress):
                raise FetchError(
                    "is a private address; knowledge.allow_private_addresses = true allows it", private=True
                ) from None
            raise FetchError("can not be reached") from None
        except TimeoutError:
            raise FetchError(f"no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"can not be read ({type(error).__name__})") from None
        raise FetchError("redirects in a circle")

    async def _hop(self, url: URL, most: int, asked: dict[str, str]) -> Fetched | URL:
        assert self._session is not None
        async with self._session.get(url, allow_redirects=False, headers=asked) as response:
            if response.status in _REDIRECTS:
                return url.join(URL(response.headers.get("Location", ""))).with_fragment(None)
            if response.status not in (200, 304):
                raise FetchError(f"answers {response.status}", gone=response.status in (404, 410))
            return Fetched(
                url=url,
                changed=response.status == 200,
                body=await _read(response, most),
                kind=response.content_type.lower(),
                etag=response.headers.get("ETag", "")[:1000],
                modified=response.headers.get("Last-Modified", "")[:100],
                robots=response.headers.get("X-Robots-Tag", "").lower(),
            )


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for part in response.content.iter_chunked(64 * 1024):
        body += part
        if len(body) > most:
            raise FetchError(f"is larger than {most // 1024} KB")
    return bytes(body)
