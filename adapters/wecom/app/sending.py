"""What the app says to colleagues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.wecom import cards, failures
from adapters.wecom.app.parsing import user_id
from adapters.wecom.app.replies import Forms, words_only
from adapters.wecom.app.settings import SECTION
from adapters.wecom.app.twins import INTERVAL, Twins
from adapters.wecom.client import Client
from adapters.wecom.pacing import Pacer
from adapters.wecom.timing import Timing
from adapters.wecom.wire import NoAnswer, Refused, WeComError
from bot.errors import DestinationGone, SendError, Undeliverable
from bot.messages import ConversationRef, Reply
from bot.telemetry import get_logger

METHOD = "message/send"

log = get_logger(__name__)


class Sender:
    """Sends messages. Raises what `bot.errors` sorts and nothing else."""

    def __init__(self, *, client: Client, agent_id: int, pacer: Pacer, twins: Twins, timing: Timing) -> None:
        self._client = client
        self._agent_id = agent_id
        self._pacer = pacer
        self._twins = twins
        self._timing = timing

    def take_slot(self, conversation: ConversationRef) -> bool:
        """As `bot.ports.Channel.take_slot`: what is over a member's rate WeCom drops without a word."""
        return self._pacer.take(_key(conversation))

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        """As `bot.ports.Channel.wait_for_slot`."""
        await self._pacer.wait(_key(conversation))

    async def send(self, conversation: ConversationRef, forms: Forms, *, delivery_id: int, reply: Reply) -> str:
        """As `bot.ports.Channel.send`: the form that shows most, and a lesser one where WeCom refuses it."""
        user = user_id(conversation.channel)
        if not user:
            raise DestinationGone("this names no single user of WeCom's")
        try:
            for form in _ladder(forms):
                checked = await self._twins.may_check(conversation, form, delivery_id=delivery_id, reply=reply)
                try:
                    return await self._sent(user, self._body(form, delivery_id, reply), checked=checked)
                except Refused as refused:
                    if form.kind == "text" or not isinstance(failures.as_send_error(refused), Undeliverable):
                        raise
                    log.warning("wecom_app.form_refused", form=form.kind, reason=str(refused))
        except WeComError as error:
            raise self._as_send_error(error) from None
        raise AssertionError("the last rung of the ladder raises")

    def _body(self, form: Forms, delivery_id: int, reply: Reply) -> Mapping[str, Any]:
        if form.kind != "card":
            return {"msgtype": form.kind, form.kind: {"content": form.content}}
        number = reply.ticket.number if reply.ticket is not None else ""
        # Rows are numbered anew in a new database; a ticket's number and a turn's are not.
        name = cards.task_id(delivery_id, reply.turn_id, number)
        return {"msgtype": "template_card", "template_card": cards.card_for(reply, task_id=name)}

    async def _sent(self, user: str, body: Mapping[str, Any], *, checked: bool) -> str:
        check = {"enable_duplicate_check": 1, "duplicate_check_interval": INTERVAL} if checked else {}
        answer = await self._client.post(METHOD, {"touser": user, "agentid": self._agent_id, **body, **check})
        # Success, says errcode, and yet nobody has got it.
        for name in ("invaliduser", "unlicenseduser"):
            if answer.get(name):
                raise DestinationGone(f"WeCom does not deliver to this user ({name})")
        msgid = answer.get("msgid")
        if not isinstance(msgid, str) or not msgid:
            raise NoAnswer(METHOD, "an answer without a message's id")
        return msgid

    def _as_send_error(self, error: WeComError) -> SendError:
        if isinstance(error, Refused) and error.errcode == failures.TOO_OFTEN:
            self._pacer.park_all(self._timing.frequency_pause)
        return failures.as_send_error(error, self._timing, section=SECTION)


def _key(conversation: ConversationRef) -> str:
    """One member, however an operator writes the id: the rate is theirs."""
    return user_id(conversation.channel) or conversation.channel


def _ladder(forms: Forms) -> Iterator[Forms]:
    """As it is, and in mere words."""
    yield forms
    if forms.kind != "text":
        yield words_only(forms.plain)
