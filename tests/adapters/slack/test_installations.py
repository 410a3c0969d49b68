"""Several workspaces: from the button to the token, in the product's real database, against the strict fake."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography.fernet import Fernet
from slack_sdk.oauth.installation_store.models.installation import Installation

from adapters.slack.installations import Installations
from adapters.slack.oauth import OAuthDoor, authorization_url, rotator
from adapters.slack.reading import Place
from adapters.slack.settings import INSTALL_PATH, REDIRECT_PATH, ChannelSettings
from adapters.slack.stores import InstallationRows, Locker, StateRows
from adapters.slack.wire import NotReached, Transport
from bot.clock import SystemClock
from bot.errors import CredentialsRefused, StoreUnavailable
from bot.history import schema
from bot.history.database import Database
from bot.telemetry import Metrics
from tests.adapters.slack.house import FAST
from tests.fakes.slack_api import BOT_TOKEN, TEAM, FakeSlack, Fault

KEY, OLD_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as made:
        yield made


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite+aiosqlite:///{tmp_path}/kefu.db"
    await asyncio.to_thread(schema.upgrade, url)
    async with Database(url, metrics=Metrics()) as opened:
        yield opened


@dataclass
class Office:
    """The part of the channel that knows workspaces."""

    settings: ChannelSettings
    rows: InstallationRows
    installations: Installations
    door: OAuthDoor
    transport: Transport
    clock: Any


async def opened(slack: FakeSlack, database: Database, clock: Any = None, key: str = KEY, **about: Any) -> Office:
    settings = ChannelSettings(
        client_id=slack.client_id,
        client_secret=slack.client_secret,
        signing_secret=slack.signing_secret,
        token_key=key,
        api_url=slack.api_url,
        **about,
    )
    clock = clock or SystemClock()
    transport = Transport(url=slack.api_url, timing=FAST)
    rows = InstallationRows(settings.client_id, database, Locker(settings.keys))
    installations = Installations(
        rows=rows, rotator=rotator(settings, FAST), transport=transport, clock=clock, timing=FAST
    )
    door = OAuthDoor(
        settings=settings,
        installations=installations,
        states=StateRows(database),
        public_url="https://help.example.com",
        timing=FAST,
    )
    return Office(settings, rows, installations, door, transport, clock)


@pytest.fixture
async def office(slack: FakeSlack, database: Database) -> AsyncIterator[Office]:
    made = await opened(slack, database)
    yield made
    await made.transport.close()


@pytest.fixture
async def browser(office: Office) -> AsyncIterator[Client]:
    async with _browser(office) as made:
        yield made


def _browser(office: Office) -> Client:
    app = web.Application()
    app.add_routes(office.door.routes())
    return TestClient(TestServer(app))


async def begun(browser: Client) -> tuple[str, str]:
    """(the state, the cookie) of a person who has opened /slack/install."""
    async with browser.get(INSTALL_PATH) as page:
        assert page.status == 200
        cookie = page.headers["Set-Cookie"].partition(";")[0]
        text = await page.text()
    found = re.search(r'href="([^"]*/oauth/v2/authorize[^"]*)"', text)
    assert found is not None
    asked = parse_qs(urlsplit(html.unescape(found[1])).query)
    assert asked["redirect_uri"] == [f"https://help.example.com{REDIRECT_PATH}"]
    assert "chat:write" in asked["scope"][0]
    return asked["state"][0], cookie


async def ended(browser: Client, slack: FakeSlack, state: str, cookie: str, **about: Any) -> int:
    code = about.pop("code", None) or slack.oauth.agree(
        redirect_uri=f"https://help.example.com{REDIRECT_PATH}", **about
    )
    async with browser.get(REDIRECT_PATH, params={"code": code, "state": state}, headers={"Cookie": cookie}) as page:
        await page.read()
        return page.status


async def installed(browser: Client, slack: FakeSlack, **about: Any) -> None:
    assert await ended(browser, slack, *await begun(browser), **about) == 200


async def test_a_workspace_installs_us_and_its_token_can_be_used(
    browser: Client, slack: FakeSlack, office: Office
) -> None:
    with pytest.raises(CredentialsRefused):
        await office.installations.token(TEAM)
    await installed(browser, slack)
    assert await office.installations.token(TEAM) == BOT_TOKEN
    assert office.installations.bot_user(TEAM) == slack.bot_user


async def test_two_workspaces_are_two(browser: Client, slack: FakeSlack, office: Office) -> None:
    slack.state.team("T2OTHER")
    await installed(browser, slack)
    await installed(browser, slack, team="T2OTHER")
    tokens = {await office.installations.token(account) for account in (TEAM, "T2OTHER")}
    assert len(tokens) == 2


async def test_tokens_lie_encrypted(browser: Client, slack: FakeSlack, office: Office, tmp_path: Path) -> None:
    slack.oauth.rotation = True
    await installed(browser, slack)
    token = await office.installations.token(TEAM)
    refresh = next(one.refresh for one in slack.state.tokens.values() if one.value == token)
    for file in tmp_path.iterdir():
        content = await asyncio.to_thread(file.read_bytes)
        assert token.encode() not in content
        assert refresh.encode() not in content
    assert len(list(tmp_path.glob("kefu.db*"))) >= 1


async def test_a_key_can_be_replaced(slack: FakeSlack, database: Database) -> None:
    before = await opened(slack, database, key=OLD_KEY)
    async with _browser(before) as browser:
        await installed(browser, slack)
    after = await opened(slack, database, key=f"{KEY}, {OLD_KEY}")
    assert await after.installations.token(TEAM) == BOT_TOKEN
    stranger = await opened(slack, database, key=Fernet.generate_key().decode())
    with pytest.raises(CredentialsRefused):
        await stranger.installations.token(TEAM)
    for office in (before, after, stranger):
        await office.transport.close()


async def test_a_state_is_good_once(browser: Client, slack: FakeSlack) -> None:
    state, cookie = await begun(browser)
    assert await ended(browser, slack, state, cookie) == 200
    assert await ended(browser, slack, state, cookie) == 401


async def test_a_state_is_good_for_ten_minutes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    states = StateRows(database)
    state = await states.issue()
    late = datetime.now(UTC) + timedelta(seconds=601)
    monkeypatch.setattr("adapters.slack.stores._now", lambda: late.replace(tzinfo=None))
    assert not await states.consume(state)
    await states.issue()  # sweeps it out
    monkeypatch.undo()
    assert not await states.consume(state)


async def test_twenty_at_once_use_a_state_once(database: Database) -> None:
    states = StateRows(database)
    state = await states.issue()
    assert sum(await asyncio.gather(*(states.consume(state) for _ in range(20)))) == 1


async def test_another_browser_can_not_end_it(browser: Client, slack: FakeSlack) -> None:
    state, cookie = await begun(browser)
    assert await ended(browser, slack, state, "slack-app-oauth-state=another") == 400
    assert await ended(browser, slack, state, "") == 400
    assert await ended(browser, slack, "forged", "slack-app-oauth-state=forged") == 401
    assert await ended(browser, slack, state, cookie) == 200


async def test_what_slack_does_not_confirm_is_no_installation(
    browser: Client, slack: FakeSlack, office: Office
) -> None:
    assert await ended(browser, slack, *await begun(browser), code="made-up") == 401
    async with browser.get(REDIRECT_PATH, params={"error": "<script>access_denied"}) as page:
        assert "<script>" not in await page.text()
    for kind in ("html", "reset", "truncated", "empty", "shape"):
        slack.faults.add(Fault(kind=kind, method="oauth.v2.access", times=1))  # type: ignore[arg-type]
        assert await ended(browser, slack, *await begun(browser)) == 401, kind
    with pytest.raises(CredentialsRefused):
        await office.installations.token(TEAM)


async def test_only_the_workspaces_that_may(slack: FakeSlack, database: Database) -> None:
    office = await opened(slack, database, workspaces=("T2OTHER",))
    slack.state.team("T2OTHER")
    async with _browser(office) as browser:
        assert await ended(browser, slack, *await begun(browser)) == 401
        await installed(browser, slack, team="T2OTHER")
    with pytest.raises(CredentialsRefused):
        await office.installations.token(TEAM)
    assert await office.installations.token("T2OTHER")
    await office.transport.close()


async def test_the_end_of_an_installation(browser: Client, slack: FakeSlack, office: Office) -> None:
    await installed(browser, slack)
    place = Place(account=TEAM, workspace=TEAM)
    # A notice from before the installation says nothing of it.
    await office.installations.uninstalled(place, "tokens_revoked", datetime.now(UTC) - timedelta(minutes=5))
    assert await office.installations.token(TEAM)
    await office.installations.uninstalled(place, "app_uninstalled", datetime.now(UTC) + timedelta(seconds=1))
    assert office.installations.trouble == f"the app was removed from {TEAM} (app_uninstalled)"
    with pytest.raises(CredentialsRefused):
        await office.installations.token(TEAM)
    await installed(browser, slack)
    assert await office.installations.token(TEAM) == BOT_TOKEN


async def test_a_refused_token_is_not_asked_for_all_the_time_and_works_again_by_itself(
    browser: Client, slack: FakeSlack, office: Office
) -> None:
    await installed(browser, slack)
    token = await office.installations.token(TEAM)
    slack.tokens.ends("account_inactive")
    office.installations.revoked(TEAM, "account_inactive")
    assert TEAM in office.installations.trouble
    before = len(slack.calls("auth.test"))
    for _ in range(20):
        with pytest.raises(CredentialsRefused):
            await office.installations.token(TEAM)
    assert len(slack.calls("auth.test")) == before
    await asyncio.sleep(FAST.refused_pause)
    with pytest.raises(CredentialsRefused):
        await office.installations.token(TEAM)
    assert len(slack.calls("auth.test")) == before + 1
    slack.tokens.works_again()
    await asyncio.sleep(FAST.refused_pause)
    assert await office.installations.token(TEAM) == token
    assert office.installations.trouble == ""


async def test_twenty_replies_renew_a_token_once(slack: FakeSlack, database: Database) -> None:
    slack.oauth.rotation = True
    office = await opened(slack, database)
    async with _browser(office) as browser:
        await installed(browser, slack)
    first = await office.installations.token(TEAM)
    bot = await office.rows.find(TEAM)
    assert bot is not None
    bot.bot_token_expires_at = int(datetime.now(UTC).timestamp()) + 600
    await office.rows.refresh(bot)
    fresh = await opened(slack, database)  # as after a start
    before = len(slack.calls("oauth.v2.access"))
    tokens = set(await asyncio.gather(*(fresh.installations.token(TEAM) for _ in range(20))))
    assert len(tokens) == 1
    assert tokens != {first}
    assert len(slack.calls("oauth.v2.access")) == before + 1
    again = await opened(slack, database)
    assert {await again.installations.token(TEAM)} == tokens, "the new pair is in the database"
    for one in (office, fresh, again):
        await one.transport.close()


async def test_while_slack_can_not_renew_it_the_old_token_is_used(slack: FakeSlack, database: Database) -> None:
    slack.oauth.rotation = True
    office = await opened(slack, database)
    async with _browser(office) as browser:
        await installed(browser, slack)
    first = await office.installations.token(TEAM)
    bot = await office.rows.find(TEAM)
    assert bot is not None
    bot.bot_token_expires_at = int(datetime.now(UTC).timestamp()) + 600
    await office.rows.refresh(bot)
    fresh = await opened(slack, database)
    for kind in ("html", "reset", "error"):
        slack.faults.add(Fault(kind=kind, method="oauth.v2.access", times=1))  # type: ignore[arg-type]
        assert await fresh.installations.token(TEAM) == first, kind
        await asyncio.sleep(FAST.refused_pause)
    assert await fresh.installations.token(TEAM) != first
    for one in (office, fresh):
        await one.transport.close()


class LockedDatabase:
    """The product's database on a bad day."""

    async def write(self, work: Any) -> Any:
        raise StoreUnavailable("the database is locked")

    read = write


async def test_while_the_database_is_locked(slack: FakeSlack) -> None:
    office = await opened(slack, LockedDatabase())  # type: ignore[arg-type]
    with pytest.raises(NotReached):
        await office.installations.token(TEAM)
    async with _browser(office) as browser, browser.get(INSTALL_PATH) as page:
        assert page.status == 503
    await office.transport.close()


async def test_one_workspace_has_one_row(database: Database) -> None:
    rows = InstallationRows("1.2", database, Locker((KEY,)))
    for number in range(3):
        await rows.save(_installation(f"xoxb-{number}"))
    found = await rows.find(TEAM)
    assert found is not None
    assert found.bot_token == "xoxb-2"
    count = await database.read(
        lambda connection: connection.exec_driver_sql("select count(*) from installed_bots").scalar()
    )
    assert count == 1
    assert await rows.find("E1") is None
    await rows.save(_installation("xoxb-org", enterprise_id="E1", team_id=None, is_enterprise_install=True))
    whole = await rows.find("E1")
    assert whole is not None
    assert whole.bot_token == "xoxb-org"


def _installation(token: str, **about: Any) -> Installation:
    fields: dict[str, Any] = {
        "app_id": "A1", "team_id": TEAM, "bot_token": token, "bot_id": "B1", "bot_user_id": "U1", "user_id": "U2",
        "bot_scopes": "chat:write", "user_token": "xoxp-a-person", "incoming_webhook_url": "https://hooks.example/x",
    }  # fmt: skip
    return Installation(**fields | about)


def test_the_page_of_consent_is_beside_the_api() -> None:
    assert authorization_url("https://slack.com/api/") == "https://slack.com/oauth/v2/authorize"
