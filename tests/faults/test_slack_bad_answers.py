"""F19 on Slack: it asks for patience in every way, and answers with anything. Finals arrive, nothing crashes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.slack_api import Fault
from tests.fakes.slackapi.faults import Kind
from tests.faults import seeds
from tests.faults.slack_rig import SlackRig, Storyteller, said, slack_rig, squeezed, story

pytestmark = pytest.mark.usefixtures("quick_repeats")

PEOPLE = 8


async def _everybody_is_answered(rig: SlackRig, people: int, *, word: str = "", seconds: float = 60.0) -> list[int]:
    """One message of everybody; how often each answer stands there."""
    for number in range(1, people + 1):
        rig.slack.people.says(f"D{number}", f"{word}T{number}", user=f"U{number}")
    await rig.rest(seconds)
    found = said(rig.slack.messages())
    return [found[f"T{number}"] for number in range(1, people + 1)]


async def test_sends_that_are_refused_are_tried_again(tmp_path: Path) -> None:
    """Whatever Slack says of how long to wait: nothing, zero, less, a fraction, words."""
    patience: tuple[Any, ...] = (0, -5, None, 1.5, "soon")
    async with slack_rig(tmp_path) as rig:
        faults = [
            rig.slack.faults.add(
                Fault(kind="ratelimited", method="chat.postMessage", channel=f"D{number}", times=1, retry_after=after)
            )
            for number, after in enumerate(patience, start=1)
        ]
        async with rig.life():
            copies = await _everybody_is_answered(rig, PEOPLE)
        assert [fault.fired for fault in faults] == [1] * len(patience)
        assert copies == [1] * PEOPLE
        assert await rig.states() == {"sent": PEOPLE}


async def test_a_huge_patience_is_kept_and_seen(tmp_path: Path) -> None:
    """What Slack parks for an hour waits, and is not asked again before; what it does not park goes on."""
    stories = {f"T{number}": story(f"T{number}") for number in range(2, PEOPLE + 1)}
    async with slack_rig(tmp_path, dialogue=Storyteller(stories=stories)) as rig:
        fault = Fault(kind="ratelimited", method="chat.postMessage", channel="D1", retry_after=10**9)
        rig.slack.faults.add(fault)
        shows = Fault(kind="ratelimited", method="chat.appendStream", retry_after=10**9, times=1)
        rig.slack.faults.add(shows)
        async with rig.life():
            rig.slack.people.says("D1", "T1", user="U1")
            for number in range(2, PEOPLE + 1):
                rig.slack.people.says(f"D{number}", f"tell T{number}", user=f"U{number}")
            others = range(2, PEOPLE + 1)
            await rig.slack.until(lambda: all(said(rig.slack.messages(f"D{one}")) for one in others), timeout=20)
            await asyncio.sleep(0.5)
            states = await rig.states()
        assert fault.fired == 1, "it is not asked again before its time"
        assert shows.fired == 1
        assert states == {"waiting": 1, "sent": PEOPLE - 1}


ANSWERS: tuple[tuple[str, Kind, dict[str, Any]], ...] = (
    ("a page instead of JSON", "html", {"code": 502}),
    ("a page that says all is well", "html", {"code": 200}),
    ("half of the JSON", "truncated", {}),
    ("nothing at all", "empty", {}),
    ("a list", "shape", {"body": ["what"]}),
    ("ok and no more", "shape", {"body": {"ok": True}}),
    ("values of other kinds", "shape", {"body": {"ok": True, "ts": 5, "channel": [], "url": 7, "messages": "x"}}),
    ("neither ok nor error", "shape", {"body": {"result": 1}}),
    ("the end of the connection", "close", {}),
)
ASKED = ("chat.postMessage", "conversations.replies", "users.info", "auth.test", "apps.connections.open")


async def test_answers_that_can_not_be_read(tmp_path: Path) -> None:
    """All of them, one after the other, for everything that is asked on the way of a message."""
    async with slack_rig(tmp_path, sockets=1) as rig:
        faults = [
            rig.slack.faults.add(Fault(kind=kind, method=method, times=1, **about))
            for _, kind, about in ANSWERS
            for method in ASKED
        ]
        async with rig.life(seconds=20):
            copies: list[int] = []
            for _ in range(2):
                copies = await _everybody_is_answered(rig, PEOPLE)
        fired = {method: sum(fault.fired for fault in faults if fault.method == method) for method in ASKED}
        print(fired)
        assert fired["chat.postMessage"] == fired["apps.connections.open"] == len(ANSWERS)
        assert min(fired.values()) >= len(ANSWERS) / 2
        assert copies == [2] * PEOPLE
        assert await rig.states() == {"sent": 2 * PEOPLE}


@pytest.mark.parametrize("body", [{"ok": True}, {"ok": True, "ts": 5}], ids=["no ts", "a number"])
@pytest.mark.parametrize("method", ["chat.appendStream", "chat.stopStream", "chat.update"])
async def test_an_ok_without_a_message_is_no_answer(tmp_path: Path, method: str, body: dict[str, Any]) -> None:
    """Something in between says "ok", and Slack never heard of it: nothing may be missing in the end."""
    stories = {f"T{number}": story(f"T{number}") for number in range(1, 4)}
    async with slack_rig(tmp_path, dialogue=Storyteller(stories=stories)) as rig:
        fault = rig.slack.faults.add(Fault(kind="shape", method=method, times=3, body=body))
        if method == "chat.update":
            rig.slack.faults.add(Fault(kind="error", method="chat.startStream", error="unknown_method"))
        async with rig.life():
            for number in range(1, 4):
                rig.slack.people.says(f"D{number}", f"tell T{number}", user=f"U{number}")
            await rig.rest()
        assert fault.fired == 3
        found = sorted(squeezed(message.text) for message in rig.slack.messages())
        assert found == sorted(squeezed(text) for text in stories.values())


async def test_one_event_that_makes_no_sense_does_not_stop_the_others(tmp_path: Path) -> None:
    async with slack_rig(tmp_path) as rig, rig.life():
        rig.slack.people.opens_channel("C1")
        nonsense: tuple[dict[str, Any], ...] = (
            {"type": "message", "channel": 7, "ts": "five", "user": {"deep": None}},
            {"type": "message", "channel": "C1", "ts": "1.2.3", "text": ["x"], "user": "U1"},
            {"type": "app_mention"},
            {"type": "message", "subtype": "message_changed", "message": None},
            {"type": "kind_of_tomorrow", "blocks": [[[]]]},
        )
        for event in nonsense:
            rig.slack.people.happens(event)
        assert await _everybody_is_answered(rig, 2) == [1, 1]
        assert not rig.slack.feed.unacknowledged()


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_storm_of_everything(tmp_path: Path) -> None:
    chance, report = seeds.begin("F19 slack")
    people = 200
    stories = {f"T{number}": story(f"T{number}") for number in range(1, people + 1, 2)}
    async with slack_rig(tmp_path, dialogue=Storyteller(stories=stories)) as rig:
        for number, (_, kind, about) in enumerate(ANSWERS):
            rig.slack.faults.add(Fault(kind=kind, every=37 + number, skip=chance.randrange(20), **about))
        for retry_after in (0, -1, None, 1, 2):
            rig.slack.faults.add(Fault(kind="ratelimited", every=41, retry_after=retry_after))
        async with rig.life(seconds=30):
            started = time.monotonic()
            for number in range(1, people + 1):
                word = "tell " if number % 2 else ""
                rig.slack.people.says(f"D{number}", f"{word}T{number}", user=f"U{number}")
                await asyncio.sleep(0.3)
            await rig.rest(400)
            took = time.monotonic() - started
        found = said(rig.slack.messages())
        fired = sum(fault.fired for fault in rig.slack.faults.program)
        report.counts |= {"faults": fired, "messages": people, "said": found.total(), "seconds": int(took)}
        report.counts |= {"states": dict(await rig.states())}
        report.print()
        assert found == dict.fromkeys((f"T{number}" for number in range(1, people + 1)), 1)
