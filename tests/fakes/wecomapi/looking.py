"""What people see: the words that stand before them now."""

from __future__ import annotations

from tests.fakes.wecomapi.state import Call, Message, State, Violation


class Looking:
    """Reads the state for a test."""

    def __init__(self, state: State) -> None:
        self._state = state

    def messages(self, channel: str, place: str = "") -> list[Message]:
        """What the bot said there, oldest first: "app" and a user, "kf" and a customer, "bot" and a chat or user,
        "webhook", "appchat" and a chat. Without a place everybody's."""
        where = place.lower() if channel == "app" else place
        return [
            one
            for one in self._state.messages
            if one.channel == channel and where in {"", one.place} and not one.recalled
        ]

    def texts(self, channel: str, place: str = "") -> list[str]:
        """Their words."""
        return [one.text for one in self.messages(channel, place)]

    def once(self, channel: str, place: str, *expected: str) -> None:
        """Each of these stands there exactly once, in one message or across those of the place.

        :raises AssertionError: it does not.
        """
        whole = "\n".join(self.texts(channel, place))
        wrong = {words: count for words in expected if (count := whole.count(words)) != 1}
        assert not wrong, f"{channel} {place}: {wrong}; it says: {whole[:2000]}"

    def calls(self, *methods: str, applied: bool | None = None) -> list[Call]:
        """Calls in order, narrowed by what is given."""
        return [
            call
            for call in self._state.calls
            if (not methods or call.method in methods) and applied in {None, call.applied}
        ]

    def violations(self) -> list[Violation]:
        """Every rule that the bot broke; a test wants none."""
        return list(self._state.violations)
