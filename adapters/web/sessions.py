"""Calls that listen: what was said in a session, and what is said from now on."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from adapters.web import wire
from adapters.web.calls import EventWriter, Timing, alive, answering, api_headers, limited, read_body, replies_after
from adapters.web.cors import Cors
from adapters.web.parsing import conversation_of, parse_looked, parse_watched
from adapters.web.streams import Delivery, End, Purpose, Stream, Switchboard
from bot.messages import ConversationRef, HistoryEntry, Reply
from bot.ports import Surroundings

_HISTORY_ENTRIES = 60
_MAX_BODY_BYTES = 4096
_CONSISTENT_READS = 3


class SessionRoutes:
    """POST /api/v1/chat/events and /chat/history."""

    def __init__(self, *, surroundings: Surroundings, board: Switchboard, cors: Cors, timing: Timing) -> None:
        self._records = surroundings.records
        self._board = board
        self._cors = cors
        self._timing = timing

    def routes(self) -> Sequence[web.RouteDef]:
        return (
            web.post("/api/v1/chat/events", answering(self._events, self._cors)),
            web.post("/api/v1/chat/history", answering(self._history, self._cors)),
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        watched = parse_watched(await self._body(request))
        # Opened before the store is read: a reply in between is then seen twice rather than never, and told once.
        with self._board.open(watched.session, purpose=Purpose.EVENTS, alive=lambda: alive(request)) as stream:
            missed = await self._replies(conversation_of(watched.session), after=watched.after)
            writer = EventWriter(request, headers=api_headers(request, self._cors), seconds=self._timing.write)
            if await writer.start(wire.OPENED):
                await self._write_events(writer, stream, missed)
            return writer.response

    async def _write_events(self, writer: EventWriter, stream: Stream, missed: tuple[tuple[int, Reply], ...]) -> None:
        for delivery_id, reply in missed:
            if not await writer.write(wire.reply_event(delivery_id, reply)):
                return
        told = {delivery_id for delivery_id, _ in missed}
        while True:
            item = await stream.next(seconds=self._timing.ping)
            match item:
                case Delivery():
                    if item.id in told:
                        continue
                    data = wire.reply_event(item.id, item.reply)
                case End():
                    await writer.write(wire.event("end", {"reason": item.value}))
                    await writer.end()
                    return
                case _:
                    data = wire.PING
            if not await writer.write(data):
                return

    async def _history(self, request: web.Request) -> web.StreamResponse:
        conversation = conversation_of(parse_looked(await self._body(request)).session)
        history, replies = await self._read(conversation)
        return web.json_response(wire.history_json(history, replies), headers=api_headers(request, self._cors))

    async def _read(
        self, conversation: ConversationRef
    ) -> tuple[tuple[HistoryEntry, ...], tuple[tuple[int, Reply], ...]]:
        """History and replies of one moment.

        A reply stored between the two reads would be shown twice or never, so both are read until nothing was said
        in between; after a few tries the newer half wins, and a reload of the page sees all.
        """
        replies = await self._replies(conversation, after=0)
        history: tuple[HistoryEntry, ...] = ()
        for _ in range(_CONSISTENT_READS):
            history = await limited(
                self._records.history(conversation, limit=_HISTORY_ENTRIES), seconds=self._timing.store
            )
            newer = await self._replies(conversation, after=max((id_ for id_, _ in replies), default=0))
            if not newer:
                break
            replies = (*replies, *newer)
        return history, replies

    async def _replies(self, conversation: ConversationRef, *, after: int) -> tuple[tuple[int, Reply], ...]:
        found = replies_after(self._records, conversation, after, seconds=self._timing.store)
        return tuple([delivery async for delivery in found])

    async def _body(self, request: web.Request) -> bytes:
        return await read_body(request, limit=_MAX_BODY_BYTES, seconds=self._timing.body)
