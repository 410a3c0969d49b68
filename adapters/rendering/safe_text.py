"""Text that is safe to show: without control, invisible and direction-changing characters.

A model or a customer can hide text from the reader (tag characters, zero-width spaces) or turn it around (bidirectional
overrides); what we send contains none of it. Emoji keep the few invisible characters that they are made of.
"""

import re

from adapters.rendering.cutting import cut

# Characters that take the emoji presentation selector or stand in a joined emoji (Unicode's emoji-data, as ranges).
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# The flags of England, Scotland and Wales: the only tag sequences that Unicode recommends for interchange.
_TAG_FLAG = (
    "\U0001f3f4\U000e0067\U000e0062"
    "(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)\U000e007f"
)
_NEVER_SHOWN = (
    "\u0000-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f"  # controls but tab and the line ends
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # soft hyphen, fillers, Mongolian selectors
    "\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # zero width, direction marks and overrides
    "\ufe00-\ufe0e\ufff9-\ufffb\U000e0000-\U000e0fff"  # variation selectors, annotations, tags
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"  # lone surrogates and noncharacters
)
_HIDDEN = re.compile(
    f"({_TAG_FLAG})"
    f"|[{_NEVER_SHOWN}]"
    f"|(?<![{_EMOJI}])(?<![{_EMOJI}]\ufe0f)\u200d"
    f"|\u200d(?![{_EMOJI}])"
    f"|(?<![{_EMOJI}0-9#*])\ufe0f"
    "|(?<=[0-9#*])\ufe0f(?!\u20e3)"
)
_LINE_END = re.compile("\r\n|[\r\u000b\u000c\u0085\u2028\u2029]")


def clean(text: str) -> str:
    """`text` without characters that hide or reorder it; every kind of line end becomes ``\\n``."""
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(lambda found: found[1] or "", _LINE_END.sub("\n", text))


def utf16_length(text: str) -> int:
    """How many UTF-16 code units `text` has: Telegram's measure of a message and of an entity."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def split_utf16(text: str, limit: int) -> tuple[str, ...]:
    """`text` in parts of at most `limit` UTF-16 code units, cut where a reader would pause.

    White space at the seams is left out. Blank text has no parts. Raises `ValueError` for a limit under 2, which is
    what one character can take.
    """
    return tuple(text[start:end] for start, end in cut(text, limit))
