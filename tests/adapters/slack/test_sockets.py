"""Receiving through Socket Mode, against the strict fake: what is acknowledged is stored, and nothing makes us deaf."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from adapters.slack.dispatch import Answer
from adapters.slack.lines import Opener
from adapters.slack.order import InOrder, conversation_of
from adapters.slack.sockets import Sockets
from bot.clock import SystemClock
from bot.ports import Intake
from tests.adapters.slack.house import FAST, House, MemoryIntake, TokenCalls
from tests.fakes.slack_api import TEAM, FakeSlack, Fault


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as made:
        made.feed.schedule = (0.05, 0.1, 0.2)
        yield made


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.fixture
async def house(slack: FakeSlack, intake: MemoryIntake) -> AsyncIterator[House]:
    api = TokenCalls(slack.api_url, slack.bot_token)
    yield House(intake=intake, api=api)
    await api.close()


@pytest.fixture
def sockets(slack: FakeSlack, house: House) -> Sockets:
    return made(slack, house)


def made(slack: FakeSlack, house: House, *, count: int = 2, token: str = "", **about: Any) -> Sockets:
    clock = SystemClock()
    assert isinstance(house.api, TokenCalls)
    opener = Opener(
        transport=house.api.transport,
        token=token or slack.app_token,
        clock=clock,
        sleep=asyncio.sleep,
        timing=FAST,
    )
    options: dict[str, Any] = {"grace": 0.5, "quiet": 900.0} | about
    return Sockets(
        opener=opener,
        dispatcher=options.pop("dispatcher", house.dispatcher),
        count=count,
        clock=clock,
        sleep=asyncio.sleep,
        timing=FAST,
        **options,
    )


@contextlib.asynccontextmanager
async def running(slack: FakeSlack, sockets: Sockets, intake: Intake, count: int = 2) -> AsyncIterator[None]:
    task = asyncio.create_task(sockets.run(intake))
    try:
        await slack.until(lambda: len(slack.sockets.links) == count)
        yield
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)


async def until(condition: Callable[[], object], timeout: float = 5.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_message_is_stored_and_then_acknowledged(
    slack: FakeSlack, sockets: Sockets, intake: MemoryIntake
) -> None:
    async with running(slack, sockets, intake):
        slack.people.says("D5", "密码忘了怎么办", user="U5")
        await until(lambda: intake.texts == ["密码忘了怎么办"])
        await slack.until(lambda: not slack.feed.unacknowledged())
        assert sockets.health().up


async def test_redelivered_three_times_and_with_a_twin_it_is_one_message(
    slack: FakeSlack, sockets: Sockets, intake: MemoryIntake
) -> None:
    async with running(slack, sockets, intake):
        asked = slack.people.mentions("C1", "hello", user="U5")
        await until(lambda: intake.duplicates == 1)
        for event_id in asked["event_ids"]:
            assert all(await slack.feed.again(event_id, 3))
        assert intake.texts == ["hello"]
        assert intake.duplicates == 7


async def test_without_a_commit_there_is_no_acknowledgement(
    slack: FakeSlack, sockets: Sockets, intake: MemoryIntake
) -> None:
    slack.feed.ack_seconds = 0.3
    intake.failures = 2
    async with running(slack, sockets, intake):
        told = slack.people.says("D5", "kept", user="U5")
        await until(lambda: intake.texts == ["kept"])
        await slack.until(lambda: not slack.feed.unacknowledged())
        attempts = slack.feed.deliveries[told["event_ids"][0]].attempts
        assert [one.acknowledged for one in attempts] == [False, False, True]


async def test_a_killed_socket_is_replaced_and_nothing_is_lost(
    slack: FakeSlack, sockets: Sockets, intake: MemoryIntake
) -> None:
    async with running(slack, sockets, intake):
        for round_ in range(3):
            slack.sockets.kill()
            slack.people.says("D5", f"round {round_}", user="U5")
            await slack.until(lambda: len(slack.sockets.links) == 2)
        await until(lambda: sorted(intake.texts) == ["round 0", "round 1", "round 2"])


async def test_a_refresh_opens_the_next_socket_before_the_last_one_closes(
    slack: FakeSlack, house: House, intake: MemoryIntake
) -> None:
    sockets = made(slack, house, count=1)
    async with running(slack, sockets, intake, 1):
        await slack.sockets.disconnect("refresh_requested", close_after=0.6)
        await slack.until(lambda: len(slack.sockets.links) == 2)
        slack.people.says("D5", "in between", user="U5")
        await until(lambda: intake.texts == ["in between"])
        await slack.until(lambda: len(slack.sockets.links) == 1)
        assert slack.sockets.opened == 2
        slack.people.says("D5", "after", user="U5")
        await until(lambda: intake.texts == ["in between", "after"])


async def test_a_silent_socket_is_replaced(slack: FakeSlack, house: House, intake: MemoryIntake) -> None:
    sockets = made(slack, house, count=1)
    async with running(slack, sockets, intake, 1):
        slack.feed.ack_seconds = 0.3
        slack.sockets.silence()
        slack.people.says("D5", "anybody?", user="U5")
        await until(lambda: intake.texts == ["anybody?"])
        assert slack.sockets.opened >= 2


async def test_a_socket_that_only_answers_pings_is_replaced_after_a_while(
    slack: FakeSlack, house: House, intake: MemoryIntake
) -> None:
    sockets = made(slack, house, count=1, quiet=0.3)
    async with running(slack, sockets, intake, 1):
        await slack.until(lambda: slack.sockets.opened >= 2)
        assert sockets.health().up


async def test_a_refused_token_is_standing_trouble_and_is_not_tried_all_the_time(
    slack: FakeSlack, house: House, intake: MemoryIntake
) -> None:
    sockets = made(slack, house, token="xapp-1-another")
    task = asyncio.create_task(sockets.run(intake))
    await until(lambda: "refuses slack.app_token" in sockets.health().detail)
    await asyncio.sleep(0.7)
    tries = len(slack.calls("apps.connections.open"))
    assert 2 <= tries <= 5  # one every 0.2 s, though there are two sockets
    assert not sockets.health().up
    slack.tokens.app(value="xapp-1-another")
    await slack.until(lambda: len(slack.sockets.links) == 2)
    assert sockets.health().up
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


@pytest.mark.parametrize("kind", ["ratelimited", "html", "truncated", "reset", "empty", "shape"])
async def test_whatever_happens_to_the_opening_it_is_tried_again(
    slack: FakeSlack, sockets: Sockets, intake: MemoryIntake, kind: Any
) -> None:
    slack.faults.add(Fault(kind=kind, method="apps.connections.open", times=2, retry_after=0))
    async with running(slack, sockets, intake):
        slack.people.says("D5", "hello", user="U5")
        await until(lambda: intake.texts == ["hello"])


async def test_where_nobody_answers_it_goes_on_and_can_be_cancelled(intake: MemoryIntake) -> None:
    api = TokenCalls("http://127.0.0.1:9/api/", "xoxb-nobody")
    house = House(intake=intake, api=api)
    opener = Opener(transport=api.transport, token="xapp-1", clock=SystemClock(), sleep=asyncio.sleep, timing=FAST)
    sockets = Sockets(
        opener=opener, dispatcher=house.dispatcher, count=3, clock=SystemClock(), sleep=asyncio.sleep, timing=FAST
    )
    task = asyncio.create_task(sockets.run(intake))
    done, _ = await asyncio.wait([task], timeout=0.3)
    assert not done
    assert "can not be reached" in sockets.health().detail
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    await api.close()


@dataclass
class SlowFirst:
    """A dispatcher that takes its time for the first of each conversation."""

    order: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    async def dispatch(self, body: Mapping[str, Any], intake: Intake) -> Answer:
        channel, text = body["event"]["channel"], body["event"]["text"]
        if channel not in self.seen:
            self.seen.add(channel)
            await asyncio.sleep(0.2)
        self.order.append(f"{channel} {text}")
        return Answer()


async def test_a_conversation_stays_in_order_and_others_do_not_wait(
    slack: FakeSlack, house: House, intake: MemoryIntake
) -> None:
    slow = SlowFirst(seen={"D6"})
    sockets = made(slack, house, count=1, dispatcher=slow)
    slack.people.opens_channel("D5")
    async with running(slack, sockets, intake, 1):
        for number in range(5):
            slack.people.says("D5", str(number), user="U5")
        slack.people.says("D6", "other", user="U6")
        await until(lambda: len(slow.order) == 6)
    assert [one for one in slow.order if one.startswith("D5")] == [f"D5 {number}" for number in range(5)]
    assert slow.order[0] == "D6 other"


async def test_no_more_than_so_much_at_once() -> None:
    running_, most = 0, 0

    async def work() -> None:
        nonlocal running_, most
        running_ += 1
        most = max(most, running_)
        await asyncio.sleep(0.01)
        running_ -= 1

    order = InOrder(3)
    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            await order.put(tasks, number, work)
    assert most == 3


def test_any_payload_has_a_place_in_the_order() -> None:
    assert conversation_of({"team_id": "T1", "event": {"channel": "C1"}}) == ("T1", "C1")
    assert conversation_of({"channel": {"id": "C1"}}) == ("", "C1")
    assert conversation_of({"channel_id": "C1", "team_id": 7}) == ("", "C1")
    assert conversation_of({"user": {"id": "U1"}, "channel": None}) == ("", "U1")
    assert conversation_of({"event": [], "channel": []}) == ("", "")


# -- What is shown --


@contextlib.asynccontextmanager
async def errands(house: House) -> AsyncIterator[None]:
    task = asyncio.create_task(house.errands.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_app_home_shows_what_i_can_do_and_my_tickets(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    slack.people.knows("U5", locale="zh-CN")
    async with running(slack, sockets, intake), errands(house):
        slack.people.opens_home("U5")
        await slack.until(lambda: slack.home("U5"))
        shown = str(slack.home("U5"))
        assert "我能帮您做什么" in shown
        assert "TICKET-7K2M9Q4D" in shown
        assert "<!channel>" not in shown
        slack.hands.presses_in_home("U5", "kefu_ticket_details")
        await slack.until(lambda: slack.views("U5"))
        assert "我要退款" in str(slack.views("U5")[-1])
        slack.people.opens_home("U6")
        await slack.until(lambda: slack.home("U6"))
        assert "TICKET" not in str(slack.home("U6"))
        assert intake.messages == []


async def test_a_ticket_from_a_message_is_confirmed_and_opened_in_its_thread(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    slack.people.opens_channel("C1")
    told = slack.people.says("C1", "打印机坏了 &amp; 很急", user="U9")
    async with running(slack, sockets, intake), errands(house):
        slack.hands.uses_shortcut("C1", told["ts"], "kefu_ticket_from_message", user="U5")
        await slack.until(lambda: slack.views("U5"))
        view = slack.views("U5")[-1]
        assert "打印机坏了 & 很急" in str(view)
        slack.hands.submits(view["id"], {"kefu_ticket_text": {"kefu_ticket_words": "打印机坏了，三楼"}})
        await until(lambda: intake.messages)
        [found] = intake.messages
        assert (found.command, found.text, found.sender.id) == ("ticket", "打印机坏了，三楼", "slack:U5")
        assert (found.conversation.channel, found.conversation.thread) == ("C1", told["ts"])


async def test_an_asked_question_is_posted_and_answered_in_its_thread(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    slack.people.opens_channel("C1")
    async with running(slack, sockets, intake):
        asked = slack.hands.commands("C1", "/ask", "年假有几天？ &lt;!channel&gt;", user="U5")
        await until(lambda: intake.messages)
        [found] = intake.messages
        [root] = slack.messages("C1")
        assert (found.text, found.conversation.thread) == ("年假有几天？ <!channel>", root.ts)
        assert "年假有几天？" in root.text
        assert slack.pings("C1") == [] or all("channel" not in str(one) for one in slack.pings("C1"))
        assert all(await slack.feed.again(asked["id"], 2))
        assert len(slack.messages("C1")) == 1
        assert len(intake.messages) == 1


async def test_a_ticket_by_command_is_opened_in_a_thread_that_says_so(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    slack.people.opens_channel("C1")
    slack.people.knows("U5", locale="en-US")
    async with running(slack, sockets, intake):
        slack.hands.commands("C1", "/ticket", "my screen is broken", user="U5")
        await until(lambda: intake.messages)
        [found] = intake.messages
        [root] = slack.messages("C1")
        assert (found.command, found.text, found.conversation.thread) == ("ticket", "my screen is broken", root.ts)
        assert "opens a ticket: my screen is broken" in root.text


async def test_where_the_channel_is_closed_to_us_the_question_goes_to_their_own_messages(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    slack.people.opens_channel("G1", member=False)
    slack.people.knows("U5")
    async with running(slack, sockets, intake):
        slack.hands.commands("G1", "/ask", "how many days?", user="U5")
        await until(lambda: intake.messages)
        [found] = intake.messages
        assert found.conversation.channel.startswith("D")
        assert found.direct
        assert found.conversation.thread


async def test_guests_are_answered_only_where_the_settings_say_so(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    slack.people.knows("U7", about={"is_restricted": True})
    slack.people.knows("U5", name="李娜", locale="zh-CN")
    async with running(slack, sockets, intake):
        slack.people.says(slack.people.opens_dm("U7"), "I am a guest", user="U7")
        slack.people.says(slack.people.opens_dm("U5"), "我是员工", user="U5")
        await slack.until(lambda: not slack.feed.unacknowledged())
        assert intake.texts == ["我是员工"]
        assert intake.messages[0].sender.language == "zh-CN"
        assert intake.messages[0].sender.name
    open_house = House(intake=intake, api=house.api, guests=True)
    async with running(slack, made(slack, open_house), intake):
        slack.people.says(slack.people.opens_dm("U7"), "now you hear me", user="U7")
        await until(lambda: "now you hear me" in intake.texts)


async def test_a_ticket_from_a_message_in_a_closed_channel_goes_to_their_own_messages(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    slack.people.opens_channel("G1", member=False)
    told = slack.people.says("G1", "打印机坏了", user="U9")
    async with running(slack, sockets, intake), errands(house):
        slack.hands.uses_shortcut("G1", told["ts"], "kefu_ticket_from_message", user="U5")
        await slack.until(lambda: slack.views("U5"))
        view = slack.views("U5")[-1]
        slack.hands.submits(view["id"], {"kefu_ticket_text": {"kefu_ticket_words": "打印机坏了"}})
        await until(lambda: intake.messages)
        [found] = intake.messages
        assert found.conversation.channel == slack.people.opens_dm("U5")
        assert found.direct
        [root] = slack.messages(found.conversation.channel)
        assert found.conversation.thread == root.ts


async def test_a_ticket_without_words_is_asked_for_again(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    slack.people.opens_channel("C1")
    told = slack.people.says("C1", "x", user="U9")
    async with running(slack, sockets, intake), errands(house):
        slack.hands.uses_shortcut("C1", told["ts"], "kefu_ticket_from_message", user="U5")
        await slack.until(lambda: slack.views("U5"))
        view = slack.views("U5")[-1]
        sent = slack.hands.submits(view["id"], {"kefu_ticket_text": {"kefu_ticket_words": "  "}})
        await slack.until(lambda: slack.feed.deliveries[sent["id"]].fate)
        assert slack.feed.deliveries[sent["id"]].answer["response_action"] == "errors"
        assert intake.messages == []


async def test_the_page_says_when_tickets_can_not_be_read(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    house.tickets.failures = 1
    slack.people.knows("U5", locale="en-US")
    async with running(slack, sockets, intake), errands(house):
        slack.people.opens_home("U5")
        await slack.until(lambda: slack.home("U5"))
        assert "show your tickets right now" in str(slack.home("U5"))
        slack.faults.add(Fault(kind="error", method="views.publish", error="fatal_error", times=1))
        slack.people.opens_home("U5")
        slack.people.opens_home("U5", tab="messages")
        await slack.until(lambda: slack.calls("assistant.threads.setSuggestedPrompts"))
        assert not [call for call in slack.calls("assistant.threads.setSuggestedPrompts") if call.error]


async def test_workspaces_are_accounts_and_their_end_is_heard(
    slack: FakeSlack, house: House, intake: MemoryIntake
) -> None:
    several = House(intake=intake, api=house.api, many=True)
    async with running(slack, made(slack, several), intake):
        slack.people.says("D5", "hello", user="U5")
        await until(lambda: intake.messages)
        [found] = intake.messages
        assert (found.conversation.account, found.sender.id) == (TEAM, f"slack:{TEAM}/U5")
        slack.people.uninstalls()
        await until(lambda: several.gone)
        assert several.gone[0][0].account == TEAM


async def test_where_strangers_read_along_nobody_is_answered_aloud(
    slack: FakeSlack, sockets: Sockets, house: House, intake: MemoryIntake
) -> None:
    slack.people.opens_channel("C1", shared_with=["T9"])
    slack.people.knows("U5", locale="en-US")
    async with running(slack, sockets, intake), errands(house):
        slack.people.mentions("C1", "what do we pay?", user="U5")
        await slack.until(lambda: slack.ephemeral("C1", "U5"))
        assert intake.messages == []
        assert slack.messages("C1") == []
        slack.hands.commands("C1", "/ask", "what do we pay?", user="U5")
        await until(lambda: intake.messages)
        assert intake.messages[0].direct
        assert len(slack.calls("chat.postEphemeral")) == 1, "a mention is two events, and one message"
    loud = House(intake=intake, api=house.api, shared_channels=True)
    async with running(slack, made(slack, loud), intake):
        slack.people.mentions("C1", "the address?", user="U5")
        await until(lambda: "the address?" in intake.texts)


async def test_in_a_storm_every_message_arrives_once(slack: FakeSlack, sockets: Sockets, intake: MemoryIntake) -> None:
    """Sockets die, the database locks, Slack repeats itself."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    slack.feed.schedule = (0.1,) * 40
    slack.feed.ack_seconds = 0.4
    wanted: list[str] = []
    kills = 0
    async with running(slack, sockets, intake):
        for number in range(120):
            channel = f"D{chance.randrange(5)}"
            wanted.append(f"{channel} {number}")
            told = slack.people.says(channel, wanted[-1], user=f"U{channel[1]}")
            if chance.random() < 0.1:
                slack.sockets.kill(chance.choice(list(slack.sockets.links) or [0]))
                kills += 1
            if chance.random() < 0.1:
                await slack.sockets.disconnect(chance.choice(("warning", "refresh_requested")), close_after=0.2)
            intake.failures += chance.random() < 0.1
            if chance.random() < 0.1:
                await slack.feed.again(told["event_ids"][0])
            await asyncio.sleep(0.01)
        await slack.until(lambda: not slack.feed.unacknowledged(), timeout=30)
    assert kills
    assert sorted(intake.texts) == sorted(wanted)
