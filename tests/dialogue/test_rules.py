from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dialogue.details import contact_in, order_in, subject_of, urgency_in
from bot.dialogue.rules import command_of, confirms, consent, is_reset, ticket_numbers, without_ticket_numbers
from bot.messages import ConversationRef, IncomingMessage, MessageKind, Sender
from tests.dialogue.people import NOW


def message(text: str = "", kind: MessageKind = MessageKind.TEXT, command: str = "") -> IncomingMessage:
    return IncomingMessage(
        keys=("k",),
        conversation=ConversationRef(platform="web", account="", channel="1"),
        sender=Sender(id="web:1"),
        kind=kind,
        text=text,
        command=command,
        sent_at=NOW,
    )


@pytest.mark.parametrize(
    "text",
    [
        "好的",
        "好的，帮我建一个",
        "yes",
        "OK!",
        "行",
        "可以的，谢谢",
        "嗯嗯",
        "要",
        "Yes, please.",
        "sure, go ahead",
        "好啊 谢谢你",
        "那就登记吧",
        "open one please",
        "好的，我的电话是 13800138000",
        "Yes. My e-mail is ann@example.com",
        "麻烦您了",
        "幫我建一個",
    ],
)
def test_a_plain_yes_is_understood(text: str) -> None:
    assert consent(text) == "yes"


@pytest.mark.parametrize(
    "text",
    [
        "不用了",
        "不用，谢谢",
        "no",
        "No thanks.",
        "no, thank you",
        "算了吧",
        "先不用",
        "不要",
        "never mind",
        "不需要，谢谢",
    ],
)
def test_a_plain_no_is_understood(text: str) -> None:
    assert consent(text) == "no"


@pytest.mark.parametrize(
    "text",
    [
        "好的，那退货呢？",
        "可以退货吗",
        "怎么退货",
        "谢谢",
        "好不好",
        "yes or no?",
        "请问运费多少",
        "不是，我是问退款",
        "行李箱有吗",
        "",
        "?",
        "是不是要付运费",
        "no refund yet",
        "好" * 5000,
        "是啊" * 30 + "怎么办",
    ],
)
def test_anything_else_is_neither(text: str) -> None:
    assert consent(text) is None


@given(st.text(max_size=300))
def test_consent_never_fails(text: str) -> None:
    assert consent(text) in ("yes", "no", None)


@pytest.mark.parametrize("word", ["嗯", "好", "是的", "谢谢了", "不用", "ok", "no", "yes ", "麻烦您"])
def test_a_word_said_over_and_over_is_read_at_once(word: str) -> None:
    started = time.process_time()
    assert consent(word * (38 // len(word)) + "x") is None
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize(
    "text",
    [
        "好的",
        "好的，谢谢！",
        "确认",
        "可以，办吧",
        "麻烦您了",
        "嗯嗯",
        "Yes",
        "yes please",
        "OK, thanks",
        "Go ahead.",
        "confirm",
    ],
)
def test_a_plain_yes_confirms(text: str) -> None:
    assert confirms(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("谢谢", id="thanks alone"),
        pytest.param("不用了", id="no"),
        pytest.param("好的，算了", id="yes and no"),
        pytest.param("确定？", id="asked back"),
        pytest.param("sure?", id="asked back in English"),
        pytest.param("好的，订单号是 10029", id="another order"),
        pytest.param("yes, but order 10029", id="another order in English"),
        pytest.param("好的，帮我开个工单", id="a wish for a ticket"),
        pytest.param("open a ticket", id="only a wish for a ticket"),
        pytest.param("可以改地址", id="something else"),
        pytest.param("好的，" * 7 + "好的", id="a pile of yeses"),
    ],
)
def test_anything_beyond_a_plain_yes_confirms_nothing(text: str) -> None:
    assert not confirms(text)


@given(st.text(max_size=100))
def test_what_confirms_is_never_a_no(text: str) -> None:
    assert not (confirms(text) and consent(text) == "no")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("TICKET-7F3K怎么样了", ("TICKET-7F3K",), id="beside Chinese"),
        pytest.param("ｔｉｃｋｅｔ－７ｆ３ｋ", ("TICKET-7F3K",), id="full width, small"),
        pytest.param("查 TICKET-A1 和 ticket-b2，还有TICKET-A1", ("TICKET-A1", "TICKET-B2"), id="several, one twice"),
        pytest.param("ticket – 9k please", ("TICKET-9K",), id="another dash and blanks"),
        pytest.param("our ticket-based support", (), id="an English word"),
        pytest.param("MYTICKET-1", (), id="inside a word"),
        pytest.param("my ticket", (), id="no number"),
    ],
)
def test_ticket_numbers_are_found_however_typed(text: str, numbers: tuple[str, ...]) -> None:
    assert ticket_numbers(text) == numbers


def test_an_operators_own_prefix_is_known_besides_the_usual_one() -> None:
    assert ticket_numbers("kf-12 和 TICKET-3", prefix="KF") == ("KF-12", "TICKET-3")


def test_what_is_said_around_a_number_remains() -> None:
    assert without_ticket_numbers("TICKET-7F3K怎么样了") == "怎么样了"


@pytest.mark.parametrize(
    ("sent", "command"),
    [
        pytest.param(message("杯子碎了", MessageKind.COMMAND, "ticket"), ("ticket", "杯子碎了"), id="command"),
        pytest.param(message("/ticket 杯子 碎了"), ("ticket", "杯子 碎了"), id="typed"),
        pytest.param(message("/HELP@kefu_bot"), ("help", ""), id="addressed"),
        pytest.param(message("／help"), ("help", ""), id="full width"),
        pytest.param(message(kind=MessageKind.STOP), ("stop", ""), id="stop"),
        pytest.param(message("and/or"), None, id="a slash inside"),
        pytest.param(message("/etc/hosts 是什么"), None, id="a path"),
    ],
)
def test_commands_are_recognised(sent: IncomingMessage, command: tuple[str, str] | None) -> None:
    assert command_of(sent) == command


@pytest.mark.parametrize("text", ["重新开始", "重新開始。", "/reset", "Start over!", "reset"])
def test_the_words_that_start_over(text: str) -> None:
    assert is_reset(message(text))


@pytest.mark.parametrize("text", ["怎么重新开始订单", "reset my password", "重新下单", ""])
def test_words_that_do_not_start_over(text: str) -> None:
    assert not is_reset(message(text))


@pytest.mark.parametrize(
    ("text", "contact", "order"),
    [
        pytest.param("订单号：SO20240101，电话138 0013 8000", "138 0013 8000", "SO20240101", id="Chinese"),
        pytest.param("order #12345-88, e-mail me: a.b@x.co.uk", "a.b@x.co.uk", "12345-88", id="English"),
        pytest.param("call +44 20 7946 0958", "+44 20 7946 0958", "", id="international"),
        pytest.param("我的订单什么时候到", "", "", id="neither"),
        pytest.param("单号是 75310123456789012", "", "75310123456789012", id="a long number is no telephone"),
    ],
)
def test_details_are_picked_from_the_words(text: str, contact: str, order: str) -> None:
    assert (contact_in(text), order_in(text)) == (contact, order)


def test_urgency_and_subject() -> None:
    assert urgency_in("很急！明天要用") == "high"
    assert urgency_in("This is URGENT") == "high"
    assert urgency_in("不着急，慢慢来") == "normal"
    assert subject_of("杯子碎了。请尽快处理，谢谢") == "杯子碎了"
    assert len(subject_of("x" * 500)) <= 60
