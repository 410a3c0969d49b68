"""The one connection that WeCom allows a bot: lost, deaf, taken, shared between processes, taken up after a kill."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

from adapters.wecom.bot.phrases import LATE
from bot.clock import SystemClock
from bot.history import outbox
from bot.history.database import Database
from bot.telemetry import Metrics
from tests.adapters.wecom.bot.house import FAST, Bench, LongDialogue, all_sent, until
from tests.core.house import address, open_house
from tests.fakes.intake import MemoryIntake
from tests.fakes.wecom_aibot import Asked, FakeAiBot, Fault


async def test_a_lost_connection_is_made_anew(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running() as run:
        for number in range(3):
            aibot.links.kill()
            await until(lambda: aibot.links.live is None)
            await until(lambda: aibot.links.live is not None and run.channel.health().detail == "")
            aibot.people.says(f"T{number}")
            await until(lambda: aibot.texts("zhangsan")[-1:] == [f"T{number} 完"])  # noqa: B023
    assert aibot.violations == []


async def test_while_wecom_is_away_it_is_asked_with_growing_pauses(bench: Bench, aibot: FakeAiBot) -> None:
    aibot.links.refusing = True
    timing = dataclasses.replace(FAST, first_pause=0.05, longest_pause=0.4)
    async with bench.running(timing, connected=False) as run:
        await asyncio.sleep(0.8)
        health = run.channel.health()
        assert not health.up
        assert "HTTP 503" in health.detail
        aibot.links.refusing = False
        await until(lambda: aibot.links.live)
        aibot.people.says("T1")
        await until(lambda: aibot.texts("zhangsan"))


async def test_a_connection_that_has_gone_deaf_is_noticed_and_replaced(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        aibot.links.silence()
        await until(lambda: aibot.links.subscribed == 2, seconds=5.0)
        aibot.people.says("T1")
        await until(lambda: aibot.texts("zhangsan"))


async def test_pings_keep_a_quiet_connection(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        await until(lambda: aibot.links.live is None or aibot.links.live.pings >= 5)
        assert aibot.links.opened == 1
        assert aibot.links.live is not None
    assert aibot.violations == []


async def test_whoever_takes_our_place_keeps_it_and_operators_are_told(bench: Bench, aibot: FakeAiBot) -> None:
    for ends_kicked in (True, False):
        aibot.links.ends_kicked = ends_kicked
        opened = aibot.links.opened
        async with bench.running() as run:
            aibot.links.steal()
            await until(lambda: not run.channel.health().up)
            await asyncio.sleep(5 * FAST.longest_pause)
            assert aibot.links.opened == opened + 1
            assert "another connection of this bot has taken our place" in run.channel.health().detail


async def test_after_a_long_pause_the_place_is_taken_back(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running(dataclasses.replace(FAST, kicked_pause=0.5)) as run:
        aibot.links.steal()
        await until(lambda: not run.channel.health().up)
        await until(lambda: aibot.links.live)


async def test_a_wrong_secret_is_not_asked_with_again_and_again_and_works_once_it_is_right(
    bench: Bench, aibot: FakeAiBot
) -> None:
    right, aibot.state.secret = aibot.state.secret, "another-secret-altogether"
    async with bench.running(dataclasses.replace(FAST, refused_pause=0.6), connected=False) as run:
        await until(lambda: "853000" in run.channel.health().detail)
        await asyncio.sleep(0.9)
        assert aibot.links.opened <= 3
        assert right not in run.channel.health().detail
        aibot.state.secret = right
        await until(lambda: run.channel.health().up)


async def test_a_forgotten_subscription_is_made_anew(bench: Bench, aibot: FakeAiBot) -> None:
    async with bench.running():
        asked = aibot.people.says("T1 slow 1")
        await until(lambda: aibot.answers(asked))
        aibot.links.lapse()
        await until(lambda: aibot.links.subscribed == 2)
        await until(lambda: aibot.texts("zhangsan"))
    assert aibot.once("zhangsan", "T1 完").via == "markdown"


async def test_an_answer_outlives_its_connection(bench: Bench, aibot: FakeAiBot) -> None:
    """WeCom takes no answer over another connection than the message came on: it goes as a message of its own."""
    async with bench.running():
        aibot.people.says("T1 slow 1", chat="wrGroup1")
        await until(lambda: aibot.posts())
        aibot.links.kill()
        await until(lambda: aibot.texts("wrGroup1"))
        await asyncio.sleep(0.5)
    assert aibot.once("wrGroup1", "T1 完").via == "markdown"


async def test_an_acknowledgement_that_got_lost_with_its_connection_is_no_second_answer(
    bench: Bench, aibot: FakeAiBot
) -> None:
    aibot.answering.survive = True
    fault = aibot.faults.add(Fault(kind="close", method="aibot_respond_msg", contains="完", apply=True, times=1))
    async with bench.running():
        aibot.people.says("T1")
        await until(lambda: len(aibot.frames("aibot_respond_msg")) == 2)
        await asyncio.sleep(0.7)
    assert fault.fired == 1
    assert len(aibot.posts()) == 1
    assert aibot.texts("zhangsan") == ["T1 完"]


async def test_what_comes_in_while_nothing_can_be_stored_is_kept(bench: Bench, aibot: FakeAiBot) -> None:
    async with Database(address(bench.path), metrics=Metrics()) as database:
        channel, intake = bench.make(database), MemoryIntake(failures=5)
        running = asyncio.create_task(channel.run(intake))
        await until(lambda: aibot.links.live)
        for number in range(20):
            aibot.people.says(f"T{number}", user=f"user{number % 3}")
        await until(lambda: len(intake.messages) == 20)
        assert intake.texts == [f"T{number}" for number in range(20)]
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await channel.close()


# -- After a kill --


async def test_an_unanswered_messages_stream_is_finished_by_the_next_process(bench: Bench, aibot: FakeAiBot) -> None:
    aibot.answering.survive = True
    asked = await _killed_while_answering(bench, aibot)
    async with bench.running():
        await until(lambda: aibot.texts("zhangsan"))
        await asyncio.sleep(0.7)
    assert [post.text for post in aibot.answers(asked)] == ["T1 完"]
    assert len(aibot.posts()) == 1
    assert aibot.violations == []


async def test_the_next_process_knows_that_the_last_state_may_be_a_moment_old(bench: Bench, aibot: FakeAiBot) -> None:
    aibot.answering.survive, aibot.streams.apart = True, 2.0
    bench.timing = dataclasses.replace(FAST, apart=2.1)
    asked = await _killed_while_answering(bench, aibot, chat="wrGroup1")
    bench.dialogue = LongDialogue()
    async with bench.running() as run:
        await until(lambda: aibot.answers(asked)[0].finished)
        await all_sent(run)
    begun, ended = aibot.answers(asked)[0].shown[-2:]
    assert ended[0] - begun[0] >= 2.0
    assert aibot.violations == []


async def test_a_kill_before_the_acknowledgement_of_the_end_is_no_second_answer(bench: Bench, aibot: FakeAiBot) -> None:
    aibot.answering.survive = True
    aibot.faults.add(Fault(kind="no_ack", method="aibot_respond_msg", contains="完", apply=True, times=1))
    async with bench.running():
        aibot.people.says("T1")
        await until(lambda: aibot.texts("zhangsan"))
    async with bench.running() as run:
        await all_sent(run)
        await asyncio.sleep(0.3)
    assert aibot.texts("zhangsan") == ["T1 完"]
    assert len(aibot.posts()) == 1


async def test_a_card_whose_sender_was_killed_stands_there_once_and_closes_no_conversation(
    bench: Bench, aibot: FakeAiBot
) -> None:
    lost = aibot.faults.add(Fault(kind="no_ack", method="aibot_send_msg", apply=True, times=1))
    async with bench.running():
        aibot.people.says("T1 ticket")
        await until(lambda: lost.fired)
    async with bench.running() as run:
        await all_sent(run)
        assert await run.database.read(outbox.counts) == {}
        aibot.people.says("T2")
        await until(lambda: "T2 完" in aibot.texts("zhangsan"))
    assert len(aibot.cards("zhangsan")) == 1
    assert aibot.violations == []


async def test_where_that_can_not_be_the_answer_comes_by_itself_and_once(bench: Bench, aibot: FakeAiBot) -> None:
    await _killed_while_answering(bench, aibot)
    async with bench.running():
        await until(lambda: aibot.texts("zhangsan"))
        await asyncio.sleep(0.7)
    assert aibot.once("zhangsan", "T1 完").via == "markdown"


async def _killed_while_answering(bench: Bench, aibot: FakeAiBot, *, chat: str = "") -> Asked:
    """A process that has shown half an answer, or in a group that it is at work, and is no more."""
    async with bench.running():
        asked = aibot.people.says("T1 slow 1.5", chat=chat)
        await until(lambda: aibot.answers(asked) and aibot.answers(asked)[0].text)
    assert not aibot.answers(asked)[0].finished
    return asked


# -- Two processes --


async def test_two_processes_hold_one_connection_and_the_second_takes_over(bench: Bench, aibot: FakeAiBot) -> None:
    url = address(bench.path)
    async with Database(url, metrics=Metrics()) as one, Database(url, metrics=Metrics()) as two:
        first, second = bench.make(one), bench.make(two)
        intake = MemoryIntake()
        running = asyncio.create_task(first.run(intake))
        await until(lambda: aibot.links.live)
        waiting = asyncio.create_task(second.run(intake))
        await until(lambda: "stands by" in second.health().detail)
        await asyncio.sleep(1.5 * FAST.lease_life)
        assert second.health().up
        assert aibot.links.opened == 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await first.close()  # an orderly end gives the lease back
        await until(lambda: aibot.links.live and second.health().detail == "", seconds=0.6)
        assert aibot.links.kicked == 0
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await second.close()


async def test_a_dead_process_loses_its_place_and_one_that_wakes_again_does_not_fight(
    bench: Bench, aibot: FakeAiBot
) -> None:
    url = address(bench.path)
    async with Database(url, metrics=Metrics()) as one, Database(url, metrics=Metrics()) as two:
        first, second = bench.make(one, dataclasses.replace(FAST, lease_beat=1.6)), bench.make(two)
        running = asyncio.create_task(first.run(MemoryIntake()))
        await until(lambda: aibot.links.live)
        waiting = asyncio.create_task(second.run(MemoryIntake()))
        # The first one counts too slowly, as if it had been stopped: its place is taken.
        await until(lambda: aibot.links.subscribed == 2, seconds=5.0)
        await until(lambda: "stands by" in first.health().detail)
        await asyncio.sleep(1.0)
        assert aibot.links.subscribed == 2
        assert first.health().up
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        await first.close()
        await second.close()


async def test_who_takes_over_finishes_what_the_other_one_has_begun(bench: Bench, aibot: FakeAiBot) -> None:
    aibot.answering.survive = True
    async with Database(address(bench.path), metrics=Metrics()) as database:
        standby = bench.make(database, dataclasses.replace(FAST, stream_ends=2.0))
        async with bench.running(dataclasses.replace(FAST, stream_ends=2.0)):
            waiting = asyncio.create_task(standby.run(MemoryIntake()))
            asked = aibot.people.says("hang T1")
            await until(lambda: aibot.answers(asked) and "stands by" in standby.health().detail)
        await until(lambda: aibot.answers(asked)[0].finished)
        assert aibot.answers(asked)[0].text == LATE["en"]
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await standby.close()
    assert aibot.violations == []


async def test_a_stop_lets_running_answers_out_and_keeps_what_comes_in_for_the_next_start(
    bench: Bench, aibot: FakeAiBot
) -> None:
    async with Database(address(bench.path), metrics=Metrics()) as database:
        channel = bench.make(database)
        async with open_house(bench.path, [], bench.dialogue, clock=SystemClock()) as core:
            core.runner._channels = core.outbox._channels = {(channel.platform, channel.account): channel}
            running = asyncio.create_task(channel.run(core.inbox))
            await until(lambda: aibot.links.live)
            asked = aibot.people.says("T1 slow 1")
            await until(lambda: aibot.answers(asked))
            running.cancel()  # as the core does first when it is told to stop
            await asyncio.gather(running, return_exceptions=True)
            aibot.people.says("T2", user="lisi")
            await until(lambda: aibot.texts("zhangsan"))
            assert aibot.answers(asked)[0].text == "T1 完"
            assert aibot.links.live is not None
            await channel.close()
            assert aibot.links.live is None
    async with bench.running():
        await until(lambda: aibot.texts("lisi"))
    assert aibot.once("lisi", "T2 完")
