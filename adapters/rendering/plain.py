"""Markdown as plain text, for a terminal and for channels that have no markup."""

from adapters.rendering.layout import Dialect, lay_out
from adapters.rendering.tree import parse, plain_text


def render(markdown: str, *, width: int = 78) -> str:
    """What `markdown` says, readable without markup: links as ``text (address)``, lists and tables laid out by hand.

    `width` is in columns of a fixed-width font and decides which tables are drawn and which are told line by line;
    text is not wrapped. The result has no control or invisible characters; `safe_text.split_utf16` cuts it where a
    channel has a limit.
    """
    return plain_text(lay_out(parse(markdown), Dialect(styled=False, table_width=width)))
