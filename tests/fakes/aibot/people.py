"""What colleagues do: they write, alone with the bot or in groups, press buttons, and put their thumbs up or down."""

from __future__ import annotations

from tests.fakes.aibot import cards
from tests.fakes.aibot.links import Links
from tests.fakes.aibot.state import Asked, Json, Place, Post, State

NAME = "小客"
UP, DOWN, TAKEN_BACK = 1, 2, 3


class People:
    """Every deed reaches the bot over the connection it has at this moment; without one it is lost (`link` 0).

    `chat` is a group's id; without it the person is alone with the bot.
    """

    def __init__(self, state: State, links: Links) -> None:
        self.response_url = ""
        """What a message carries under this name: nothing, says WeCom's page; but it has been seen here, and it is as
        good as a password."""
        self._state = state
        self._links = links

    # -- Messages --

    def says(self, text: str, *, user: str = "zhangsan", chat: str = "", quote: str = "") -> Asked:
        """Words; in a group the bot is mentioned before them, for otherwise it would not hear of them."""
        content = f"@{NAME} {text}" if chat else text
        more: Json = {"quote": {"msgtype": "text", "text": {"content": quote}}} if quote else {}
        return self.sends({"msgtype": "text", "text": {"content": content}, **more}, user=user, chat=chat)

    def speaks(self, words: str, *, user: str = "zhangsan") -> Asked:
        """A voice message; WeCom has written it down already."""
        return self.sends({"msgtype": "voice", "voice": {"content": words}}, user=user)

    def shows(self, kind: str = "image", *, user: str = "zhangsan") -> Asked:
        """An image, a file or a video, which only come in single chats."""
        return self.sends({"msgtype": kind, kind: self._media(kind)}, user=user)

    def mixes(self, text: str, *, user: str = "zhangsan", chat: str = "") -> Asked:
        """Words with an image among them."""
        content = f"@{NAME} {text}" if chat else text
        items = [
            {"msgtype": "text", "text": {"content": content}},
            {"msgtype": "image", "image": self._media("image")},
        ]
        return self.sends({"msgtype": "mixed", "mixed": {"msg_item": items}}, user=user, chat=chat)

    def sends(self, content: Json, *, user: str = "zhangsan", chat: str = "") -> Asked:
        """Any message at all, also of a kind that is yet to be invented."""
        place = self._place(user, chat)
        place.written = True
        msgid = self._state.new_id("msg")
        return self._ask("aibot_msg_callback", "message", place, user, {"msgid": msgid, **content})

    def again(self, asked: Asked) -> Asked:
        """The same message or event once more: its msgid is the same, the req_id is not."""
        cmd = "aibot_msg_callback" if asked.kind == "message" else "aibot_event_callback"
        repeated = self._ask(cmd, asked.kind, asked.place, asked.user, asked.body)
        repeated.task_id = asked.task_id
        return repeated

    # -- Events --

    def enters(self, *, user: str = "zhangsan") -> Asked:
        """The first look at the bot's chat of the day."""
        return self._event("enter_chat", self._place(user, ""), user, {})

    def presses(self, task_id: str, key: str, *, user: str = "zhangsan") -> Asked:
        """A button of a card.

        :raises AssertionError: there is no such card, or no such button on it now.
        """
        post = self._state.cards[task_id]
        assert key in cards.keys(post.card), f"there is no button {key!r} on the card"
        about = {"card_type": post.card["card_type"], "event_key": key, "task_id": task_id, "selected_items": {}}
        asked = self._event("template_card_event", post.place, user, about)
        asked.task_id = task_id
        return asked

    def rates(
        self, post: Post, kind: int = UP, *, user: str = "zhangsan", words: str = "", reasons: tuple[int, ...] = ()
    ) -> Asked:
        """A thumb below an answer: UP, DOWN (with words and reasons 1 to 4) or TAKEN_BACK.

        :raises AssertionError: the answer has no thumbs.
        """
        assert post.feedback and post.finished, "there are no thumbs below it"
        about: Json = {"id": post.feedback, "type": kind}
        if kind == DOWN:
            about |= {"content": words, "inaccurate_reason_list": list(reasons)}
        return self._event("feedback_event", post.place, user, about)

    def happens(self, eventtype: str, about: Json, *, user: str = "zhangsan", chat: str = "") -> Asked:
        """Any event at all."""
        return self._event(eventtype, self._place(user, chat), user, about)

    # -- Groups --

    def dismisses(self, chat: str) -> None:
        """The bot is taken out of the group."""
        self._state.place("group", chat).member = False

    # -- To the bot --

    def _place(self, user: str, chat: str) -> Place:
        return self._state.place("group", chat) if chat else self._state.place("single", user)

    def _media(self, kind: str) -> Json:
        url = f"https://ww-aibot-img.example/{self._state.new_id()}"
        more = {"filename": "报表.xlsx"} if kind == "file" else {}
        return {"url": url, "aeskey": "0123456789abcdef0123456789abcdef0123456789a=", **more}

    def _event(self, eventtype: str, place: Place, user: str, about: Json) -> Asked:
        event = {"eventtype": eventtype, **({eventtype: about} if about else {})}
        body = {"msgid": self._state.new_id("ev"), "msgtype": "event", "event": event}
        return self._ask("aibot_event_callback", eventtype, place, user, body)

    def _ask(self, cmd: str, kind: str, place: Place, user: str, body: Json) -> Asked:
        now = self._state.clock.now()
        head: Json = {"aibotid": self._state.bot_id}
        if kind != "enter_chat":  # which only happens in single chats, and does not say so
            head["chattype"] = place.kind
        if kind != "message":
            head["create_time"] = int(now)
        elif self.response_url:
            head["response_url"] = self.response_url
        if place.kind == "group":
            head["chatid"] = place.id
        full = {**head, "from": {"userid": user}, **body}
        asked = Asked(
            req_id=self._state.new_id("rq"), msgid=str(full["msgid"]), kind=kind, place=place, user=user, at=now,
            body=full,
        )  # fmt: skip
        self._state.asked[asked.req_id] = asked
        if (link := self._links.live) is not None:
            asked.link = link.number
            link.put({"cmd": cmd, "headers": {"req_id": asked.req_id}, "body": full})
        self._state.touch()
        return asked
