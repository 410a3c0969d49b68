"""Calls that say something: a message, a pressed button, Stop. Each is stored before it is acknowledged."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

from aiohttp import web

from adapters.web import wire
from adapters.web.calls import EventWriter, Timing, alive, answering, api_headers, limited, read_body, replies_after
from adapters.web.cors import MESSAGE_HEADER, Cors
from adapters.web.parsing import (
    Looked,
    Pressed,
    Refused,
    Said,
    browser_language,
    largest_body,
    message_of,
    parse_looked,
    parse_pressed,
    parse_said,
)
from adapters.web.phrases import STILL_WORKING, TAKEN, WITH_AGENT, language_of
from adapters.web.streams import Delivery, End, Purpose, Silence, Snapshot, Stream, Switchboard
from bot.messages import IncomingMessage, Language, Outcome, Receipt, ReceiptStatus
from bot.ports import Intake, Surroundings

_RETRY_SHED_SECONDS = 60
"""The busy sentence is said once a minute at most, so a minute is when asking again makes sense."""


class AnswerRoutes:
    """POST /api/v1/chat, /chat/action and /chat/stop."""

    def __init__(
        self,
        *,
        intake: Intake,
        surroundings: Surroundings,
        board: Switchboard,
        cors: Cors,
        collections: tuple[str, ...],
        timing: Timing,
    ) -> None:
        self._intake = intake
        self._surroundings = surroundings
        self._board = board
        self._cors = cors
        self._collections = collections
        self._timing = timing
        self._largest_body = largest_body(
            max_message_chars=surroundings.max_message_chars, max_body_bytes=surroundings.max_body_bytes
        )

    def routes(self) -> Sequence[web.RouteDef]:
        return (
            web.post("/api/v1/chat", answering(self._chat, self._cors)),
            web.post("/api/v1/chat/action", answering(self._action, self._cors)),
            web.post("/api/v1/chat/stop", answering(self._stop, self._cors)),
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        said = parse_said(await self._body(request), max_chars=self._surroundings.max_message_chars)
        return await self._answer(request, said)

    async def _action(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, parse_pressed(await self._body(request)))

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        looked = parse_looked(await self._body(request))
        await self._accept(self._message(request, looked))
        return web.json_response({"stopped": True}, headers=api_headers(request, self._cors))

    async def _answer(self, request: web.Request, said: Said | Pressed) -> web.StreamResponse:
        message = self._message(request, said)
        # Opened before the message is stored, so that no reply can come and go in between.
        with self._board.open(said.session, purpose=Purpose.ANSWER, alive=lambda: alive(request)) as stream:
            receipt = await self._accept(message)
            await self._attach(stream, receipt, message)
            headers = api_headers(request, self._cors)
            if receipt.inbound_id is not None:
                headers[MESSAGE_HEADER] = str(receipt.inbound_id)
            writer = EventWriter(request, headers=headers, seconds=self._timing.write)
            if await writer.start(wire.OPENED):
                await self._write_answer(writer, stream, message)
            return writer.response

    async def _attach(self, stream: Stream, receipt: Receipt, message: IncomingMessage) -> None:
        """Makes the stream wait for this message's reply.

        :raises Refused: 429 when the message was over a limit and the sentence about it has been said already.
        """
        if receipt.inbound_id is not None:
            stream.bind(receipt.inbound_id)
        if receipt.status is ReceiptStatus.SHED:
            if not await stream.arrives(seconds=self._timing.shed):
                raise Refused(429, "busy", "Too many messages; try again later.", retry_after=_RETRY_SHED_SECONDS)
        elif receipt.status is ReceiptStatus.DONE or receipt.inbound_id is None:
            stream.take()
        elif receipt.status is ReceiptStatus.DUPLICATE:
            await self._recall(stream, receipt.inbound_id, message)

    async def _recall(self, stream: Stream, inbound_id: int, message: IncomingMessage) -> None:
        """Hands the stream the reply that the first copy of its message already has, if it has one."""
        records, seconds = self._surroundings.records, self._timing.store
        async for delivery_id, reply in replies_after(records, message.conversation, 0, seconds=seconds):
            if inbound_id in reply.answers:
                stream.deliver(Delivery(id=delivery_id, reply=reply))
                return

    async def _write_answer(self, writer: EventWriter, stream: Stream, message: IncomingMessage) -> None:
        """Snapshots and pings, then one reply, whatever happens."""
        now = asyncio.get_running_loop().time
        language = language_of(message.text, message.sender.language)
        sign_of_life, shown = now(), ""
        while True:
            item = await stream.next(seconds=self._timing.ping)
            if isinstance(item, Snapshot):
                sign_of_life = now()
                # The core shows the same again as a sign of life; the client has it.
                if item.text in ("", shown):
                    continue
                shown = item.text
                if not await writer.write(wire.delta(item.text, item.turn_id)):
                    return
            elif item is None and now() - sign_of_life < self._timing.quiet:
                if not await writer.write(wire.PING):
                    return
            else:
                if await writer.write(_last_words(item, language)):
                    await writer.end()
                return

    async def _accept(self, message: IncomingMessage) -> Receipt:
        (receipt,) = await limited(self._intake.accept([message]), seconds=self._timing.store)
        return receipt

    async def _body(self, request: web.Request) -> bytes:
        return await read_body(request, limit=self._largest_body, seconds=self._timing.body)

    def _message(self, request: web.Request, said: Said | Pressed | Looked) -> IncomingMessage:
        return message_of(
            said,
            name=uuid.uuid4().hex,
            at=self._surroundings.clock.now(),
            language=browser_language(request.headers.get("Accept-Language", "")),
            collections=self._collections,
        )


def _last_words(item: Delivery | Silence | End | None, language: Language) -> bytes:
    """What ends the stream of one message; None stands for a turn that gave no sign for too long."""
    match item:
        case Delivery():
            return wire.reply_event(item.id, item.reply)
        case Silence(taken=True):
            return wire.pending_event(TAKEN[language], language, Outcome.CHAT)
        case Silence():
            return wire.pending_event(WITH_AGENT[language], language, Outcome.HANDOFF)
        case End():
            # No reply: the client asks again with the same id and is attached to the same message.
            return wire.event("end", {"reason": item.value})
        case None:
            return wire.pending_event(STILL_WORKING[language], language, Outcome.ERROR)
