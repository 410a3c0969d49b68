"""The fake 微信客服: pages and cursors, sessions, and five messages in 48 hours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.wecom_api import KF, FakeWeCom
from tests.fakes.wecomapi.asking import Asking, Listening
from tests.fakes.wecomapi.sessions import ASSISTANT, ENDED, NEW, PERSON, QUEUED

WHO = {"open_kfid": KF, "external_userid": "wmA"}


@pytest.fixture
async def bot(wecom: FakeWeCom) -> AsyncIterator[Listening]:
    async with Listening() as bot:
        yield await bot.listen(wecom.kf)


def says(content: str = "好", **more: Any) -> dict[str, Any]:
    return {"touser": "wmA", "open_kfid": KF, "msgtype": "text", "text": {"content": content}, **more}


async def token(wecom: FakeWeCom, bot: Listening) -> str:
    """What the last callback allows to read with."""
    await wecom.until(lambda: not wecom.feed.unacknowledged())
    return str(bot.heard[-1]["Token"])


def rules(wecom: FakeWeCom) -> list[str]:
    return [one.rule for one in wecom.violations]


# -- Reading --


async def test_one_callback_for_three_customers(wecom: FakeWeCom, bot: Listening, kf: Asking) -> None:
    for number, customer in enumerate(("wmA", "wmB", "wmA")):
        wecom.customers.says(customer, f"T{number}", quiet=True)
    wecom.customers.tells()
    key = await token(wecom, bot)
    assert {name: bot.heard[0][name] for name in ("MsgType", "Event", "OpenKfId")} == {
        "MsgType": "event", "Event": "kf_msg_or_event", "OpenKfId": KF,
    }  # fmt: skip
    page = await kf.ok("kf/sync_msg", token=key, open_kfid=KF, limit=1000)
    assert [(one["external_userid"], one["text"]["content"], one["origin"]) for one in page["msg_list"]] == [
        ("wmA", "T0", 3), ("wmB", "T1", 3), ("wmA", "T2", 3),
    ]  # fmt: skip
    assert page["has_more"] == 0
    after = await kf.ok("kf/sync_msg", token=key, open_kfid=KF, cursor=page["next_cursor"])
    assert after["msg_list"] == []


async def test_pages_and_the_empty_one_between(wecom: FakeWeCom, bot: Listening, kf: Asking) -> None:
    for number in range(5):
        wecom.customers.says("wmA", str(number), quiet=True)
    wecom.customers.tells()
    key, cursor, found, more = await token(wecom, bot), "", [], []
    wecom.kf_api.page, wecom.kf_api.empty_pages = 2, 1
    for _ in range(4):
        page = await kf.ok("kf/sync_msg", token=key, open_kfid=KF, cursor=cursor)
        assert len(page["next_cursor"]) <= 64
        cursor = page["next_cursor"]
        found += [one["text"]["content"] for one in page["msg_list"]]
        more.append((len(page["msg_list"]), page["has_more"]))
    assert found == ["0", "1", "2", "3", "4"]
    assert more == [(0, 1), (2, 1), (2, 1), (1, 0)]
    again = await kf.ok("kf/sync_msg", token=key, open_kfid=KF)
    assert again["msg_list"][0]["text"]["content"] == "0", "without a cursor it starts again"


async def test_the_callbacks_token_lives_ten_minutes(wecom: FakeWeCom, bot: Listening, kf: Asking) -> None:
    wecom.rates.on = True
    wecom.customers.says("wmA", "hi")
    key = await token(wecom, bot)
    wecom.clock.advance(601)
    assert await kf.refused("kf/sync_msg", token=key, open_kfid=KF) == 95007
    codes = [(await kf("kf/sync_msg", open_kfid=KF))["errcode"] for _ in range(6)]
    assert codes == [0] * 5 + [45009], "without a token only so often"


async def test_three_days_are_kept_for_those_without_a_cursor(wecom: FakeWeCom, bot: Listening, kf: Asking) -> None:
    wecom.customers.says("wmA", "old", quiet=True)
    wecom.clock.advance(3 * 24 * 3600 + 1)
    wecom.customers.says("wmA", "new")
    page = await kf.ok("kf/sync_msg", token=await token(wecom, bot), open_kfid=KF)
    assert [one["text"]["content"] for one in page["msg_list"]] == ["new"]


@pytest.mark.parametrize(
    ("asked", "errcode"),
    [
        pytest.param({"open_kfid": "wkX"}, 95000, id="unknown account"),
        pytest.param({"limit": 1001}, 40035, id="too much at once"),
        pytest.param({"cursor": "x" * 65}, 40035, id="cursor too long"),
        pytest.param({"cursor": "bm8="}, 40035, id="cursor of somebody else"),
    ],
)
async def test_malformed_reading(kf: Asking, asked: dict[str, Any], errcode: int) -> None:
    assert await kf.refused("kf/sync_msg", **asked) == errcode


# -- Saying --


async def test_five_messages_until_the_customer_speaks_again(wecom: FakeWeCom, kf: Asking) -> None:
    wecom.customers.says("wmA", "hi", quiet=True)
    codes = [(await kf("kf/send_msg", **says(str(number))))["errcode"] for number in range(6)]
    assert (codes, rules(wecom)) == ([0] * 5 + [95001], ["quota"])
    wecom.customers.says("wmA", "and?", quiet=True)
    await kf.ok("kf/send_msg", **says("6"))
    assert wecom.texts("kf", "wmA") == ["0", "1", "2", "3", "4", "6"]


async def test_48_hours(wecom: FakeWeCom, kf: Asking) -> None:
    wecom.customers.says("wmA", "hi", quiet=True)
    wecom.clock.advance(48 * 3600 + 1)
    await kf.gettoken()
    assert (await kf.refused("kf/send_msg", **says()), rules(wecom)) == (95002, ["window"])


async def test_a_msgid_is_said_once(wecom: FakeWeCom, kf: Asking) -> None:
    wecom.customers.says("wmA", "hi", quiet=True)
    for _ in range(2):
        assert (await kf.ok("kf/send_msg", **says(msgid="a-1")))["msgid"] == "a-1"
    assert (wecom.texts("kf", "wmA"), wecom.kf_api.repeated) == (["好"], ["a-1"])
    wecom.kf_api.repeat_errcode = 40035
    assert await kf.refused("kf/send_msg", **says(msgid="a-1")) == 40035
    assert wecom.violations == []


@pytest.mark.parametrize(
    ("message", "errcode"),
    [
        pytest.param(says("好" * 683), 45002, id="too long"),
        pytest.param(says(msgid="x" * 33), 40058, id="msgid too long"),
        pytest.param(says(msgid="工单"), 40058, id="msgid of other characters"),
        pytest.param(says(touser="wmX"), 40096, id="unknown customer"),
        pytest.param(says(open_kfid="wkX"), 95000, id="unknown account"),
        pytest.param(says(msgtype="markdown"), 40008, id="no such type"),
        pytest.param(
            says(msgtype="msgmenu", msgmenu={"list": [{"type": "click", "click": {"id": "a", "content": "b"}}] * 11}),
            95008,
            id="menu too long",
        ),
        pytest.param(
            says(msgtype="msgmenu", msgmenu={"list": [{"type": "poem", "poem": {"content": "b"}}]}), 95009,
            id="menu of something else",
        ),
    ],
)  # fmt: skip
async def test_malformed_messages(wecom: FakeWeCom, kf: Asking, message: dict[str, Any], errcode: int) -> None:
    wecom.customers.says("wmA", "hi", quiet=True)
    assert await kf.refused("kf/send_msg", **message) == errcode
    assert wecom.texts("kf") == []


async def test_a_menu_and_what_is_picked_of_it(wecom: FakeWeCom, bot: Listening, kf: Asking) -> None:
    wecom.customers.says("wmA", "hi", quiet=True)
    menu = {
        "head_content": "还需要什么？",
        "list": [{"type": "click", "click": {"id": "kefu_act:person|1", "content": "转人工"}}],
    }
    await kf.ok("kf/send_msg", **says(msgtype="msgmenu", msgmenu=menu))
    assert wecom.texts("kf", "wmA") == ["还需要什么？\n[转人工]"]
    wecom.customers.says("wmA", "转人工", menu_id="kefu_act:person|1")
    page = await kf.ok("kf/sync_msg", token=await token(wecom, bot), open_kfid=KF)
    assert page["msg_list"][-1]["text"] == {"content": "转人工", "menu_id": "kefu_act:person|1"}


async def test_ok_is_not_delivered(wecom: FakeWeCom, kf: Asking) -> None:
    wecom.customers.says("wmA", "hi", quiet=True)
    wecom.customers.refuses("wmA")
    await kf.ok("kf/send_msg", **says(msgid="lost"))
    page = await kf.ok("kf/sync_msg", open_kfid=KF)
    assert page["msg_list"][-1]["event"] == {
        "open_kfid": KF, "external_userid": "wmA", "event_type": "msg_send_fail", "fail_msgid": "lost", "fail_type": 10,
    }  # fmt: skip
    assert wecom.texts("kf", "wmA") == []


# -- Welcomes and sessions --


async def test_a_welcome_is_said_once_within_twenty_seconds(wecom: FakeWeCom, kf: Asking) -> None:
    async def code(customer: str) -> str:
        wecom.customers.enters(customer, quiet=True, scene="7", scene_param="a=1")
        event = (await kf.ok("kf/sync_msg", open_kfid=KF))["msg_list"][-1]["event"]
        assert (event["event_type"], event["scene"], event["scene_param"]) == ("enter_session", "7", "a=1")
        return str(event.get("welcome_code", ""))

    welcome = {"msgtype": "text", "text": {"content": "你好"}}
    first = await code("wmA")
    await kf.ok("kf/send_msg_on_event", code=first, **welcome)
    assert await kf.refused("kf/send_msg_on_event", code=first, **welcome) == 40029
    assert await code("wmA") == "", "once in 48 hours"
    late = await code("wmB")
    wecom.clock.advance(21)
    assert await kf.refused("kf/send_msg_on_event", code=late, **welcome) == 40029
    assert [(one.text, one.on_event) for one in wecom.messages("kf", "wmA")] == [("你好", True)]
    assert wecom.texts("kf", "wmB") == []
    assert await kf.refused("kf/send_msg", **says()) == 95018, "nothing was asked yet"


async def test_a_person_takes_over_and_the_bot_is_silent(wecom: FakeWeCom, kf: Asking) -> None:
    wecom.customers.says("wmA", "hi", quiet=True)
    assert (await kf.ok("kf/service_state/get", **WHO))["service_state"] == NEW
    await kf.ok("kf/service_state/trans", **WHO, service_state=ASSISTANT)
    await kf.ok("kf/send_msg", **says())
    code = (await kf.ok("kf/service_state/trans", **WHO, service_state=QUEUED))["msg_code"]
    await kf.ok("kf/send_msg_on_event", code=code, msgtype="text", text={"content": "请稍候"})
    wecom.customers.is_taken("wmA", "lisi", quiet=True)
    found = await kf.ok("kf/service_state/get", **WHO)
    assert (found["service_state"], found["servicer_userid"]) == (PERSON, "lisi")
    assert (await kf.refused("kf/send_msg", **says()), rules(wecom)) == (95018, ["silence"])
    wecom.customers.is_answered("wmA", "我来处理", quiet=True)
    wecom.customers.is_over("wmA", quiet=True)
    log = (await kf.ok("kf/sync_msg", open_kfid=KF))["msg_list"]
    changes = [one["event"]["change_type"] for one in log if one["msgtype"] == "event"]
    assert (changes, [one["origin"] for one in log]) == ([1, 3], [3, 4, 5, 4])
    wecom.customers.says("wmA", "noch etwas", quiet=True)
    assert (await kf.ok("kf/service_state/get", **WHO))["service_state"] == NEW


@pytest.mark.parametrize(
    ("state", "to", "servicer", "errcode"),
    [
        pytest.param(ENDED, ASSISTANT, "", 95016, id="nothing comes after the end"),
        pytest.param(PERSON, ASSISTANT, "", 95016, id="a person keeps the session"),
        pytest.param(QUEUED, ASSISTANT, "", 95016, id="who waits is not sent back"),
        pytest.param(NEW, PERSON, "", 95014, id="to nobody"),
        pytest.param(NEW, PERSON, "wangwu", 95014, id="to one who does not answer customers"),
        pytest.param(NEW, PERSON, "lisi", 95014, id="to one who is not at work"),
        pytest.param(NEW, 7, "", 95016, id="to a state that does not exist"),
    ],
)
async def test_changes_that_are_not_allowed(
    wecom: FakeWeCom, kf: Asking, state: int, to: int, servicer: str, errcode: int
) -> None:
    wecom.customers.says("wmA", "hi", quiet=True)
    wecom.customers.servicer("lisi", works=False)
    wecom.sessions.session(KF, "wmA").state = state
    asked = {**WHO, "service_state": to, "servicer_userid": servicer}
    assert await kf.refused("kf/service_state/trans", **asked) == errcode
    assert wecom.sessions.session(KF, "wmA").state == state


async def test_accounts_servicers_and_customers(wecom: FakeWeCom, kf: Asking) -> None:
    wecom.customers.says("wmA", "hi", quiet=True)
    assert [one["open_kfid"] for one in (await kf.ok("kf/account/list", offset=0, limit=100))["account_list"]] == [KF]
    assert (await kf.look("kf/servicer/list", open_kfid=KF))["servicer_list"][0] == {"userid": "zhangsan", "status": 0}
    found = await kf.ok("kf/customer/batchget", external_userid_list=["wmA", "wmX"])
    assert found["invalid_external_userid"] == ["wmX"]
    assert found["customer_list"][0]["nickname"] == "客户1"
