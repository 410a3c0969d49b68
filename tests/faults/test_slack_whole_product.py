"""What an employee does in Slack, end to end: `kefu run` with its knowledge and its own dialogue, beside the fake."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.slack_api import FakeSlack, Seen
from tests.faults import oracle
from tests.faults.bot import ANSWER, QUESTION, Bot, installation

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBER = re.compile(r"TICKET-[0-9A-Z]+")
SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Office:
    """One product that runs, and the Slack of its people. Every test is somebody else."""

    slack: FakeSlack
    bot: Bot

    async def reply(self, channel: str, thread: str, words: str, *, more: int = 0) -> Seen:
        """The message that has these words, once it is whole; `more` messages of the bot stand there before it."""

        def found() -> list[Seen]:
            messages = self.slack.messages(channel, thread)[more:] if channel in self.slack.state.channels else []
            return [message for message in messages if re.search(words, message.text) and not message.streaming]

        await self.slack.until(found, timeout=SECONDS)
        return found()[-1]

    async def ticket(self, channel: str, user: str, words: str) -> tuple[Seen, str, str]:
        """A ticket of this person: the message with its card, its thread and its number."""
        told = self.slack.people.says(channel, f"/ticket {words}", user=user)
        card = await self.reply(channel, told["thread"], NUMBER.pattern)
        return card, told["thread"], NUMBER.findall(card.text)[0]

    async def view(self, user: str) -> dict[str, Any]:
        """The dialogue that was opened for them."""
        await self.slack.until(lambda: self.slack.views(user), timeout=SECONDS)
        return self.slack.views(user)[-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(knowledge: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with FakeSlack() as slack:
        more = f'[slack]\nbot_token = "{slack.bot_token}"\napp_token = "{slack.app_token}"\n'
        more += f'api_url = "{slack.api_url}"\n'
        async with installation(tmp_path_factory.mktemp("slack"), knowledge, more=more) as bot:
            await bot.start()
            await bot.site.until_ready()
            await slack.until(lambda: slack.sockets.links, timeout=SECONDS)
            yield Office(slack, bot)
            assert await bot.stop() == 0, bot.words()


async def test_a_direct_question_is_answered_in_its_thread_with_the_source(office: Office) -> None:
    told = office.slack.people.says("D1", QUESTION, user="U1")
    answer = await office.reply("D1", told["thread"], ANSWER)
    kinds = {block["type"] for block in answer.blocks}
    assert "context_actions" in kinds, "feedback buttons"
    assert len(office.slack.messages("D1", told["thread"])) == 1
    assert office.slack.status("D1", told["thread"]) == ""


async def test_a_mention_is_answered_in_its_thread_and_the_talk_goes_on_there(office: Office) -> None:
    told = office.slack.people.mentions("C2", QUESTION, user="U2")
    await office.reply("C2", told["thread"], ANSWER)
    office.slack.people.says("C2", "订单多久发货", user="U2", thread=told["thread"])
    await office.reply("C2", told["thread"], "48", more=1)
    assert not [message for message in office.slack.messages("C2") if message.thread != told["thread"]]


async def test_ask_is_answered_in_a_thread_of_its_own(office: Office) -> None:
    office.slack.people.opens_channel("C3")
    office.slack.hands.commands("C3", "/ask", QUESTION, user="U3")
    answer = await office.reply("C3", "", ANSWER)
    root = next(message for message in office.slack.messages("C3", bot=None) if message.ts == answer.thread)
    assert QUESTION in root.text
    assert answer.ts != root.ts


async def test_ask_where_we_are_no_member_is_answered_in_private(office: Office) -> None:
    office.slack.people.opens_channel("C31", member=False)
    office.slack.hands.commands("C31", "/ask", QUESTION, user="U31")
    answer = await office.reply("D31", "", ANSWER)
    assert answer.thread != answer.ts
    assert not office.slack.messages("C31")
    assert office.slack.ephemeral("C31", "U31"), "and the asker is told so"


async def test_the_shortcut_opens_a_ticket_from_a_message(office: Office) -> None:
    office.slack.people.opens_channel("C4")
    told = office.slack.people.says("C4", "三楼的打印机又卡纸了", user="U41")  # somebody else's words
    office.slack.hands.uses_shortcut("C4", told["ts"], "kefu_ticket_from_message", user="U4")
    view = await office.view("U4")
    assert "三楼的打印机又卡纸了" in str(view["blocks"])
    office.slack.hands.submits(view["id"], {"kefu_ticket_text": {"kefu_ticket_words": "三楼的打印机又卡纸了，急"}})
    card = await office.reply("C4", told["thread"], NUMBER.pattern)
    number = NUMBER.findall(card.text)[0]
    rows = oracle.query(office.bot.database, f"SELECT person_id, subject FROM tickets WHERE number = '{number}'")
    assert rows == [{"person_id": "slack:U4", "subject": "三楼的打印机又卡纸了，急"}]
    assert not office.slack.views("U4")


async def test_a_tickets_details_are_shown_to_its_owner_only(office: Office) -> None:
    card, _, number = await office.ticket("D5", "U5", "电脑开不了机")
    office.slack.hands.presses("D5", card.ts, "kefu_ticket_details", user="U5")
    assert "电脑开不了机" in office.slack.view_text(await office.view("U5"))
    office.slack.hands.presses("D5", card.ts, "kefu_ticket_details", user="U51")
    shown = office.slack.view_text(await office.view("U51"))
    assert number not in shown
    assert "电脑" not in shown


async def test_solved_closes_the_ticket_and_says_so(office: Office) -> None:
    card, thread, number = await office.ticket("D6", "U6", "鼠标坏了")
    office.slack.hands.presses("D6", card.ts, "kefu_act:solved", user="U6")
    closed = await office.reply("D6", thread, f"{number}.*已为您关闭", more=1)
    assert "kefu_act:solved" not in str(closed.blocks)
    states = oracle.query(office.bot.database, f"SELECT state FROM tickets WHERE number = '{number}'")
    assert states == [{"state": "closed"}]


async def test_person_brings_in_a_person(office: Office) -> None:
    told = office.slack.people.says("D7", QUESTION, user="U7")
    answer = await office.reply("D7", told["thread"], ANSWER)
    button = "kefu_act:person"
    if button not in str(answer.blocks):  # an answer that is sure offers none: the ticket's card does
        answer, thread, _ = await office.ticket("D7", "U7", "键盘坏了")
    else:
        thread = told["thread"]
    office.slack.hands.presses("D7", answer.ts, button, user="U7")
    await office.reply("D7", thread, "人工|同事", more=len(office.slack.messages("D7", thread)))


async def test_feedback_is_kept(office: Office) -> None:
    told = office.slack.people.says("D8", QUESTION, user="U8")
    answer = await office.reply("D8", told["thread"], ANSWER)
    pressed = office.slack.hands.presses("D8", answer.ts, "kefu_feedback", user="U8", positive=False)
    await office.slack.until(lambda: office.slack.feed.deliveries[pressed["id"]].fate == "acknowledged", SECONDS)

    def ratings() -> list[dict[str, Any]]:
        return oracle.query(office.bot.database, "SELECT rating FROM feedback")

    await office.slack.until(ratings, timeout=SECONDS)
    assert [row["rating"] for row in ratings()] == ["down"]


async def test_app_home_shows_ones_own_tickets(office: Office) -> None:
    _, _, number = await office.ticket("D9", "U9", "显示器闪")
    for user in ("U9", "U91"):
        office.slack.people.opens_home(user)
    await office.slack.until(lambda: office.slack.home("U9") and office.slack.home("U91"), timeout=SECONDS)
    assert number in office.slack.home("U9")
    assert "显示器闪" in office.slack.home("U9")
    assert number not in office.slack.home("U91")
    office.slack.hands.presses_in_home("U9", "kefu_ticket_details", value=number)
    assert "显示器闪" in office.slack.view_text(await office.view("U9"))


async def test_files_are_refused_politely_and_the_words_beside_them_answered(office: Office) -> None:
    told = office.slack.people.says("D10", QUESTION, user="U10", files=[{"name": "a.png", "mimetype": "image/png"}])
    await office.reply("D10", told["thread"], ANSWER)
    only = office.slack.people.says("D10", "", user="U10", files=[{"name": "a.png", "mimetype": "image/png"}])
    refused = await office.reply("D10", only["thread"], "文字|图片")
    assert "TICKET-" not in refused.text


async def test_the_probe_tells_the_operator_of_a_refused_token(office: Office) -> None:
    """Slack being gone is no reason to take the bot out of service: the other channels go on."""
    status, found = await office.bot.site.readiness()
    assert (status, found["parts"]["slack"]["state"]) == (200, "up")
    office.slack.tokens.ends("token_revoked")
    office.slack.people.says("D11", QUESTION, user="U11")
    started = time.monotonic()
    while found["parts"]["slack"]["state"] == "up" and time.monotonic() - started < SECONDS:
        status, found = await office.bot.site.readiness()
    assert status == 200
    assert "token_revoked" in found["parts"]["slack"]["detail"]
    assert office.bot.words(10**6).count("slack.token_refused") == 1
    status, reply = await office.bot.site.ask("somebody-on-the-web", QUESTION)
    assert status == 200
    assert ANSWER in str(reply)
