"""F18 and P8 on Slack: tokens are refused while replies wait. Held, not failed; asked rarely; told once; resumed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from slack_sdk.oauth.installation_store.models.installation import Installation

from adapters.slack.stores import InstallationRows, Locker
from bot.messages import ConversationRef, IncomingMessage, Sender
from tests.fakes.channel import MemoryChannel
from tests.fakes.slack_api import TEAM
from tests.faults.slack_rig import QUICK, TOKEN_KEY, SlackRig, opened_database, said, slack_rig, until

pytestmark = pytest.mark.usefixtures("quick_repeats")

PAUSE = 0.5
HELD = 1.5
"""Seconds that a token stays refused: as if it were minutes, with half a second for half a minute."""
TIMING = replace(QUICK, refused_pause=PAUSE, upkeep=PAUSE / 2)
MEMORY = ConversationRef(platform="memory", account="", channel="5", thread="")
OTHER_TEAM = "T0OTHER"


async def _writes_beside(rig: SlackRig, token: str) -> None:
    """Somebody on another channel of the same house."""
    message = IncomingMessage(
        keys=(token,), conversation=MEMORY, sender=Sender(id="memory:5"), text=token, sent_at=datetime.now(UTC),
        message_id=token, sequence=int(token[1:]), direct=True,
    )  # fmt: skip
    await rig.house.inbox.accept([message])


async def _held(rig: SlackRig) -> tuple[int, int]:
    """(sent, held): one that is held is tried now and then."""
    states = await rig.states()
    assert set(states) <= {"sent", "waiting", "sending"}, states
    return states["sent"], states["waiting"] + states["sending"]


async def _holds_and_goes_on(rig: SlackRig, beside: MemoryChannel, capture: pytest.CaptureFixture[str]) -> None:
    slack = rig.slack
    slack.people.says("D1", "slow 0.5 T1", user="U1")
    await slack.until(lambda: slack.calls("chat.startStream"))
    capture.readouterr()
    slack.tokens.ends("token_revoked")  # in the middle of an answer
    for number in range(2, 8):
        slack.people.says(f"D{number}", f"T{number}", user=f"U{number}")
    await until(lambda: not rig.channel.health().up)
    await asyncio.sleep(PAUSE / 2)  # what was on its way when the token ended is refused as well
    since, before = time.monotonic(), len(slack.calls())
    await _writes_beside(rig, "T100")
    await until(lambda: beside.texts(MEMORY) == ["T100 完"], 2.0)
    await asyncio.sleep(HELD)
    refused = [call for call in slack.calls()[before:] if call.method != "apps.connections.open"]
    assert len(refused) <= (time.monotonic() - since) / PAUSE + 1, [call.method for call in refused]
    assert await _held(rig) == (1, 7), "held, and none of them failed"
    assert "token" in rig.channel.health().detail
    words = capture.readouterr().out
    assert words.count("event='slack.token_refused'") == 1
    assert words.count("level='error'") == 1
    assert slack.bot_token not in words
    slack.tokens.works_again()
    await rig.rest()
    await until(lambda: rig.channel.health().up)
    assert said(slack.messages()) == {f"T{number}": 1 for number in range(1, 8)}
    assert capture.readouterr().out.count("event='slack.token_accepted'") == 1


@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_a_revoked_token_holds_replies_until_it_works_again(
    tmp_path: Path, transport: str, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = MemoryChannel()
    async with slack_rig(tmp_path, transport=transport, timing=TIMING, beside=(beside,)) as rig, rig.life():
        await _holds_and_goes_on(rig, beside, capsys)


async def test_a_refused_app_token_is_asked_rarely_and_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sockets need it; what is answered goes out meanwhile."""
    async with slack_rig(tmp_path, timing=TIMING) as rig, rig.life():
        slack = rig.slack
        slack.people.says("D1", "slow 1 T1", user="U1")
        await slack.until(lambda: slack.calls("chat.startStream"))
        capsys.readouterr()
        slack.tokens.ends("invalid_auth", value=slack.app_token)
        slack.sockets.kill()
        await until(lambda: "app_token" in rig.channel.health().detail)
        before, since = len(slack.calls("apps.connections.open")), time.monotonic()
        await asyncio.sleep(HELD)
        asked = len(slack.calls("apps.connections.open")) - before
        assert 1 <= asked <= (time.monotonic() - since) / PAUSE + 1
        assert said(slack.messages()) == {"T1": 1}
        words = capsys.readouterr().out
        assert words.count("app_token") == 1, words
        slack.tokens.works_again(value=slack.app_token)
        await until(lambda: rig.channel.health().up)
        slack.people.says("D2", "T2", user="U2")
        await rig.rest()
        assert said(slack.messages()) == {"T1": 1, "T2": 1}


async def _install(rig: SlackRig, team: str) -> None:
    """An installation of this workspace, as the pages of OAuth leave it."""
    known = rig.slack.state.team(team)
    found = [token for token in rig.slack.tokens.of(team) if not token.error] or [rig.slack.tokens.bot(team)]
    async with opened_database(rig) as database:
        rows = InstallationRows(rig.slack.client_id, database, Locker((TOKEN_KEY,)))
        await rows.save(
            Installation(
                app_id="A0KEFU", team_id=team, bot_token=found[-1].value, bot_id=known.bot, bot_user_id=known.bot_user,
                user_id="UADMIN", bot_scopes="chat:write", installed_at=time.time() - 60,
            )
        )  # fmt: skip


@pytest.mark.parametrize("transport", ["socket", pytest.param("http", marks=pytest.mark.faults)])
async def test_a_workspace_that_goes_does_not_touch_the_other(
    tmp_path: Path, transport: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with slack_rig(tmp_path, transport=transport, many=True, timing=TIMING) as rig:
        slack = rig.slack
        for team in (TEAM, OTHER_TEAM):
            await _install(rig, team)
        async with rig.life():
            slack.people.says("D1", "T1", user="U1")
            slack.people.says("D2", "T2", user="U2", team=OTHER_TEAM)
            await rig.rest()
            assert said(slack.messages()) == {"T1": 1, "T2": 1}
            slack.people.says("D2", "slow 0.5 T3", user="U2")
            await slack.until(lambda: len(slack.calls("chat.startStream", channel="D2")) == 1)
            capsys.readouterr()
            slack.people.uninstalls(team=OTHER_TEAM)
            for number in range(4, 8):
                slack.people.says("D1", f"T{number}", user="U1")
            await slack.until(lambda: all(said(slack.messages())[f"T{number}"] for number in range(4, 8)))
            await asyncio.sleep(HELD)
            assert await _held(rig) == (6, 1), "the other one's reply is held"
            words = capsys.readouterr().out
            assert words.count("event='slack.installation_gone'") == 1
            assert words.count("level='error'") <= 2
            calls = [call for call in slack.calls() if call.team == OTHER_TEAM and call.error]
            assert len(calls) <= 3
        rig.slack.tokens.bot(OTHER_TEAM)
        await _install(rig, OTHER_TEAM)
        async with rig.life():
            await rig.rest()
        assert said(slack.messages()) == {f"T{number}": 1 for number in range(1, 8)}
