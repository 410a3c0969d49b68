"""POST /api/v1/chat and its siblings, over HTTP: what is streamed, to whom, and what happens when things go wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.web.parsing import browser_language
from bot.messages import (
    MessageKind,
    Outcome,
    ReceiptStatus,
    ReplyAction,
    Source,
)
from tests.adapters.web.doubles import (
    OTHER_SESSION,
    SESSION,
    Scene,
    Site,
    all_events,
    answer,
    conversation,
    next_event,
    read_events,
    ticket,
)


async def _reply_of(response: Any) -> dict[str, Any]:
    events = await all_events(response)
    assert [event.name for event in events if event.name == "reply"] == ["reply"]
    assert events[-1].name == "reply"
    data: dict[str, Any] = events[-1].data
    return data


async def test_an_answer_grows_in_snapshots_and_ends_with_one_reply(site: Site) -> None:
    site.core.script = lambda message: Scene(snapshots=("At", "At check"), reply=answer(), pause=0.02)

    async with site.chat() as response:
        assert response.status == 200
        events = await all_events(response)

    assert [(event.name, event.data.get("text")) for event in events] == [
        ("delta", "At"),
        ("delta", "At check"),
        ("reply", None),
    ]
    assert events[-1].data["response"] == "At checkout."
    assert events[-1].id == str(events[-1].data["id"]) == "1"


async def test_the_reply_has_every_field_of_the_contract(site: Site) -> None:
    source = Source(id="faq.csv#12", title="付款", url="https://help.example.com/pay", score=0.87654)
    reply = answer(
        "在结算页付款。",
        language="zh",
        confidence=0.91239,
        sources=(source,),
        ticket=ticket(),
        actions=(ReplyAction.FEEDBACK, ReplyAction.TALK_TO_PERSON),
    )
    site.core.script = lambda message: Scene(reply=reply)

    async with site.chat("在哪里付款？") as response:
        data = await _reply_of(response)

    assert data == {
        "response": "在结算页付款。",
        "confidence": 0.9124,
        "outcome": "answered",
        "sources": [
            {"id": "faq.csv#12", "title": "付款", "url": "https://help.example.com/pay", "score": 0.8765},
        ],
        "ticket": "TICKET-7K2M9Q4D",
        "ticket_details": {
            "number": "TICKET-7K2M9Q4D",
            "subject": "The parcel did not arrive",
            "state": "open",
            "created_at": "2026-11-22T12:00:00+00:00",
            "updated_at": "2026-11-22T12:00:00+00:00",
            "due_at": "2026-11-23T12:00:00+00:00",
        },
        "id": 1,
        "turn": "turn-1",
        "language": "zh",
        "actions": ["feedback", "person"],
        "author": "bot",
        "agent": "",
        "answers": [1],
    }


async def test_the_core_is_given_the_message_as_this_session_said_it(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=answer())

    async with site.chat("第一行\r\n第二行\0", id="m-1", language="zh-CN") as response:
        await all_events(response)

    (message,) = site.core.messages.values()
    assert message.conversation == conversation()
    assert message.sender.id == f"web:{SESSION}"
    assert (message.text, message.kind, message.sender.language) == ("第一行\n第二行", MessageKind.TEXT, "zh-CN")
    assert message.collections == ("default",)
    assert SESSION not in "".join(message.keys)


@pytest.mark.parametrize(
    ("text", "command", "rest"),
    [
        pytest.param("/reset", "reset", "", id="bare"),
        pytest.param("  /Ticket  my parcel\nis late ", "ticket", "my parcel\nis late", id="with-words"),
        pytest.param("/help", "help", "", id="help"),
    ],
)
async def test_a_command_is_recognised(site: Site, text: str, command: str, rest: str) -> None:
    site.core.script = lambda message: Scene(reply=answer())

    async with site.chat(text) as response:
        await all_events(response)

    (message,) = site.core.messages.values()
    assert (message.kind, message.command, message.text) == (MessageKind.COMMAND, command, rest)


@pytest.mark.parametrize("text", ["/etc/hosts is what?", "/tickets", "see /help"])
async def test_words_that_only_look_like_a_command_are_a_question(site: Site, text: str) -> None:
    site.core.script = lambda message: Scene(reply=answer())

    async with site.chat(text) as response:
        await all_events(response)

    (message,) = site.core.messages.values()
    assert (message.kind, message.text) == (MessageKind.TEXT, text)


async def test_a_half_surrogate_becomes_a_replacement_character(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=answer())
    body = b'{"session":"' + SESSION.encode() + b'","text":"a\\ud800b"}'

    async with site.client.post(
        site.server.make_url("/api/v1/chat"), data=body, headers={"Content-Type": "application/json"}
    ) as response:
        await all_events(response)

    assert site.core.messages[1].text == "a\ufffdb"


async def test_a_repeated_message_joins_the_first_one_while_it_is_being_answered(site: Site) -> None:
    async with site.chat(id="m-1") as first, site.chat(id="m-1") as second:
        await site.core.show(conversation(), "At ch")
        deltas = [await next_event(read_events(one), "delta") for one in (first, second)]
        await site.core.reply(conversation(), answer(answers=(1,)))
        replies = [await _reply_of(one) for one in (first, second)]

    assert len(site.core.messages) == 1
    assert [delta.data["text"] for delta in deltas] == ["At ch", "At ch"]
    assert [reply["id"] for reply in replies] == [1, 1]


async def test_a_repeated_message_gets_the_stored_reply(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=answer())
    async with site.chat(id="m-1") as response:
        first = await _reply_of(response)

    async with site.chat(id="m-1") as response:
        again = await _reply_of(response)

    assert again == first
    assert len(site.core.messages) == 1


async def test_the_stored_reply_is_found_however_much_was_said_since(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=answer("The first."))
    async with site.chat(id="m-1") as response:
        await _reply_of(response)
    for number in range(50):
        await site.core.reply(conversation(), answer(f"Later {number}"))
    site.core.script = lambda message: None

    async with site.chat(id="m-1") as response:
        assert (await _reply_of(response))["response"] == "The first."


async def test_a_snapshot_shown_again_is_not_sent_again(site: Site) -> None:
    async with site.chat() as response:
        events = read_events(response)
        for text in ("At", "At", "", "At", "At the"):
            await site.core.show(conversation(), text)
            await asyncio.sleep(0.02)
        await site.core.reply(conversation(), answer(answers=(1,)))
        heard = [(event.name, event.data.get("text")) async for event in events if event.name != ":"]

    assert heard == [("delta", "At"), ("delta", "At the"), ("reply", None)]


async def test_a_message_that_needs_no_answer_is_noted(site: Site) -> None:
    """As the word "stop" while an answer grows."""
    site.core.next_status = ReceiptStatus.DONE

    async with site.chat("停止") as response:
        reply = await _reply_of(response)

    assert (reply["outcome"], reply["pending"], reply["response"]) == ("chat", True, "收到。")


async def test_the_same_client_id_in_two_sessions_is_two_messages(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=answer(f"for {message.sender.id}"))

    for session in (SESSION, OTHER_SESSION):
        async with site.chat(id="m-1", session=session) as response:
            assert (await _reply_of(response))["response"] == f"for web:{session}"


async def test_several_messages_are_resolved_by_the_one_reply_that_answers_them(site: Site) -> None:
    async with site.chat("One") as first, site.chat("Two") as second, site.chat("Three") as third:
        await site.core.reply(conversation(), answer("One and two.", answers=(1, 2)))
        replies = [await _reply_of(first), await _reply_of(second)]
        await site.core.reply(conversation(), answer("Three.", answers=(3,)))
        replies.append(await _reply_of(third))

    assert [reply["response"] for reply in replies] == ["One and two.", "One and two.", "Three."]


async def test_a_growing_answer_is_shown_to_the_message_it_answers(site: Site) -> None:
    async with site.chat("One") as first, site.chat("Two") as second:
        await site.core.show(conversation(), "Answer to one")
        delta = await next_event(read_events(first), "delta")
        await site.core.reply(conversation(), answer("Answer to one.", answers=(1,)))
        await all_events(first)
        await site.core.show(conversation(), "Answer to two")
        await site.core.reply(conversation(), answer("Answer to two.", answers=(2,)))
        events = await all_events(second)

    assert delta.data["text"] == "Answer to one"
    assert [event.data.get("text", event.data.get("response")) for event in events] in (
        ["Answer to two."],
        ["Answer to two", "Answer to two."],
    )


async def test_a_session_hears_nothing_of_another(site: Site) -> None:
    async with site.chat(session=SESSION) as mine, site.chat(session=OTHER_SESSION) as theirs:
        await site.core.show(conversation(OTHER_SESSION), "secret")
        await site.core.reply(conversation(OTHER_SESSION), answer("Their secret.", answers=(2,)))
        assert (await _reply_of(theirs))["response"] == "Their secret."
        await site.core.reply(conversation(), answer("Mine.", answers=(1,)))
        assert [event.data.get("response") for event in await all_events(mine)] == ["Mine."]


async def test_an_idle_stream_is_kept_open_with_comments(quick_site: Site) -> None:
    async with quick_site.chat() as response:
        events = read_events(response)
        pings = [await next_event(events, ":") for _ in range(4)]
        await quick_site.core.reply(conversation(), answer(answers=(1,)))
        reply = await next_event(events, "reply")

    assert [ping.data for ping in pings] == [": open", ": ping", ": ping", ": ping"]
    assert reply.data["response"] == "At checkout."


async def test_a_message_that_an_agent_has_is_not_waited_for(site: Site) -> None:
    site.core.script = lambda message: Scene(reply=None)

    async with site.chat("请问有人吗？") as response:
        reply = await _reply_of(response)

    assert (reply["outcome"], reply["pending"], reply["id"]) == ("handoff", True, None)
    assert "客服" in reply["response"]


async def test_a_turn_without_a_sign_of_life_ends_the_wait_and_the_reply_still_arrives(quick_site: Site) -> None:
    async with quick_site.chat("Hello?", id="m-1") as response:
        first = await _reply_of(response)
    async with quick_site.chat("Hello?", id="m-1") as response:
        await quick_site.core.reply(conversation(), answer("Here I am.", answers=(1,)))
        second = await _reply_of(response)

    assert (first["outcome"], first["pending"]) == ("error", True)
    assert second["response"] == "Here I am."


async def test_signs_of_life_keep_a_slow_turn_waiting(quick_site: Site) -> None:
    async with quick_site.chat() as response:
        for _ in range(6):
            await asyncio.sleep(0.1)
            await quick_site.core.show(conversation(), "")
        await quick_site.core.reply(conversation(), answer("Slow but sure.", answers=(1,)))
        reply = await _reply_of(response)

    assert reply["response"] == "Slow but sure."


async def test_over_a_limit_the_busy_sentence_is_the_reply(site: Site) -> None:
    site.core.next_status = ReceiptStatus.SHED
    busy = answer("We are busy.", outcome=Outcome.ERROR, answers=(1,))

    async def say_it() -> None:
        await site.core.wait_for_messages(1)
        await site.core.reply(conversation(), busy)

    async with asyncio.TaskGroup() as group:
        group.create_task(say_it())
        async with site.chat() as response:
            assert response.status == 200
            reply = await _reply_of(response)

    assert (reply["outcome"], reply["response"]) == ("error", "We are busy.")


async def test_over_a_limit_without_a_sentence_is_429(quick_site: Site) -> None:
    quick_site.core.next_status = ReceiptStatus.SHED

    async with quick_site.chat() as response:
        body = await response.json()

    assert response.status == 429
    assert int(response.headers["Retry-After"]) == 60
    assert body["error"]["code"] == "busy"


@pytest.mark.parametrize("state", ["down", "hanging"])
async def test_a_store_that_keeps_nothing_is_503(quick_site: Site, state: str) -> None:
    setattr(quick_site.core, state, True)

    async with quick_site.chat() as response:
        body = await response.json()

    assert response.status == 503
    assert int(response.headers["Retry-After"]) > 0
    assert body["error"]["code"] == "store_unavailable"


@pytest.mark.parametrize("action", ["person", "ticket"])
async def test_a_pressed_button_is_answered_like_a_message(site: Site, action: str) -> None:
    site.core.script = lambda message: Scene(reply=answer("Done.", outcome=Outcome.TICKET, ticket=ticket()))

    async with site.post(
        "/api/v1/chat/action", {"session": SESSION, "action": action, "value": "turn-9", "id": "a-1"}
    ) as response:
        reply = await _reply_of(response)

    (message,) = site.core.messages.values()
    assert (message.kind, message.command, message.text) == (MessageKind.ACTION, action, "turn-9")
    assert reply["ticket"] == "TICKET-7K2M9Q4D"


async def test_stop_reaches_the_core_at_once(site: Site) -> None:
    async with site.chat() as response:
        async with site.post("/api/v1/chat/stop", {"session": SESSION}) as stopped:
            assert await stopped.json() == {"stopped": True}
        assert site.core.stopped.is_set()
        await site.core.reply(conversation(), answer("At", answers=(1,)))
        assert (await _reply_of(response))["response"] == "At"


def test_a_browsers_language_is_the_first_tag_it_names() -> None:
    assert browser_language("zh-Hans-CN,zh;q=0.9,en;q=0.8") == "zh-Hans-CN"
    assert browser_language("*") == browser_language("") == browser_language("\x00;q=1") == ""
