"""A group's robot: notices for operators, at a group's pace, with a key that nobody sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.wecom.webhook.build import build
from adapters.wecom.webhook.channel import WebhookChannel
from adapters.wecom.webhook.checking import check
from adapters.wecom.webhook.settings import ChannelSettings
from bot.errors import CredentialsRefused, KefuError, NotSent, PerhapsSent, SendError, Undeliverable
from bot.messages import Author, Outcome, Reply
from tests.adapters.rendering.test_wecom import LONG
from tests.adapters.wecom.doubles import LaterDatabase, surroundings
from tests.adapters.wecom.samples import QUICK
from tests.adapters.wecom.webhook.samples import CONVERSATION
from tests.fakes.wecom_api import FakeWeCom, Fault


@pytest.fixture
async def wecom() -> AsyncIterator[FakeWeCom]:
    async with FakeWeCom() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
async def channel(wecom: FakeWeCom) -> AsyncIterator[WebhookChannel]:
    made = build(settings(wecom.webhook_url), surroundings(LaterDatabase()), timing=QUICK)
    yield made
    await made.close()


def settings(url: str) -> ChannelSettings:
    return ChannelSettings.model_validate({"url": url})


async def say(channel: WebhookChannel, text: str = "**新工单** TICKET-1 <@all>") -> None:
    notice = Reply(outcome=Outcome.CHAT, text=text, language="zh", author=Author.NOTICE)
    for part in channel.render(notice):
        await channel.wait_for_slot(CONVERSATION)
        await channel.send(CONVERSATION, part, replaces=None, delivery_id=7, reply=notice)


async def failure(channel: WebhookChannel) -> SendError:
    with pytest.raises(SendError) as error:
        await say(channel)
    return error.value


async def test_a_notice_stands_in_the_group_and_notifies_nobody(wecom: FakeWeCom, channel: WebhookChannel) -> None:
    await say(channel)
    [message] = wecom.messages("webhook")
    assert (message.msgtype, message.text) == ("markdown", "**新工单** TICKET-1 ＜@all>")
    assert channel.health().up


async def test_a_long_notice_with_a_table_arrives_whole(wecom: FakeWeCom, channel: WebhookChannel) -> None:
    await say(channel, LONG)
    whole = "".join(wecom.texts("webhook"))
    assert len(wecom.texts("webhook")) > 1
    assert whole.count("每一条都要遵守") == 120


async def test_a_group_never_gets_more_than_twenty_a_minute(wecom: FakeWeCom, channel: WebhookChannel) -> None:
    wecom.rates.on = True
    with pytest.raises(NotSent) as late:
        for _ in range(25):
            await say(channel)
    assert late.value.retry_after is not None
    assert len(wecom.texts("webhook")) == 18


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "error", "errcode": 45009}, NotSent),
        ({"kind": "error", "errcode": 93000}, CredentialsRefused),
        ({"kind": "error", "errcode": 40058}, Undeliverable),
        ({"kind": "reset"}, PerhapsSent),
        ({"kind": "html"}, PerhapsSent),
    ],
)
async def test_a_failure_is_told_in_the_cores_words_and_without_the_key(
    wecom: FakeWeCom, channel: WebhookChannel, fault: dict[str, object], kind: type[SendError]
) -> None:
    wecom.faults.add(Fault(method="webhook/send", **fault))  # type: ignore[arg-type]
    failed = await failure(channel)
    assert type(failed) is kind
    for shown in (str(failed), channel.health().detail, repr(channel), repr(settings(wecom.webhook_url))):
        assert wecom.webhook_key not in shown


async def test_markdown_that_is_not_taken_arrives_in_words(wecom: FakeWeCom, channel: WebhookChannel) -> None:
    wecom.faults.add(Fault(kind="error", method="webhook/send", errcode=40058, times=1))
    await say(channel)
    assert [message.msgtype for message in wecom.messages("webhook")] == ["text"]


async def test_a_busy_wecom_is_asked_again(wecom: FakeWeCom, channel: WebhookChannel) -> None:
    wecom.faults.add(Fault(kind="error", method="webhook/send", errcode=-1, times=2))
    await say(channel)
    assert len(wecom.calls("webhook/send")) == 3


async def test_a_robot_that_was_removed_is_an_operators_matter(wecom: FakeWeCom, channel: WebhookChannel) -> None:
    wecom.webhooks.keys.clear()
    for _ in range(5):
        assert type(await failure(channel)) is CredentialsRefused
    assert len(wecom.calls("webhook/send")) == 1
    assert "wecom_webhook.url" in channel.health().detail
    wecom.webhooks.keys.add(wecom.webhook_key)
    await asyncio.sleep(0.35)
    await say(channel)
    assert channel.health().up


async def test_the_doctor_asks_without_saying_anything_in_the_group(wecom: FakeWeCom) -> None:
    assert await check(settings(wecom.webhook_url)) == "the group's robot is there"
    assert wecom.messages("webhook") == []
    with pytest.raises(CredentialsRefused, match=r"wecom_webhook\.url"):
        await check(settings(wecom.webhook_url + "-not"))
    with pytest.raises(KefuError, match="can not be reached"):
        await check(settings("http://127.0.0.1:9/cgi-bin/webhook/send?key=x"))
