"""Clients that leave, read slowly, stop reading or open too much: the core never waits for any of them."""

from __future__ import annotations

import asyncio
import itertools

from tests.adapters.web.doubles import SESSION, Site, all_events, answer, conversation


async def test_a_client_that_leaves_is_forgotten_and_its_reply_kept(quick_site: Site) -> None:
    response = await quick_site.chat(id="m-1")
    await quick_site.core.wait_for_messages(1)
    response.close()
    async with asyncio.timeout(5):
        while quick_site.channel.health().detail != "0 open streams":
            await asyncio.sleep(0.02)

    await quick_site.core.reply(conversation(), answer(answers=(1,)))
    async with quick_site.chat(id="m-1") as again:
        assert (await all_events(again))[-1].data["response"] == "At checkout."


async def test_a_client_that_reads_slowly_never_holds_up_the_core(site: Site) -> None:
    """Each snapshot is larger than every buffer on the way; the reader sees few of them, and the reply."""
    async with site.chat() as response:
        async with asyncio.timeout(2):
            for size in range(1, 41):
                await site.core.show(conversation(), "x" * (size * 10_000))
                await asyncio.sleep(0)
            await site.core.reply(conversation(), answer(answers=(1,)))
        events = await all_events(response)

    assert events[-1].data["response"] == "At checkout."
    assert len(events) < 40


async def test_a_client_that_stops_reading_is_disconnected(quick_site: Site) -> None:
    reader, writer = await asyncio.open_connection(quick_site.server.host, quick_site.server.port, limit=1024)
    body = f'{{"session":"{SESSION}","text":"hi"}}'.encode()
    writer.write(
        b"POST /api/v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await quick_site.core.wait_for_messages(1)
    async with asyncio.timeout(10):
        grown = itertools.count()  # each snapshot is another: one alone may just fit into the kernel's buffers
        while quick_site.channel.health().detail != "0 open streams":
            await quick_site.core.show(conversation(), f"{next(grown)} {'x' * 4_000_000}")
            await asyncio.sleep(0.05)
    writer.close()
    reader.feed_eof()


async def test_a_session_holds_four_streams_and_no_more(site: Site) -> None:
    held = [await site.chat(f"Question {number}") for number in range(4)]

    async with site.chat("One too many") as response:
        body = await response.json()

    assert response.status == 503
    assert int(response.headers["Retry-After"]) > 0
    assert body["error"]["code"] == "too_many_streams"
    assert len(site.core.messages) == 4
    for response in held:
        response.close()


async def test_streams_of_clients_that_left_make_room_at_once(site: Site) -> None:
    for number in range(12):
        response = await site.chat(f"Question {number}")
        response.close()
        await asyncio.sleep(0.01)

    async with site.chat("And now?") as response:
        assert response.status == 200
        response.close()


async def test_after_close_streams_end_and_new_ones_are_refused(site: Site) -> None:
    async with site.chat() as response:
        await site.channel.close()
        assert [event.name for event in await all_events(response)] == ["end"]
    async with site.chat() as refused:
        assert refused.status == 503
    assert not site.channel.health().up
