"""The manifests to paste ask for what the code needs, and name what it answers to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapters.slack.interactions import TICKET_SHORTCUT
from adapters.slack.scopes import BOT_EVENTS, BOT_SCOPES, NEEDED
from adapters.slack.settings import EVENTS_PATH, REDIRECT_PATH

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(params=["socket", "http"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def manifest(transport: str) -> str:
    return (DOCS / f"slack-manifest-{transport}.yaml").read_text(encoding="utf-8")


def listed(manifest: str, name: str) -> tuple[str, ...]:
    """The entries of a list, e.g. bot_events."""
    found = re.search(rf"^ *{name}:\n((?: +- \S+\n)+)", manifest, re.MULTILINE)
    assert found is not None
    return tuple(re.findall(r"- (\S+)", found[1]))


def test_scopes_and_events(manifest: str) -> None:
    assert listed(manifest, "bot") == BOT_SCOPES
    assert listed(manifest, "bot_events") == BOT_EVENTS
    assert set(BOT_SCOPES) >= NEEDED
    assert list(BOT_SCOPES) == sorted(BOT_SCOPES)


def test_names_and_addresses(manifest: str, transport: str) -> None:
    assert f"callback_id: {TICKET_SHORTCUT}" in manifest
    # What the bot tells everybody to send: without it Slack would call /ticket an unknown command.
    assert re.findall(r"- command: (\S+)", manifest) == ["/ask", "/ticket"]
    assert manifest.count("should_escape: true") == 2
    assert "agent_view:" in manifest
    assert "home_tab_enabled: true" in manifest
    assert f"socket_mode_enabled: {'true' if transport == 'socket' else 'false'}" in manifest
    addresses = re.findall(r"^ .*(https://\S+)", manifest, re.MULTILINE)
    if transport == "socket":
        assert addresses == []
    else:
        paths = sorted(address.removeprefix("https://help.example.com") for address in addresses)
        assert paths == sorted([EVENTS_PATH] * 4 + [REDIRECT_PATH])


def test_what_slack_bounds(manifest: str) -> None:
    described = re.search(r"agent_description: (.+)", manifest)
    short = re.search(r"^  description: (.+)", manifest, re.MULTILINE)
    assert described is not None
    assert short is not None
    assert len(described[1]) <= 300
    assert len(short[1]) <= 140
    assert all(len(name) <= 24 for name in re.findall(r"- name: (.+)", manifest))
