"""The `[web]` section of `kefu.toml`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import pydantic

SECTION = "web"


def _origin(value: str) -> str:
    """An exact origin as browsers write it, e.g. "https://shop.example.com"; no path, no wildcard."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or value != f"{parts.scheme}://{parts.netloc}":
        raise ValueError('must be an exact origin such as "https://shop.example.com", without a path')
    # The value goes into a Content-Security-Policy header: a quote, a semicolon or a space would rewrite the policy.
    if "@" in parts.netloc or any(character in " ;,'\"*" or ord(character) < 33 for character in value):
        raise ValueError('must be an exact origin such as "https://shop.example.com"')
    return value.lower()


Origin = Annotated[str, pydantic.AfterValidator(_origin)]


class ChannelSettings(pydantic.BaseModel):
    """What an operator can set of the web chat."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    collections: tuple[str, ...] = pydantic.Field(("default",), min_length=1)
    """What visitors may be told from."""
    allowed_origins: tuple[Origin, ...] = ()
    """Other sites that may call the API from a browser and may show the page in a frame."""
    title: str = pydantic.Field("", max_length=40)
    """The name in the page's header; "" for "在线客服" and "Customer support"."""
    questions: tuple[str, ...] = pydantic.Field((), max_length=6)
    """First questions the page suggests; () for a few that suit any shop."""

    @property
    def on(self) -> bool:
        return self.enabled
