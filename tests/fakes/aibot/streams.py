"""Answers that grow: each frame holds the whole text so far, under one id, until one says that it is the last."""

from __future__ import annotations

from tests.fakes.aibot import checks
from tests.fakes.aibot.errors import BAD_PARAMETER, STREAM_EXPIRED, Refused
from tests.fakes.aibot.rates import Rates
from tests.fakes.aibot.state import Asked, Json, Post, State

LIFE = 360.0
"""The page said six minutes in March 2026 and ten in October: nobody who keeps to six can be wrong."""
APART = 0.9
"""What is nearer than this to the frame before it was sent too soon; the rule is a second."""


class Streams:
    """`life` and `apart` may be changed by a test."""

    def __init__(self, state: State, rates: Rates) -> None:
        self.life = LIFE
        self.apart = APART
        self._state = state
        self._rates = rates
        self._posts: dict[str, Post] = {}

    def respond(self, body: Json, asked: Asked) -> None:
        """One frame of a stream, the first or a later one.

        :raises Refused: its form is wrong, it is over, or it was one too many.
        """
        stream = checks.mapping(body.get("stream"), "stream")
        stream_id = checks.words(stream.get("id"), "stream.id", most=checks.ID_BYTES)
        finish = stream.get("finish", False)
        if not isinstance(finish, bool):
            raise Refused(BAD_PARAMETER, "stream.finish is neither true nor false")
        if "msg_item" in stream:
            raise Refused(BAD_PARAMETER, "stream.msg_item is not supported here")
        text = checks.content(stream.get("content", ""), "stream.content", empty=True)
        feedback = checks.feedback(stream)
        post = self._posts.get(stream_id)
        if post is None:
            post = self._open(stream_id, asked, feedback)
        else:
            self._refresh(post, asked, feedback)
        self._show(post, text, finish)

    def end(self, post: Post) -> None:
        """WeCom ends it before its time: the next frame is refused."""
        post.ended = True

    def unfinished(self) -> list[Post]:
        """Streams that nobody finished, those among them that WeCom ended."""
        return [post for post in self._posts.values() if not post.finished]

    def _open(self, stream_id: str, asked: Asked, feedback: str) -> Post:
        self._check_life(asked.at)
        if any(post.asked is asked and not post.finished for post in self._posts.values()):
            self._state.breach(f"stream {stream_id} was opened beside another one for the same message")
        self._rates.check(asked.place)
        post = Post(
            number=self._state.number(), place=asked.place, via="stream", at=self._state.clock.now(),
            req_id=asked.req_id, asked=asked, feedback=feedback, stream=stream_id, finished=False,
        )  # fmt: skip
        self._posts[stream_id] = post
        self._state.posts.append(post)
        return post

    def _refresh(self, post: Post, asked: Asked, feedback: str) -> None:
        if post.asked is not asked and (post.asked is None or post.asked.msgid != asked.msgid):
            raise Refused(BAD_PARAMETER, "stream.id belongs to another message")
        if post.finished:
            raise Refused(STREAM_EXPIRED, "the stream is finished")
        if post.ended:
            raise Refused(STREAM_EXPIRED, "the stream was ended")
        try:
            self._check_life(post.asked.at)
        except Refused:
            post.ended = True
            raise
        if feedback and feedback != post.feedback:
            self._state.breach(f"feedback.id of stream {post.stream} was set after its first frame")
        if self._state.clock.now() - post.shown[-1][0] < self.apart:
            self._state.breach(f"stream {post.stream} was refreshed sooner than a second after the last time")
        if self._rates.refreshes:
            self._rates.check(post.place)

    def _check_life(self, since: float) -> None:
        if self._state.clock.now() - since > self.life:
            raise Refused(STREAM_EXPIRED, f"more than {self.life:.0f} s after the message")

    def _show(self, post: Post, text: str, finish: bool) -> None:
        if finish and not text.strip():
            self._state.breach(f"stream {post.stream} was finished without a word in it")
        post.text, post.finished = text, finish
        post.shown.append((self._state.clock.now(), text))
