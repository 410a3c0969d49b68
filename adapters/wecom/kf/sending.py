"""Saying something to a customer: within what WeCom allows, once however often it is tried, then passing them on."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from datetime import datetime

from adapters.wecom.client import Client
from adapters.wecom.failures import as_send_error
from adapters.wecom.kf.holding import Holding
from adapters.wecom.kf.replies import Words
from adapters.wecom.kf.settings import SECTION
from adapters.wecom.kf.timing import Timing
from adapters.wecom.kf.windows import LIFE, Shut, Taken, Windows
from adapters.wecom.wire import NoAnswer, Refused, WeComError
from bot.errors import DestinationGone, NotSent, SendError, StoreUnavailable, Undeliverable
from bot.messages import Author, ConversationRef, Outcome, Reply
from bot.ports import Clock
from bot.telemetry import get_logger

METHOD = "kf/send_msg"
_FULL, _LATE = 95001, 95002
_NO_SESSION = frozenset({95013, 95018})
"""The session has ended, or is in a state in which we may not speak."""
_NOBODY = frozenset({40096, 95000, 95004})
"""No such customer; the account was deleted."""
_NO_MENU = frozenset({40008, 95008, 95009, 45002})
"""What may be about the menu and not about the words."""
_SOONEST, _LATEST = 15.0, 900.0
_REMEMBERED = 1000

log = get_logger(__name__)


class Sender:
    """Everything that goes out but welcomes. Raises what `bot.errors` sorts and nothing else."""

    def __init__(self, *, client: Client, windows: Windows, holding: Holding, clock: Clock, timing: Timing) -> None:
        self._client = client
        self._windows = windows
        self._holding = holding
        self._clock = clock
        self._timing = timing
        self._arrived: OrderedDict[str, None] = OrderedDict()

    async def send(self, conversation: ConversationRef, words: Words, *, delivery_id: int, reply: Reply) -> str:
        """As `bot.ports.Channel.send`. The name of the message is made of the delivery's, so repeating is harmless."""
        try:
            taken = await self._place(conversation, words, delivery_id, reply)
            hands_over = words.last and _asks_for_a_person(reply)
            if hands_over and taken.held and await self._is_with_others(conversation):
                return taken.name  # an earlier attempt came to its end, and only we did not
            if taken.name not in self._arrived:
                await self._say(conversation, words, taken, reply)
                self._remember(taken.name)
            if hands_over:
                await self._hand_over(conversation)
        except WeComError as error:
            raise as_send_error(error, self._timing) from None
        except StoreUnavailable:
            # Before the message left; or after it, and then saying it again changes nothing.
            raise NotSent("the database can not be written now") from None
        return taken.name

    async def _place(self, conversation: ConversationRef, words: Words, delivery_id: int, reply: Reply) -> Taken:
        for _ in range(2):
            found = await self._windows.take(
                conversation, delivery_id=delivery_id, number=words.number, text=words.text
            )
            if isinstance(found, Taken):
                return found
            if found.why != "held":
                raise self._refusal(found, reply)
            if await self._is_with_others(conversation):
                raise Undeliverable(_HELD)
        raise NotSent("who has the customer changes just now", retry_after=_SOONEST)

    async def _is_with_others(self, conversation: ConversationRef) -> bool:
        """As WeCom says now; it is remembered."""
        holder = await self._holding.ask(conversation)
        await self._windows.hold(conversation, holder)
        return holder != "bot"

    async def _say(self, conversation: ConversationRef, words: Words, taken: Taken, reply: Reply) -> None:
        body = {"touser": conversation.thread, "open_kfid": conversation.channel, "msgid": taken.name}
        try:
            try:
                await self._client.post(METHOD, body | dict(words.body()))
            except Refused as refused:
                if not words.menu or refused.errcode not in _NO_MENU:
                    raise
                log.warning("wecom.menu_refused", channel=SECTION, reason=str(refused))
                await self._client.post(METHOD, body | dict(words.without_menu().body()))
        except NoAnswer:
            raise  # the place stays taken: it may have arrived
        except WeComError as error:
            if taken.again and isinstance(error, Refused) and _may_mean_known(error):
                log.info("wecom.already_there", channel=SECTION, reason=str(error))
                return
            raise await self._after_refusal(conversation, taken, error, reply) from None

    async def _after_refusal(
        self, conversation: ConversationRef, taken: Taken, error: WeComError, reply: Reply
    ) -> Exception:
        """What to raise for a message that surely did not leave."""
        code = error.errcode if isinstance(error, Refused) else 0
        if code == _FULL:
            await self._windows.fill(conversation, taken.name)
            known = (await self._windows.find([conversation])).get(conversation)
            return self._out_of_messages(known.heard_at if known is not None else None, reply)
        with contextlib.suppress(StoreUnavailable):
            await self._windows.give_back(conversation, taken.name)
        if code == _LATE:
            return Undeliverable(_TOO_LATE)
        if code in _NOBODY:
            return DestinationGone(f"WeCom knows no such customer or account ({error})")
        if code in _NO_SESSION:
            return Undeliverable(_HELD if await self._is_with_others(conversation) else _ENDED)
        return error

    def _refusal(self, shut: Shut, reply: Reply) -> SendError:
        if shut.why == "late":
            return Undeliverable(_TOO_LATE)
        return self._out_of_messages(shut.window.heard_at, reply)

    def _out_of_messages(self, heard_at: datetime | None, reply: Reply) -> SendError:
        """What the bot has to say waits for the customer's next message, and is asked for the less often the longer it
        waits. An agent is to know at once that the words did not arrive."""
        if reply.author is not Author.BOT or heard_at is None:
            return Undeliverable(_SPENT)
        waited = self._clock.now() - heard_at
        if waited > LIFE:
            return Undeliverable(_TOO_LATE)
        pause = min(max(waited.total_seconds() / 4, _SOONEST), _LATEST)
        return NotSent(f"{_SPENT}; it goes out when they write again", retry_after=pause)

    async def _hand_over(self, conversation: ConversationRef) -> None:
        if not self._holding.hands_over:
            return
        # Before it is true as well: from then on WeCom is asked of every message, and none that is said to a colleague
        # is taken for ours in the moment between the two.
        await self._windows.hold(conversation, "queue")
        holder = await self._holding.hand_over(conversation)
        await self._windows.hold(conversation, holder)
        if holder != "bot":
            log.info("wecom.handed_over", channel=SECTION, to=holder)

    def _remember(self, name: str) -> None:
        """Should passing the customer on fail, only that is done again."""
        self._arrived[name] = None
        if len(self._arrived) > _REMEMBERED:
            self._arrived.popitem(last=False)


_HELD = "a colleague has this customer in WeCom, so the bot keeps silent: answer there"
_ENDED = "the session has ended: WeCom lets nobody write to the customer until they write again"
_TOO_LATE = "the customer last wrote more than 48 hours ago: WeCom lets nobody write to them until they write again"
_SPENT = "WeCom takes five messages after a customer's, and they have been sent"


def _asks_for_a_person(reply: Reply) -> bool:
    """The reply that opens a ticket for somebody who wants a person; not the one that says that somebody is there."""
    return reply.outcome is Outcome.HANDOFF and reply.author is Author.BOT and reply.ticket is not None


def _may_mean_known(refused: Refused) -> bool:
    """WeCom refuses a message whose name it knows, and does not document with which code. What it refused for another
    reason the first time was not left standing as perhaps sent, so of a repeated one this is what is left: all codes
    that say nothing about customer, window, session, rate, or ourselves."""
    if not refused.errcode or refused.errcode in {_FULL, _LATE, *_NO_SESSION, *_NOBODY}:
        return False
    return isinstance(as_send_error(refused), Undeliverable)
