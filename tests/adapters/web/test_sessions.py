"""POST /api/v1/chat/events and /chat/history: coming back and finding everything once."""

from __future__ import annotations

import asyncio

from bot.messages import Author, ReplyAction, Source
from tests.adapters.web.doubles import (
    OTHER_SESSION,
    SESSION,
    CoreDouble,
    Scene,
    Site,
    all_events,
    answer,
    conversation,
    next_event,
    read_events,
)

AGENT = answer("I have sent a new one.", author=Author.AGENT, agent="Wang Fang")


async def test_an_agents_later_answer_reaches_the_open_page(site: Site) -> None:
    async with site.post("/api/v1/chat/events", {"session": SESSION, "after": 0}) as response:
        events = read_events(response)
        await next_event(events, ":")
        await site.core.reply(conversation(), AGENT)
        event = await next_event(events, "reply")

    assert (event.data["author"], event.data["agent"]) == ("agent", "Wang Fang")
    assert event.id == "1"


async def test_replies_missed_while_away_come_first_and_once(site: Site) -> None:
    for number in range(1, 4):
        await site.core.reply(conversation(), answer(f"Reply {number}"))

    async with site.post("/api/v1/chat/events", {"session": SESSION, "after": 1}) as response:
        events = read_events(response)
        seen = [await next_event(events, "reply") for _ in range(2)]
        await site.core.reply(conversation(), answer("Reply 4"))
        seen.append(await next_event(events, "reply"))

    assert [event.data["response"] for event in seen] == ["Reply 2", "Reply 3", "Reply 4"]


async def test_a_reply_that_is_sent_while_the_store_is_read_is_told_once(site: Site) -> None:
    """It is both in what the store returns and handed to the open stream."""

    class SendsMeanwhile(CoreDouble):
        async def replies(self, *args, **options):  # type: ignore[no-untyped-def]
            if not self._deliveries:
                await self.reply(conversation(), answer("In between"))
            return await super().replies(*args, **options)

    site.core.__class__ = SendsMeanwhile
    async with site.post("/api/v1/chat/events", {"session": SESSION}) as response:
        events = read_events(response)
        first = await next_event(events, "reply")
        await site.core.reply(conversation(), answer("Afterwards"))
        second = await next_event(events, "reply")

    assert [first.data["response"], second.data["response"]] == ["In between", "Afterwards"]


async def test_a_long_dialogue_comes_back_whole(site: Site) -> None:
    """The store gives replies in pages of 20."""
    for number in range(1, 64):
        await site.core.reply(conversation(), answer(f"Reply {number}"))

    async with site.post("/api/v1/chat/events", {"session": SESSION, "after": 3}) as response:
        events = read_events(response)
        seen = [(await next_event(events, "reply")).data["id"] for _ in range(60)]
    async with site.post("/api/v1/chat/history", {"session": SESSION}) as response:
        history = await response.json()

    assert seen == list(range(4, 64))
    assert history["last"] == 63
    assert [entry["reply"]["id"] for entry in history["entries"]] == list(range(4, 64))


async def test_when_receiving_ends_events_end_and_a_waiting_answer_still_comes(site: Site) -> None:
    receiving = asyncio.create_task(site.channel.run(site.core))
    await asyncio.sleep(0)
    async with site.post("/api/v1/chat/events", {"session": SESSION}) as tab, site.chat() as asked:
        receiving.cancel()
        assert [event.data for event in await all_events(tab)] == [{"reason": "closing"}]
        async with site.chat("One more") as late:
            assert late.status == 503
        await site.core.reply(conversation(), answer(answers=(1,)))
        assert (await all_events(asked))[-1].data["response"] == "At checkout."


async def test_two_tabs_of_one_session_both_hear_every_reply(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=answer(f"Re: {message.text}"), pause=0.05)
    watch = {"session": SESSION, "after": 0}
    async with (
        site.post("/api/v1/chat/events", watch) as left,
        site.post("/api/v1/chat/events", watch) as right,
        site.chat("from the left tab") as asked,
    ):
        replies = [await next_event(read_events(one), "reply") for one in (left, right, asked)]

    assert [reply.data["response"] for reply in replies] == ["Re: from the left tab"] * 3
    assert len({reply.data["id"] for reply in replies}) == 1


async def test_a_fifth_tab_takes_the_place_of_the_oldest(site: Site) -> None:
    watch = {"session": SESSION, "after": 0}
    tabs = [await site.post("/api/v1/chat/events", watch) for _ in range(5)]

    last_words = await all_events(tabs[0])
    await site.core.reply(conversation(), AGENT)
    heard = [await next_event(read_events(tab), "reply") for tab in tabs[1:]]

    assert [(event.name, event.data) for event in last_words] == [("end", {"reason": "superseded"})]
    assert len(heard) == 4
    for tab in tabs:
        tab.close()


async def test_a_question_finds_room_beside_four_tabs(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=answer())
    tabs = [await site.post("/api/v1/chat/events", {"session": SESSION}) for _ in range(4)]

    async with site.chat() as response:
        assert (await all_events(response))[-1].data["response"] == "At checkout."

    for tab in tabs:
        tab.close()


async def test_events_of_a_store_that_is_down_are_503(site: Site) -> None:
    site.core.down = True
    async with site.post("/api/v1/chat/events", {"session": SESSION}) as response:
        assert response.status == 503
        assert "Retry-After" in response.headers


async def test_a_reloaded_page_gets_the_dialogue_with_sources_and_buttons(site: Site) -> None:
    source = Source(id="faq.csv#1", title="Paying")
    reply = answer(sources=(source,), actions=(ReplyAction.FEEDBACK,))
    site.core.script = lambda message: Scene(reply=reply)
    async with site.chat("Where do I pay?") as response:
        await all_events(response)
    await site.core.reply(conversation(), AGENT)

    async with site.post("/api/v1/chat/history", {"session": SESSION}) as response:
        history = await response.json()

    assert [(entry["author"], entry["text"]) for entry in history["entries"]] == [
        ("customer", "Where do I pay?"),
        ("bot", "At checkout."),
        ("agent", "I have sent a new one."),
    ]
    bot, agent = (entry["reply"] for entry in history["entries"][1:])
    assert (bot["id"], bot["turn"], bot["sources"][0]["title"]) == (1, "turn-1", "Paying")
    assert agent["agent"] == "Wang Fang"
    assert history["last"] == 2


async def test_the_same_words_twice_are_two_replies(site: Site) -> None:
    for _ in range(2):
        await site.core.reply(conversation(), answer("Hello."))

    async with site.post("/api/v1/chat/history", {"session": SESSION}) as response:
        history = await response.json()

    assert [entry["reply"]["id"] for entry in history["entries"]] == [1, 2]


async def test_nothing_from_before_a_reset_comes_back(site: Site) -> None:
    await site.core.reply(conversation(), answer("Old."))
    site.core.forget(conversation())

    async with site.post("/api/v1/chat/history", {"session": SESSION}) as response:
        history = await response.json()

    assert history == {"entries": [], "last": 1}


async def test_a_reply_during_the_reload_is_neither_lost_nor_doubled(site: Site) -> None:
    """Said after the replies were read and before the history was: both halves must know it."""

    class SaysMeanwhile(CoreDouble):
        async def history(self, *args, **options):  # type: ignore[no-untyped-def]
            if not self._deliveries:
                self.store(conversation(), answer("Just now."))
            return await super().history(*args, **options)

    site.core.__class__ = SaysMeanwhile
    async with site.post("/api/v1/chat/history", {"session": SESSION}) as response:
        history = await response.json()

    assert [entry["reply"]["id"] for entry in history["entries"]] == [1]
    assert history["last"] == 1


async def test_a_session_sees_no_other_ones_history(site: Site) -> None:
    await site.core.reply(conversation(OTHER_SESSION), answer("Private."))

    async with site.post("/api/v1/chat/history", {"session": SESSION}) as response:
        assert await response.json() == {"entries": [], "last": 0}


async def test_a_tab_that_stops_reading_is_dropped_and_hears_all_when_it_returns(quick_site: Site) -> None:
    stuck = await quick_site.post("/api/v1/chat/events", {"session": SESSION})
    for number in range(100):
        await quick_site.core.reply(conversation(), answer(f"{number} " + "x" * 500_000))
    async with asyncio.timeout(10):
        while quick_site.channel.health().detail != "0 open streams":
            await asyncio.sleep(0.02)
    stuck.close()

    async with quick_site.post("/api/v1/chat/events", {"session": SESSION, "after": 97}) as response:
        events = read_events(response)
        replies = [await next_event(events, "reply") for _ in range(3)]

    assert [reply.data["id"] for reply in replies] == [98, 99, 100]
