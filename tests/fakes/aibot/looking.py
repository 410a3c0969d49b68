"""What is to be seen: the bot's words as they stand in a conversation now."""

from __future__ import annotations

from tests.fakes.aibot.state import Asked, Heard, Post, State


class Looking:
    """Reads the state; changes nothing."""

    def __init__(self, state: State) -> None:
        self._state = state

    def posts(self, place_id: str = "", *, via: str = "") -> list[Post]:
        """What the bot said in a conversation (all of them without an id), in order."""
        return [
            post for post in self._state.posts if place_id in {"", post.place.id} and via in {"", post.via}
        ]  # fmt: skip

    def texts(self, place_id: str = "") -> list[str]:
        """The words of it that are finished."""
        return [post.text for post in self.posts(place_id) if post.finished and post.text]

    def answers(self, asked: Asked) -> list[Post]:
        """What answers that message, over whichever of its callbacks."""
        return [post for post in self._state.posts if post.asked is not None and post.asked.msgid == asked.msgid]

    def cards(self, place_id: str = "") -> list[Post]:
        return self.posts(place_id, via="template_card")

    def once(self, place_id: str, words: str) -> Post:
        """The one finished message that has these words.

        :raises AssertionError: none has, or more than one.
        """
        found = [post for post in self.posts(place_id) if post.finished and words in post.text]
        assert len(found) == 1, f"{len(found)} messages in {place_id} have these words"
        return found[0]

    def frames(self, *cmds: str) -> list[Heard]:
        """What the bot sent, in order; with commands only those."""
        return [heard for heard in self._state.heard if not cmds or heard.cmd in cmds]
