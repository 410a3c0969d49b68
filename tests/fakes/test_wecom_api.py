"""The fake WeCom's qyapi: as strict as WeCom, so that what passes against it has a chance out there."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
import wechatpy.enterprise
from wechatpy.exceptions import WeChatClientException

from tests.fakes.wecom_api import FakeWeCom, Fault
from tests.fakes.wecomapi.asking import Asking
from tests.fakes.wecomapi.remote import RemoteWeCom

CARD = {
    "card_type": "button_interaction",
    "main_title": {"title": "工单 TICKET-1"},
    "task_id": "kefu-1",
    "button_list": [{"text": "已解决", "key": "kefu_act:solved|TICKET-1", "style": 1}],
}


def says(content: str = "好", user: str = "zhangsan", **more: Any) -> dict[str, Any]:
    return {"touser": user, "agentid": 1000002, "msgtype": "text", "text": {"content": content}, **more}


def rules(wecom: FakeWeCom) -> list[str]:
    return [one.rule for one in wecom.violations]


# -- Tokens --


async def test_a_secret_has_one_token_until_it_ends(wecom: FakeWeCom, app: Asking) -> None:
    first = await app.gettoken()
    assert (first["expires_in"], len(first["access_token"]) <= 512) == (7200, True)
    wecom.clock.advance(600)
    second = await app.gettoken()
    assert second["access_token"] == first["access_token"]
    assert second["expires_in"] <= 6600
    wecom.clock.advance(6601)
    assert await app.refused("message/send", **says()) == 42001
    assert (await app.gettoken())["access_token"] != first["access_token"]


@pytest.mark.parametrize(
    ("corp", "secret", "errcode"),
    [
        pytest.param("ww0", None, 40013, id="another corporation"),
        pytest.param("", None, 41002, id="no corporation"),
        pytest.param(None, "wrong", 40001, id="wrong secret"),
        pytest.param(None, "", 41004, id="no secret"),
    ],
)
async def test_gettoken_is_judged(app: Asking, corp: str | None, secret: str | None, errcode: int) -> None:
    app.corp_id = app.corp_id if corp is None else corp
    app.secret = app.secret if secret is None else secret
    assert (await app.gettoken())["errcode"] == errcode


@pytest.mark.parametrize(
    ("token", "errcode"),
    [pytest.param("x", 40014, id="unknown"), pytest.param("", 41001, id="none")],
)
async def test_calls_need_a_token(app: Asking, token: str, errcode: int) -> None:
    async with app.http.post(f"{app.url}/message/send?access_token={token}", json=says()) as response:
        assert (await response.json())["errcode"] == errcode


async def test_a_token_is_revoked_before_its_time(wecom: FakeWeCom, app: Asking) -> None:
    await app.gettoken()
    wecom.tokens.revoke("app")
    assert {await app.refused("message/send", **says()) for _ in range(3)} == {42001}
    assert wecom.tokens.count("app") == 1
    await app.gettoken()
    wecom.colleagues.knows("zhangsan")
    await app.ok("message/send", **says())


async def test_a_changed_secret_is_refused_until_it_is_mended(wecom: FakeWeCom, app: Asking) -> None:
    await app.gettoken()
    wecom.tokens.ends("app")
    assert await app.refused("message/send", **says()) == 40014
    assert (await app.gettoken())["errcode"] == 40001
    wecom.tokens.works_again("app")
    assert (await app.gettoken())["errcode"] == 0


async def test_a_token_is_good_for_its_secret_only(wecom: FakeWeCom, app: Asking, kf: Asking) -> None:
    assert await kf.refused("message/send", **says()) == 48002
    assert await app.refused("kf/account/list") == 48002
    assert await app.refused("message/send", **says(agentid=7)) == 301002
    assert await kf.look("agent/get", agentid="7") | {"errmsg": ""} == {"errcode": 48002, "errmsg": ""}


async def test_an_ip_that_nobody_allowed(wecom: FakeWeCom, app: Asking) -> None:
    wecom.server.trusted = False
    answer = await app("message/send", **says())
    assert answer["errcode"] == 60020
    assert "from ip: 203.0.113.9" in answer["errmsg"]


async def test_asking_for_tokens_without_end_is_a_violation(wecom: FakeWeCom, app: Asking) -> None:
    wecom.tokens.per_minute = 3
    for _ in range(4):
        await app.gettoken()
    assert rules(wecom) == ["gettoken"]


# -- How calls are read --


async def test_verbs_methods_and_bodies(wecom: FakeWeCom, app: Asking) -> None:
    assert (await app.look("message/send"))["errcode"] == 43002
    assert await app.refused("agent/get") == 43001
    async with app.http.post(f"{app.url}/message/send?access_token={app.token}", data=b"{") as response:
        answer = await response.json()
    assert (answer["errcode"], "wrong json format" in answer["errmsg"]) == (40035, True)
    async with app.http.post(f"{app.url}/message/telepathy?access_token={app.token}") as response:
        assert response.status == 404
    assert rules(wecom) == ["json", "unknown_method"]


async def test_neither_tokens_nor_secrets_are_written_down(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    await app.ok("message/send", **says())
    written = repr(wecom.calls())
    assert app.token not in written
    assert app.secret not in written
    assert [(call.method, call.secret, call.applied) for call in wecom.calls()] == [
        ("gettoken", "app", True), ("message/send", "app", True),
    ]  # fmt: skip


async def test_so_many_calls_at_once(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    await app.gettoken()
    wecom.server.together = 2
    wecom.faults.add(Fault(kind="slow", method="message/send", seconds=0.2))
    codes = [one["errcode"] for one in await asyncio.gather(*(app("message/send", **says()) for _ in range(3)))]
    assert 45033 in codes
    assert wecom.server.most_at_once == 3


# -- The app speaks --


async def test_partial_success_names_the_unknown(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("ZhangSan")
    answer = await app.ok("message/send", **says("你好", "ZHANGSAN|Nobody"))
    assert answer["invaliduser"] == "nobody"
    assert wecom.texts("app", "ZhangSan") == ["你好"]
    assert await app.refused("message/send", **says("你好", "nobody")) == 81013
    assert wecom.violations == []


async def test_long_text_is_cut_and_nobody_is_told(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    await app.ok("message/send", **says("好" * 682 + "ab"))
    assert wecom.violations == []
    await app.ok("message/send", **says("好" * 683))
    assert wecom.texts("app", "zhangsan") == ["好" * 682 + "ab", "好" * 682]
    assert rules(wecom) == ["truncated"]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        pytest.param("| a | b |\n| --- | --- |\n| 1 | 2 |", "markdown", id="table"),
        pytest.param("```\nx\n```", "markdown", id="fence"),
        pytest.param("![x](https://example.org/x.png)", "markdown", id="image"),
        pytest.param("<@all> hello", "mention", id="everybody"),
    ],
)
async def test_markdown_that_an_app_does_not_have(wecom: FakeWeCom, app: Asking, content: str, rule: str) -> None:
    wecom.colleagues.knows("zhangsan")
    message = {"touser": "zhangsan", "agentid": 1000002, "msgtype": "markdown"}
    await app.ok("message/send", **message, markdown={"content": "# 你好\n> **引用** [链接](https://example.org) `x`"})
    assert wecom.violations == []
    await app.ok("message/send", **message, markdown={"content": content})
    assert rules(wecom) == [rule]


@pytest.mark.parametrize(
    ("message", "errcode"),
    [
        pytest.param(says("  "), 44004, id="nothing to say"),
        pytest.param(says() | {"text": "好"}, 40035, id="text is no object"),
        pytest.param(says() | {"msgtype": "telepathy"}, 40008, id="unknown type"),
        pytest.param(says() | {"agentid": "x"}, 40056, id="no agent"),
        pytest.param(says(enable_duplicate_check=1, duplicate_check_interval=99999), 40035, id="interval too long"),
    ],
)
async def test_malformed_messages(wecom: FakeWeCom, app: Asking, message: dict[str, Any], errcode: int) -> None:
    wecom.colleagues.knows("zhangsan")
    assert await app.refused("message/send", **message) == errcode
    assert wecom.texts("app") == []


async def test_the_duplicate_check_compares_words_alone(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    wecom.colleagues.knows("lisi")
    checked = {"enable_duplicate_check": 1, "duplicate_check_interval": 60}
    for message in (says("a"), says("a"), says("b"), says("a", "lisi")):
        await app.ok("message/send", **message, **checked)
    assert (wecom.texts("app", "zhangsan"), wecom.texts("app", "lisi")) == (["a", "b"], ["a"])
    assert len(wecom.app_api.swallowed) == 1
    wecom.clock.advance(61)
    await app.ok("message/send", **says("a"), **checked)
    await app.ok("message/send", **says("a"))
    assert wecom.texts("app", "zhangsan") == ["a", "b", "a", "a"]


async def test_unknown_fields_and_receivers_that_a_bot_should_not_have(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    await app.ok("message/send", **says(mentioned="x", toparty="2"))
    await app.refused("message/send", **says(user="@all"))
    assert rules(wecom) == ["unknown_field", "receivers", "receivers"]


async def test_a_member_hears_thirty_a_minute_and_the_rest_is_dropped_in_silence(wecom: FakeWeCom, app: Asking) -> None:
    wecom.rates.on = True
    wecom.colleagues.knows("zhangsan")
    for number in range(31):
        await app.ok("message/send", **says(str(number)))
    assert len(wecom.texts("app", "zhangsan")) == 30
    assert rules(wecom) == ["rate"]
    wecom.clock.advance(60)
    await app.ok("message/send", **says("31"))
    assert wecom.texts("app", "zhangsan")[-1] == "31"


async def test_recalling(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    msgid = (await app.ok("message/send", **says()))["msgid"]
    await app.ok("message/recall", msgid=msgid)
    assert wecom.texts("app") == []
    assert await app.refused("message/recall", msgid="x") == 40035


async def test_groups_of_the_app(wecom: FakeWeCom, app: Asking) -> None:
    for user in ("zhangsan", "lisi"):
        wecom.colleagues.knows(user)
    assert await app.refused("appchat/create", name="x", userlist=["zhangsan"]) == 40035
    chat = (await app.ok("appchat/create", name="x", userlist=["zhangsan", "lisi"]))["chatid"]
    await app.ok("appchat/send", chatid=chat, msgtype="text", text={"content": "hi"})
    assert wecom.texts("appchat", chat) == ["hi"]
    assert await app.refused("appchat/send", chatid="x", msgtype="text", text={"content": "hi"}) == 86001
    assert (await app.look("appchat/get", chatid=chat))["chat_info"]["userlist"] == ["zhangsan", "lisi"]


# -- Cards --


async def test_a_card_is_changed_once(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    message = {"touser": "zhangsan", "agentid": 1000002, "msgtype": "template_card", "template_card": CARD}
    code = (await app.ok("message/send", **message))["response_code"]
    assert wecom.texts("app", "zhangsan") == ["工单 TICKET-1\n[已解决]"]
    assert await app.refused("message/send", **message) == 40058, "a task_id serves once"
    change = {"userids": ["zhangsan"], "agentid": 1000002, "response_code": code}
    await app.ok("message/update_template_card", **change, button={"replace_name": "已关闭"})
    assert wecom.texts("app", "zhangsan") == ["工单 TICKET-1\n[已解决]\n[已关闭]"]
    assert await app.refused("message/update_template_card", **change, button={"replace_name": "x"}) == 40029
    assert rules(wecom) == ["response_code"]


async def test_a_card_cannot_be_changed_after_72_hours(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    message = {"touser": "zhangsan", "agentid": 1000002, "msgtype": "template_card", "template_card": CARD}
    code = (await app.ok("message/send", **message))["response_code"]
    wecom.clock.advance(72 * 3600)
    await app.gettoken()
    change = {"userids": ["zhangsan"], "agentid": 1000002, "response_code": code, "template_card": CARD}
    assert await app.refused("message/update_template_card", **change) == 40029


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"card_type": "poem"}, id="unknown type"),
        pytest.param({"task_id": "工单"}, id="task_id of other characters"),
        pytest.param({"task_id": "x" * 129}, id="task_id too long"),
        pytest.param({"button_list": []}, id="no buttons"),
        pytest.param({"button_list": [{"text": "", "key": "a"}]}, id="a button without words"),
        pytest.param({"button_list": [{"text": "a", "key": "k" * 1025}]}, id="a key too long"),
        pytest.param({"main_title": {}}, id="no title"),
        pytest.param({"replace_text": "x"}, id="a replacement in a new card"),
        pytest.param({"horizontal_content_list": [{"keyname": "a", "value": "b"}] * 7}, id="too many rows"),
        pytest.param({"mood": "good"}, id="unknown field"),
    ],
)
async def test_cards_are_judged(wecom: FakeWeCom, app: Asking, change: dict[str, Any]) -> None:
    wecom.colleagues.knows("zhangsan")
    message = {"touser": "zhangsan", "agentid": 1000002, "msgtype": "template_card", "template_card": CARD | change}
    assert await app.refused("message/send", **message) == 40058


async def test_a_notice_leads_somewhere(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    card = {"card_type": "text_notice", "main_title": {"title": "x"}, "card_action": {"type": 0}}
    message = {"touser": "zhangsan", "agentid": 1000002, "msgtype": "template_card", "template_card": card}
    assert await app.refused("message/send", **message) == 42045
    card["card_action"] = {"type": 1, "url": "https://example.org"}
    assert "response_code" not in await app.ok("message/send", **message)


# -- The webhook --


async def test_the_webhook(wecom: FakeWeCom, http: aiohttp.ClientSession) -> None:
    wecom.rates.on = True

    async def send(msgtype: str, content: str, url: str = wecom.webhook_url) -> int:
        async with http.post(url, json={"msgtype": msgtype, msgtype: {"content": content}}) as response:
            return int((await response.json())["errcode"])

    assert await send("text", "hi", wecom.webhook_url + "x") == 93000
    assert await send("text", "好" * 683) == 40058
    assert await send("markdown_v2", "x" * 4097) == 40058
    assert await send("poem", "x") == 40008
    assert [await send("markdown", "x" * 4096) for _ in range(21)] == [0] * 20 + [45009]
    assert len(wecom.texts("webhook")) == 20
    assert rules(wecom) == ["length", "length", "rate"]
    assert wecom.webhook_key not in repr(wecom.calls())


# -- Faults --


@pytest.mark.parametrize("apply", [False, True], ids=["before it was done", "after it was done"])
@pytest.mark.parametrize("kind", ["close", "reset", "cut", "hang", "html", "truncated", "shape", "empty", "error"])
async def test_every_fault(wecom: FakeWeCom, app: Asking, kind: str, apply: bool) -> None:
    wecom.colleagues.knows("zhangsan")
    await app.gettoken()
    fault = Fault(kind=kind, method="message/*", apply=apply, times=1, seconds=0.05, errcode=45009, code=502)
    wecom.faults.add(fault)
    url = f"{app.url}/message/send?access_token={app.token}"
    try:
        async with app.http.post(url, json=says()) as response:
            status, text = response.status, await response.text()
    except aiohttp.ClientError:
        assert kind in {"close", "reset", "cut", "hang"}
    else:
        assert status == (502 if kind == "html" else 200)
        assert kind != "error" or json.loads(text)["errcode"] == 45009
        assert kind != "empty" or not text
    assert fault.fired == 1
    assert wecom.texts("app") == (["好"] if apply else [])
    await app.ok("message/send", **says("again"))
    assert wecom.texts("app")[-1] == "again"


async def test_the_next_calls_meet_a_code_and_gettoken_is_no_exception(wecom: FakeWeCom, app: Asking) -> None:
    wecom.colleagues.knows("zhangsan")
    wecom.faults.add(Fault(kind="error", method="message/send", errcode=45009, times=2))
    codes = [(await app("message/send", **says(str(number))))["errcode"] for number in range(3)]
    assert (codes, wecom.texts("app", "zhangsan")) == ([45009, 45009, 0], ["2"])
    wecom.faults.add(Fault(kind="error", method="gettoken", errcode=-1, times=1))
    assert [(await app.gettoken())["errcode"] for _ in range(2)] == [-1, 0]


async def test_silence_ends_with_the_fake(http: aiohttp.ClientSession) -> None:
    async with FakeWeCom() as wecom:
        wecom.faults.add(Fault(kind="hang"))
        asking = asyncio.create_task(Asking(wecom.api_url, wecom.corp_id, wecom.app_secret, http).gettoken())
        await wecom.until(wecom.calls)
        begun = time.monotonic()
    assert time.monotonic() - begun < 2
    with pytest.raises(aiohttp.ClientError):
        await asking


# -- Somebody else's client, and another process --


async def test_wechatpy_speaks_with_it(wecom: FakeWeCom, app: Asking) -> None:
    def speak() -> None:
        with pytest.raises(WeChatClientException) as refused:
            client.message.send_text(1000002, "nobody", "你好")
        assert refused.value.errcode == 81013
        assert client.message.send_text(1000002, ["zhangsan", "nobody"], "你好")["invaliduser"] == "nobody"
        client.message.send_markdown(1000002, "zhangsan", "**好**")
        assert client.agent.get(1000002)["agentid"] == 1000002
        assert client.misc.get_wechat_ips()
        client._http.close()

    wecom.colleagues.knows("zhangsan")
    # It knows one address for gettoken, so the token is brought to it.
    token = (await app.gettoken())["access_token"]
    client = wechatpy.enterprise.WeChatClient(wecom.corp_id, wecom.app_secret, token)
    client.API_BASE_URL = f"{wecom.api_url}/cgi-bin/"
    await asyncio.to_thread(speak)
    assert wecom.texts("app", "zhangsan") == ["你好", "**好**"]
    assert wecom.violations == []


async def test_another_process_does_the_same(wecom: FakeWeCom, http: aiohttp.ClientSession, app: Asking) -> None:
    remote = RemoteWeCom(wecom.api_url, http)
    await remote.do("colleagues.knows", user="zhangsan")
    await remote.fault(Fault(kind="error", method="message/send", errcode=-1, times=1))
    assert await app.refused("message/send", **says()) == -1
    await app.ok("message/send", **says("好" * 683))
    assert (await remote.texts("app", "zhangsan"), len(await remote.messages("app"))) == (["好" * 682], 1)
    assert [call.errcode for call in await remote.calls("message/send")] == [-1, 0]
    assert [one.rule for one in await remote.violations()] == ["truncated"]
    assert [fault.fired for fault in await remote.faults(clear=True)] == [1]
    await remote.do("tokens.revoke", name="app", errcode=40014)
    assert await app.refused("message/send", **says()) == 40014
    assert await remote.settings(advance=60, attempts=1, trusted=False, forget_calls=True) == {
        "open": 0, "tokens": ["app"], "most_at_once": 1,
    }  # fmt: skip
    assert (wecom.feed.attempts, wecom.server.trusted, wecom.calls()) == (1, False, [])
