"""From an accepted message to a delivered reply, through the real core on a real SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from bot.clock import SystemClock
from bot.history import outbox as outbox_rows
from bot.history.store import Store
from bot.history.tables import metadata
from bot.history.turns import load_history
from bot.messages import (
    BotSaid,
    ConversationRef,
    CustomerSaid,
    Feedback,
    IncomingMessage,
    MessageKind,
    ReceiptStatus,
    Sender,
    TicketState,
)
from bot.turns.limits import QueueLimits
from tests.core.house import NO_LIMITS, House, copy_database, new_database, open_house
from tests.fakes.channel import MemoryChannel
from tests.fakes.dialogue import ScriptedDialogue

PLACE = ConversationRef(platform="memory", account="", channel="7")
LIN = Sender(id="memory:lin", name="小林")
WU = Sender(id="memory:wu", name="小吴")
CLOCK = SystemClock()


def said(
    words: str, number: int, *, by: Sender = LIN, place: ConversationRef = PLACE, **more: object
) -> IncomingMessage:
    message = IncomingMessage(
        keys=(f"m{number}",),
        conversation=place,
        sender=by,
        text=words,
        sent_at=CLOCK.now(),
        sequence=number,
        message_id=str(number),
    )
    return replace(message, **more)  # type: ignore[arg-type]


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def house(
    tmp_path: Path, channel: MemoryChannel, dialogue: ScriptedDialogue | None = None, *, limits: QueueLimits = NO_LIMITS
) -> AsyncIterator[House]:
    path = tmp_path / "kefu.db"
    if not path.exists():
        new_database(tmp_path)
    async with open_house(path, [channel], dialogue or ScriptedDialogue(), clock=CLOCK, limits=limits) as opened:
        yield opened


async def sentences(opened: House, person: Sender = LIN) -> list[str]:
    entries = await opened.database.read(lambda c: load_history(c, 1, person.id, after=0, limit=100))
    return [entry.text for entry in entries if isinstance(entry, CustomerSaid | BotSaid)]


async def test_a_message_is_answered_whose_platform_gave_up_waiting_for_the_commit(tmp_path: Path) -> None:
    """It was committed all the same, so what is delivered again is a duplicate that begins nothing."""
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        busy = asyncio.create_task(opened.database.write(lambda connection: time.sleep(0.3)))
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await opened.inbox.accept([said("T1", 1)])
        [again] = await opened.inbox.accept([said("T1", 1)])
        await busy
        assert again.status is ReceiptStatus.DUPLICATE
        await until(lambda: channel.texts(PLACE) == ["T1 完"])


async def test_a_question_is_answered_once_and_remembered(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        [receipt] = await opened.inbox.accept([said("T1 你好", 1)])
        assert receipt.status is ReceiptStatus.ACCEPTED
        await until(lambda: channel.texts(PLACE))
        assert channel.texts(PLACE) == ["T1 完"]
        assert await sentences(opened) == ["T1 你好", "T1 完"]


async def test_the_dialogue_is_told_of_a_message_that_will_be_answered_while_it_is_stored(tmp_path: Path) -> None:
    dialogue = ScriptedDialogue()
    async with house(tmp_path, MemoryChannel(), dialogue, limits=replace(NO_LIMITS, user_per_minute=2)) as opened:
        accepted = asyncio.create_task(opened.inbox.accept([said(f"T{n}", n) for n in range(1, 5)]))
        await asyncio.sleep(0)
        assert not accepted.done()
        assert [message.text for message in dialogue.expected] == ["T1", "T2"], "what is shed costs nothing"
        await accepted


async def test_redelivery_is_answered_once_in_parallel_later_and_after_a_restart(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        receipts = await asyncio.gather(*(opened.inbox.accept([said("T1", 1)]) for _ in range(4)))
        assert sorted(r.status for [r] in receipts) == ["accepted", *["duplicate"] * 3]
        assert len({r.inbound_id for [r] in receipts}) == 1
        await until(lambda: channel.texts(PLACE))
        [again] = await opened.inbox.accept([said("T1", 1)])
        assert again.status is ReceiptStatus.DUPLICATE
    async with house(tmp_path, channel) as opened:
        [again] = await opened.inbox.accept([said("T1", 1)])
        assert again.status is ReceiptStatus.DUPLICATE
        await asyncio.sleep(0.2)
    assert channel.texts(PLACE) == ["T1 完"]


async def test_twin_events_with_one_common_key_are_one_message(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        first = said("T1", 1, keys=("event:a", "post:1"), message_id="")
        second = said("T1", 1, keys=("event:b", "post:1"), message_id="")
        third = said("T1", 1, keys=("event:b",), message_id="")
        statuses = [(await opened.inbox.accept([m]))[0].status for m in (first, second, third)]
        assert statuses == ["accepted", "duplicate", "duplicate"]


async def test_the_cursor_moves_with_the_messages_and_without_any(tmp_path: Path) -> None:
    async with house(tmp_path, MemoryChannel()) as opened:
        assert await opened.inbox.cursor("memory", "") is None
        await opened.inbox.accept([said("T1", 1)], cursor=("memory", "", "11"))
        assert await opened.inbox.cursor("memory", "") == "11"
        await opened.inbox.accept([], cursor=("memory", "", "12"))
        assert await opened.inbox.cursor("memory", "") == "12"


async def test_messages_that_pile_up_are_answered_together_in_the_platforms_order(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    async with house(tmp_path, channel, dialogue) as opened:
        await opened.inbox.accept([said("T1 slow 0.4", 1)])
        await until(lambda: dialogue.seen)
        for number in (4, 2, 3):
            await opened.inbox.accept([said(f"T{number}", number)])
        await until(lambda: len(channel.texts(PLACE)) == 2)
        assert channel.texts(PLACE) == ["T1 完", "T2 T3 T4 完"]
        assert await sentences(opened) == ["T1 slow 0.4", "T1 完", "T2", "T3", "T4", "T2 T3 T4 完"]


async def test_two_people_in_one_group_are_answered_apart_and_never_see_the_others_history(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    async with house(tmp_path, channel, dialogue) as opened:
        await opened.inbox.accept([said("T1 slow 0.2", 1, direct=False)])
        await opened.inbox.accept([said("T2 我的卡号", 2, by=WU, direct=False), said("T3", 3, direct=False)])
        await until(lambda: len(channel.texts(PLACE)) == 3)
        assert channel.texts(PLACE) == ["T1 完", "T2 完", "T3 完"]
        for turn in dialogue.seen:
            words = " ".join(entry.text for entry in turn.history if isinstance(entry, CustomerSaid | BotSaid))
            assert ("T2" in words) <= (turn.sender.id == WU.id)
        assert "T1" in str(dialogue.seen[-1].history)


async def test_a_command_is_a_turn_of_its_own(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    async with house(tmp_path, channel, dialogue) as opened:
        command = said("", 2, kind=MessageKind.COMMAND, command="help")
        await opened.inbox.accept([said("T1", 1), command, said("T3", 3)])
        await until(lambda: len(channel.texts(PLACE)) == 3)
        assert [[m.kind for m in turn.messages] for turn in dialogue.seen] == [["text"], ["command"], ["text"]]


async def test_an_edit_before_the_answer_replaces_the_question(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    async with house(tmp_path, channel, dialogue) as opened:
        await opened.inbox.accept([said("T1 slow 5", 1)])
        await until(lambda: dialogue.seen)
        edit = said("T2", 1, keys=("edit",), kind=MessageKind.EDIT)
        [receipt] = await opened.inbox.accept([edit])
        assert receipt.status is ReceiptStatus.EDITED
        await until(lambda: channel.texts(PLACE))
        assert channel.texts(PLACE) == ["T2 完"]
        assert await sentences(opened) == ["T2", "T2 完"]
        assert dialogue.cancelled == 1


async def test_an_edit_after_the_answer_corrects_history_only(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1", 1)])
        await until(lambda: channel.texts(PLACE))
        await opened.inbox.accept([said("T2", 1, keys=("edit",), kind=MessageKind.EDIT)])
        await asyncio.sleep(0.2)
        assert channel.texts(PLACE) == ["T1 完"]
        assert await sentences(opened) == ["T2", "T1 完"]


async def test_an_edit_that_overtakes_its_message_stands_for_it(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T2", 1, keys=("edit",), kind=MessageKind.EDIT)])
        [late] = await opened.inbox.accept([said("T1", 1)])
        assert late.status is ReceiptStatus.DUPLICATE
        await until(lambda: channel.texts(PLACE))
        assert channel.texts(PLACE) == ["T2 完"]


@pytest.mark.parametrize("old", [pytest.param(True, id="old"), pytest.param(False, id="in a group")])
async def test_an_edit_of_a_message_that_was_not_for_us_is_not_answered(tmp_path: Path, old: bool) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        edit = said("T1", 1, kind=MessageKind.EDIT, direct=old)
        if old:
            edit = replace(edit, sent_at=CLOCK.now() - timedelta(hours=1))
        [receipt] = await opened.inbox.accept([edit])
        assert receipt.status is ReceiptStatus.DONE
        await asyncio.sleep(0.1)
        assert channel.texts(PLACE) == []


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(said("", 2, kind=MessageKind.STOP), id="button"),
        pytest.param(said("", 2, kind=MessageKind.COMMAND, command="stop"), id="command"),
        pytest.param(said("停！", 2), id="word"),
    ],
)
async def test_stop_ends_the_running_answer(tmp_path: Path, stop: IncomingMessage) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    async with house(tmp_path, channel, dialogue) as opened:
        await opened.inbox.accept([said("T1 hang", 1)])
        await until(lambda: dialogue.seen)
        await opened.inbox.accept([stop])
        await until(lambda: channel.texts(PLACE))
        assert channel.texts(PLACE) == ["已停止 T1 完"]
        await opened.inbox.accept([said("T3", 3)])
        await until(lambda: len(channel.texts(PLACE)) == 2)


async def test_the_word_stop_is_a_message_when_nothing_runs(tmp_path: Path) -> None:
    dialogue = ScriptedDialogue()
    async with house(tmp_path, MemoryChannel(), dialogue) as opened:
        await opened.inbox.accept([said("停", 1)])
        await until(lambda: dialogue.seen)


async def test_over_the_rate_a_person_is_told_once_and_others_are_answered(tmp_path: Path) -> None:
    channel = MemoryChannel()
    limits = replace(NO_LIMITS, user_per_minute=3)
    elsewhere = replace(PLACE, channel="8")
    async with house(tmp_path, channel, limits=limits) as opened:
        receipts = [(await opened.inbox.accept([said(f"T{n}", n)]))[0].status for n in range(1, 9)]
        assert receipts == ["accepted"] * 3 + ["shed"] * 5
        await opened.inbox.accept([said("T9", 9, by=WU, place=elsewhere)])
        await until(lambda: channel.texts(elsewhere))
        await until(lambda: "请稍候" in channel.texts(PLACE))
        await asyncio.sleep(0.2)
        assert channel.texts(PLACE).count("请稍候") == 1
        assert {"T4", "T8"} <= set(await sentences(opened)), "what was not answered has been said all the same"


async def test_a_second_copy_does_not_count_towards_the_rate(tmp_path: Path) -> None:
    async with house(tmp_path, MemoryChannel(), limits=replace(NO_LIMITS, user_per_minute=2)) as opened:
        for _ in range(5):
            await opened.inbox.accept([said("T1", 1)])
        [receipt] = await opened.inbox.accept([said("T2", 2)])
        assert receipt.status is ReceiptStatus.ACCEPTED


async def test_a_full_queue_sheds_and_recovers(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    async with house(tmp_path, channel, dialogue, limits=replace(NO_LIMITS, queue_per_conversation=2)) as opened:
        await opened.inbox.accept([said("T1 slow 0.3", 1)])
        await until(lambda: dialogue.seen)
        statuses = [(await opened.inbox.accept([said(f"T{n}", n)]))[0].status for n in range(2, 6)]
        assert statuses == ["accepted", "accepted", "shed", "shed"]
        await until(lambda: "T2 T3 完" in channel.texts(PLACE))
        [receipt] = await opened.inbox.accept([said("T6", 6)])
        assert receipt.status is ReceiptStatus.ACCEPTED
        assert opened.lanes.total_waiting <= 1


async def test_a_message_that_fails_three_times_is_parked_and_the_next_is_answered(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1 fail", 1)])
        await asyncio.sleep(0.1)
        await opened.inbox.accept([said("T2", 2)])
        await until(lambda: len(channel.texts(PLACE)) == 2, 8)
        assert channel.texts(PLACE) == ["抱歉 T1 完", "T2 完"]
        [ticket] = await opened.desk.list()
        assert ticket.requester == LIN.id


async def test_a_turn_opens_its_ticket_once_however_often_it_runs(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1 ticket late-engine 2", 1)])
        await until(lambda: channel.texts(PLACE), 8)
        assert len(await opened.desk.list()) == 1


async def test_replies_that_wait_for_the_platform_keep_their_order_and_arrive_once(tmp_path: Path) -> None:
    channel = MemoryChannel()
    channel.mishaps.append("refused")
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1", 1)])
        await until(lambda: channel.sends == 1)
        await opened.inbox.accept([said("T2", 2)])
        await until(lambda: len(channel.texts(PLACE)) == 2)
        assert channel.texts(PLACE) == ["T1 完", "T2 完"]


@pytest.mark.parametrize(
    ("mishaps", "copies", "state"),
    [
        pytest.param(["lost", None], 1, "sent", id="lost before it arrived"),
        pytest.param(["lost after", None], 2, "sent", id="arrived, the answer was lost"),
        pytest.param(["lost", "lost"], 0, "unknown", id="lost twice"),
        pytest.param(["lost after", "lost after"], 2, "unknown", id="arrived twice, both answers lost"),
        pytest.param(["gone"], 0, "failed", id="blocked"),
        pytest.param(["undeliverable"], 0, "failed", id="refused for good"),
        pytest.param(["defect", None], 1, "sent", id="a defect of the adapter"),
    ],
)
async def test_a_plain_send_is_repeated_once_at_most_and_never_lost_in_silence(
    tmp_path: Path, mishaps: list[str | None], copies: int, state: str
) -> None:
    channel = MemoryChannel()
    channel.mishaps.extend(mishaps)  # type: ignore[arg-type]
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1", 1)])
        await until(lambda: not channel.mishaps)
        await _until_state(opened, state)
        assert channel.copies(1) == copies
        stuck = await opened.database.read(lambda c: outbox_rows.stuck(c, 10))
        assert [s.state for s in stuck] == ([state] if state != "sent" else [])


async def _until_state(opened: House, state: str) -> None:
    def current(connection: Connection) -> str | None:
        return connection.execute(text("SELECT state FROM deliveries WHERE id = 1")).scalar()

    async with asyncio.timeout(6):
        while await opened.database.read(current) != state:
            await asyncio.sleep(0.02)


async def test_an_operator_may_send_a_stuck_reply_again(tmp_path: Path) -> None:
    channel = MemoryChannel()
    channel.mishaps.append("undeliverable")
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1", 1)])
        await _until_state(opened, "failed")
        done = await opened.database.write(lambda c: outbox_rows.settle(c, 1, again=True, now=CLOCK.now()))
        assert done
        await until(lambda: channel.texts(PLACE))
        await _until_state(opened, "sent")


async def test_into_a_placeholder_a_reply_may_be_written_again_and_again(tmp_path: Path) -> None:
    channel = MemoryChannel(placeholders=lambda _: True, show_interval=0.05)
    channel.mishaps.extend(["lost after", "lost after"])
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1", 1)])
        await _until_state_or(opened, "sent", 12)
        assert channel.texts(PLACE) == ["T1 完"]


async def _until_state_or(opened: House, state: str, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = await opened.database.read(
                lambda c: c.execute(text("SELECT state FROM deliveries WHERE id = 1")).scalar()
            )
            if found == state:
                return
            await asyncio.sleep(0.05)


async def test_a_crash_at_any_moment_is_taken_up(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    before, after = tmp_path / "a", tmp_path / "b"
    before.mkdir()
    after.mkdir()
    async with house(before, channel, dialogue) as opened:
        await opened.inbox.accept([said("T1 slow 1", 1), said("T2", 2, place=replace(PLACE, channel="8"))])
        await until(lambda: dialogue.seen)
        copy_database(before / "kefu.db", after)
        channel.dead = True
    second = MemoryChannel()
    async with house(after, second, ScriptedDialogue()):
        await until(lambda: second.texts(PLACE), 8)
        assert second.texts(PLACE) == ["T1 完"]


async def test_an_agents_reply_reaches_the_customer_and_the_agent_keeps_the_conversation(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    async with house(tmp_path, channel, dialogue) as opened:
        await opened.inbox.accept([said("T1 ticket", 1)])
        await until(lambda: channel.texts(PLACE))
        [ticket] = await opened.desk.list()
        await opened.desk.reply(ticket.number, "请把照片发给我", agent="小张")
        await until(lambda: len(channel.texts(PLACE)) == 2)
        assert channel.texts(PLACE)[-1] == "请把照片发给我"
        await opened.inbox.accept([said("T2", 2)])
        await until(lambda: len(dialogue.seen) == 2)
        assert dialogue.seen[-1].state.held_by == ticket.number
        await opened.desk.update(ticket.number, state=None, assignee="小张", by="小张")
        _, events = await opened.desk.get(ticket.number)
        assert [event.kind for event in events] == ["opened", "agent", "assigned"]


async def test_another_persons_ticket_looks_like_none(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1 ticket", 1)])
        await until(lambda: channel.texts(PLACE))
        [ticket] = await opened.desk.list()
        assert await opened.desk.find(ticket.number, requester=LIN.id) == ticket
        assert await opened.desk.find(ticket.number, requester=WU.id) is None
        assert await opened.desk.find("TICKET-NOTTHERE", requester=LIN.id) is None


async def test_a_turn_closes_the_ticket_of_its_own_person_and_no_other(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1 ticket", 1)])
        await until(lambda: channel.texts(PLACE))
        [ticket] = await opened.desk.list()
        await opened.inbox.accept([said(f"close {ticket.number}", 2, by=WU)])
        await until(lambda: len(channel.texts(PLACE)) == 2)
        assert (await opened.desk.get(ticket.number))[0].state is TicketState.OPEN
        await opened.inbox.accept([said(f"close {ticket.number}", 3)])
        await until(lambda: len(channel.texts(PLACE)) == 3)
        closed, events = await opened.desk.get(ticket.number)
        assert closed.state is TicketState.CLOSED and events[-1].author == LIN.id


async def test_a_channel_without_an_account_serves_every_account_also_after_a_crash(tmp_path: Path) -> None:
    first = MemoryChannel()
    one, two = replace(PLACE, account="T-ONE"), replace(PLACE, account="T-TWO")
    (after := tmp_path / "after").mkdir()
    async with house(tmp_path, first) as opened:
        await opened.inbox.accept([said("T1", 1, place=one), said("T2", 1, place=two, keys=("m2",))])
        await until(lambda: first.texts(one) and first.texts(two))
        store = Store(opened.database, CLOCK)
        assert [await store.engaged(place) for place in (one, two, PLACE)] == [True, True, False]
        await opened.inbox.accept([said("T3 hang", 3, place=two)])
        await asyncio.sleep(0.1)
        copy_database(tmp_path / "kefu.db", after)
    second, dialogue = MemoryChannel(), ScriptedDialogue()
    async with house(after, second, dialogue):
        await until(lambda: dialogue.seen)
        assert dialogue.seen[0].conversation == two


async def test_a_turn_knows_its_persons_newest_open_ticket(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()

    async def open_ticket_at(opened: House, number: int, words: str, by: Sender = LIN) -> str:
        await opened.inbox.accept([said(words, number, by=by)])
        await until(lambda: len(channel.texts(PLACE)) == number)
        return dialogue.seen[-1].open_ticket

    async with house(tmp_path, channel, dialogue) as opened:
        assert await open_ticket_at(opened, 1, "T1 ticket") == ""
        assert await open_ticket_at(opened, 2, "T2", by=WU) == ""
        [older] = await opened.desk.list()
        assert await open_ticket_at(opened, 3, "T3 ticket") == older.number
        newer, _ = await opened.desk.list()
        assert await open_ticket_at(opened, 4, "T4") == newer.number
        await opened.desk.update(newer.number, state=TicketState.CLOSED, assignee=None, by="小张")
        assert await open_ticket_at(opened, 5, "T5") == older.number


async def test_feedback_is_kept_once_a_person_and_only_from_the_answers_own_conversation(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    async with house(tmp_path, channel, dialogue) as opened:
        await opened.inbox.accept([said("T1", 1)])
        await until(lambda: channel.texts(PLACE))
        turn = dialogue.seen[0].id
        elsewhere = replace(PLACE, channel="8")
        for number, (rating, place) in enumerate([("up", PLACE), ("down", PLACE), ("up", elsewhere)]):
            feedback = Feedback(turn_id=turn, rating=rating)  # type: ignore[arg-type]
            judged = said("", 10 + number, kind=MessageKind.FEEDBACK, place=place, feedback=feedback)
            [receipt] = await opened.inbox.accept([judged])
            assert receipt.status is ReceiptStatus.DONE
        ratings = await opened.database.read(lambda c: list(c.execute(text("SELECT rating FROM feedback")).scalars()))
        assert ratings == ["down"]


async def test_a_blocked_conversation_is_left_alone_until_the_person_writes_again(tmp_path: Path) -> None:
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        await opened.inbox.accept([said("T1 ticket", 1)])
        await until(lambda: channel.texts(PLACE))
        await opened.inbox.accept([said("", 2, kind=MessageKind.GONE)])
        [ticket] = await opened.desk.list()
        await opened.desk.reply(ticket.number, "您好", agent="小张")
        await asyncio.sleep(0.3)
        assert len(channel.texts(PLACE)) == 1
        await opened.inbox.accept([said("T3", 3)])
        await until(lambda: len(channel.texts(PLACE)) == 2)


async def test_a_group_that_moved_keeps_its_history_under_its_new_name(tmp_path: Path) -> None:
    channel, dialogue = MemoryChannel(), ScriptedDialogue()
    moved = replace(PLACE, channel="-100")
    async with house(tmp_path, channel, dialogue) as opened:
        await opened.inbox.accept([said("T1", 1)])
        await until(lambda: channel.texts(PLACE))
        await opened.inbox.accept([said("-100", 2, kind=MessageKind.MOVED)])
        await opened.inbox.accept([said("T3", 3, place=moved)])
        await until(lambda: channel.texts(moved))
        assert "T1" in str(dialogue.seen[-1].history)


async def test_tokens_of_a_day_are_capped_and_the_cap_survives_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path, MemoryChannel()) as opened:
        await opened.inbox.accept([said("T1", 1)])
        await asyncio.sleep(0.2)

        def spend(connection: Connection) -> None:
            connection.execute(text("UPDATE turns SET tokens = 1000"))

        await opened.database.write(spend)
    channel = MemoryChannel()
    async with house(tmp_path, channel) as opened:
        opened.runner._limits = replace(opened.runner._limits, tokens_per_day=1000)
        await opened.inbox.accept([said("T2", 2)])
        await until(lambda: channel.texts(PLACE))
        assert channel.texts(PLACE) == ["明天 T2 完"]


def test_every_table_is_reached_from_a_person() -> None:
    through_another = {"conversations", "inbound_keys", "cursors", "ticket_events", "growing_answers"}
    of_nobody = {"installed_bots", "installations", "oauth_states", "leases"}  # nothing that anybody said
    by_name = {"reply_windows"}  # a row may be there before the person's own, so no foreign key
    assert all("person" in metadata.tables[name].columns for name in by_name)
    owners = {table.name: {key.column.table.name for key in table.foreign_keys} for table in metadata.tables.values()}
    assert {name for name, owner in owners.items() if "people" in owner} | through_another | by_name | {"people"} == (
        set(owners) - of_nobody
    )
