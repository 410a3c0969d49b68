"""Sentences of customers with and without personal data, made from a seed: what F27 measures the mask with."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    text: str
    kind: str
    personal: tuple[tuple[int, int], ...]
    """Where personal data stands, in code points; nothing where the text has none."""


def items(count: int, seed: int) -> Iterator[Item]:
    """`count` sentences, three of five with personal data."""
    rng = random.Random(seed)
    for number in range(count):
        personal = number % 5 < 3
        makers = PERSONAL if personal else ORDINARY
        kind = list(makers)[number // 5 % len(makers)]
        value, templates = makers[kind](rng)
        before, after = rng.choice(templates).split("{}")
        if rng.random() < 0.15:
            value, before, after = full_width(value), full_width(before), full_width(after)
        if rng.random() < 0.3:
            before = rng.choice(LEADS) + before
        spans = ((len(before), len(before) + len(value)),) if personal else ()
        yield Item(text=before + value + after, kind=kind, personal=spans)


LEADS = [
    "您好，",
    "Hi there. ",
    "麻烦查一下：",
    "😀",
    "2024-01-15 10:30 ",
    "订单20240115123456已付款，",
    "[客服] ",
    "1. ",
    "①",
]
BARE = [
    "{}",
    "我是{}谢谢",
    "{}，请尽快",
    "（{}）",
    "麻烦联系{}张三",
    "it is {}.",
    '"{}"',
    "see {} please",
    "{}\n谢谢",
    "张三/{}/北京",
]


def full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def digits(rng: random.Random, count: int) -> str:
    return "".join(str(rng.randrange(10)) for _ in range(count))


def grouped(number: str, sizes: list[int], sign: str) -> str:
    parts, position = [], 0
    for size in sizes:
        parts.append(number[position : position + size])
        position += size
    return sign.join(part for part in [*parts, number[position:]] if part)


# Personal data

Made = tuple[str, list[str]]


def mobile(rng: random.Random) -> Made:
    number = "1" + rng.choice("3456789") + digits(rng, 9)
    written = rng.choice(
        [
            number,
            number,
            grouped(number, [3, 4], rng.choice(" - .")),
            grouped(number, [3, 4], rng.choice(["  ", " - ", "\u200b", "\u2014"])),
            "+86" + rng.choice(["", " ", "-"]) + number,
            "86" + number,
            "0086" + rng.choice(["", " ", "-"]) + number,
            "(+86) " + grouped(number, [3, 4], " "),
            " ".join(number),
            grouped(number, [7], "-"),
        ]
    )
    labels = [
        "手机号{}",
        "电话：{}有事打我",
        "我的手机号码是{}，谢谢",
        "手机号:{}微信同号",
        "call me on {} after six",
        "Tel:{}",
        "手机{}台式机坏了",
    ]
    return written, [*BARE, *labels]


def landline(rng: random.Random) -> Made:
    area = rng.choice(["010", "021", "020", "0755", "0571", "0311", "0898", "027"])
    local = rng.choice("2345678") + digits(rng, 7 if len(area) == 3 else rng.choice([6, 7]))
    sign = rng.choice(["-", " ", "", "\u2014"])
    written = rng.choice(
        [f"{area}{sign}{local}", f"({area}){local}", f"{area}-{local[:4]} {local[4:]}", f"+86 {area[1:]} {local}"]
    )
    return written, [*BARE, "座机{}", "办公室电话是{}，上班打", "my office phone is {}"]


def foreign(rng: random.Random) -> Made:
    area = f"{rng.choice(['212', '415', '310', '617', '702', '206'])}"
    rest = f"{rng.randrange(200, 999)}{digits(rng, 4)}"
    written = rng.choice(
        [
            f"+1 {area} {rest[:3]} {rest[3:]}",
            f"+1-{area}-{rest[:3]}-{rest[3:]}",
            f"+1 ({area}) {rest[:3]}-{rest[3:]}",
            f"({area}) {rest[:3]}-{rest[3:]}",
            f"{area}-{rest[:3]}-{rest[3:]}",
            f"+447{rng.randrange(400, 600)}{digits(rng, 6)}",
            f"+44 7{rng.randrange(400, 600)} {digits(rng, 6)}",
            f"+852 9{digits(rng, 3)} {digits(rng, 4)}",
            f"+65 9{digits(rng, 7)}",
            f"+81 90-{rng.randrange(1000, 9999)}-{digits(rng, 4)}",
            f"+33 6 {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)}",
            f"+61 4{rng.randrange(10, 50)} {digits(rng, 3)} {digits(rng, 3)}",
            f"+886 9{rng.randrange(10, 90)} {digits(rng, 3)} {digits(rng, 3)}",
            f"0049 151 {rng.randrange(10000000, 99999999)}",
        ]
    )
    return written, [*BARE, "国外电话{}", "please call {} tomorrow", "my number is {}, thanks", "WhatsApp: {}"]


def id_card(rng: random.Random) -> Made:
    area = rng.choice(["110101", "310115", "440106", "330102", "510104", "420111", "610113", "650102", "370203"])
    born = date(1945, 1, 1) + timedelta(days=rng.randrange(27_000))
    body = area + born.strftime("%Y%m%d") + digits(rng, 3)
    weighed = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(body))
    number = body + "10X98765432"[weighed % 11]
    if rng.random() < 0.2:
        number = area + born.strftime("%y%m%d") + digits(rng, 3)
        return number, ["身份证{}", "老身份证号是{}。", *BARE]
    written = rng.choice(
        [
            number,
            number,
            number.lower(),
            grouped(number, [6, 8], " "),
            grouped(number, [4, 4, 4, 4], " "),
            grouped(number, [6, 4, 4], "-"),
        ]
    )
    return written, [*BARE, "身份证号{}", "证件号码：{}，姓名张三", "my ID card number is {}"]


def check_digit(body: str) -> str:
    """That of the Luhn formula."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def bank_card(rng: random.Random) -> Made:
    prefix, length = rng.choice(
        [
            ("622202", 19),
            ("621700", 19),
            ("622848", 19),
            ("955880", 19),
            ("601382", 19),
            ("622588", 16),
            ("436742", 16),
            ("4", 16),
            ("52", 16),
            ("2223", 16),
            ("3782", 15),
            ("6011", 16),
            ("628888", 16),
            ("3622", 14),
            ("623058", 18),
        ]
    )
    body = prefix + digits(rng, length - len(prefix) - 1)
    number = body + check_digit(body)
    fours = [4] * 4
    written = rng.choice(
        [number, number, grouped(number, fours, " "), grouped(number, fours, "-"), grouped(number, fours, "  ")]
    )
    return written, [*BARE, "银行卡号{}", "卡号：{}，户名张三", "退到{}这张卡", "my card number is {}"]


def email(rng: random.Random) -> Made:
    local = rng.choice(["zhang.san", "li_si99", "info+shop", "13812345678", "a", "wang-wu", "J.Smith", "123456789"])
    domain = rng.choice(["qq.com", "163.com", "gmail.com", "mail.example.co.uk", "corp-name.com.cn", "x.io"])
    return f"{local}@{domain}", [*BARE, "邮箱{}", "发到{}就行", "email: {}", "write to {}."]


def passport(rng: random.Random) -> Made:
    number = rng.choice(
        ["E" + digits(rng, 8), "G" + digits(rng, 8), "EA" + digits(rng, 7), "C" + digits(rng, 8), "H" + digits(rng, 8)]
    )
    templates = [
        "护照号{}",
        "护照：{}，姓名李四",
        "我的护照是{}",
        "通行证{}",
        "passport no. {}",
        "My passport number is {}",
        "{}是我的护照号",
    ]
    return number, templates


def plate(rng: random.Random) -> Made:
    city = rng.choice("京沪粤苏浙川鄂湘鲁") + rng.choice("ABCDEFGHJKL")
    letters = rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ")
    number = rng.choice(
        [digits(rng, 5), letters + digits(rng, 4), digits(rng, 3) + letters + digits(rng, 1), "D" + digits(rng, 5)]
    )
    return city + rng.choice(["", "", "·", " "]) + number, [
        "车牌{}",
        "我的车是{}停在楼下",
        "{}",
        "来访车辆{}，谢谢",
        "plate {}",
    ]


PERSONAL: dict[str, Callable[[random.Random], Made]] = {
    "mobile": mobile,
    "landline": landline,
    "foreign": foreign,
    "id card": id_card,
    "bank card": bank_card,
    "email": email,
    "passport": passport,
    "plate": plate,
}


# What only looks like it

ANYWHERE = ["{}", "我的是{}谢谢", "see {} please", "{}，怎么回事", "（{}）", "it says {}."]


def order(rng: random.Random) -> Made:
    day = f"{rng.randrange(2019, 2027)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
    dated = [
        day + digits(rng, rng.choice([6, 8, 9, 10])),
        "DD" + day + digits(rng, 4),
        f"{day[2:]}-{digits(rng, 15)}",
        f"E{day}{digits(rng, 3)}",
    ]
    if rng.random() < 0.5:
        return rng.choice(dated), [*ANYWHERE, "订单{}没发货", "order {} is late"]
    labelled = rng.choice(
        [digits(rng, n) for n in (9, 11, 12, 15, 16, 19)] + ["138" + digits(rng, 8), "62" + digits(rng, 17)]
    )
    return labelled, [
        "订单号{}",
        "订单号：{}没发货",
        "订单编号是{}",
        "order number {}",
        "Order #{} please",
        "order no. {}",
    ]


def ticket(rng: random.Random) -> Made:
    return "TICKET-" + rng.choice([digits(rng, 6), "4F7K2M", digits(rng, 11), "1" + "38" + digits(rng, 8)]), [
        *ANYWHERE,
        "{}怎么样了",
    ]


def tracking(rng: random.Random) -> Made:
    written = rng.choice(["SF", "YT", "JDV", "ZTO"]) + digits(rng, rng.choice([12, 13, 15]))
    if rng.random() < 0.4:
        return digits(rng, rng.choice([12, 13, 14])), [
            "快递单号{}",
            "运单号：{}",
            "tracking number {}",
            "物流单号 {} 不动了",
        ]
    return written, [*ANYWHERE, "快递{}到哪了"]


def moment(rng: random.Random) -> Made:
    y, m, d = rng.randrange(1990, 2031), rng.randrange(1, 13), rng.randrange(1, 29)
    clock = f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
    return rng.choice(
        [
            f"{y}-{m:02}-{d:02}",
            f"{y}年{m}月{d}日",
            f"{y}{m:02}{d:02}",
            f"{m}/{d}/{y}",
            f"{y}-{m:02}-{d:02} {clock}",
            f"{y}.{m:02}.{d:02}",
            f"{y}-{m:02}-{d:02}T{clock}.{digits(rng, 6)}+08:00",
            "17" + digits(rng, 8),
            "17" + digits(rng, 11),
            f"{y}{m:02}{d:02}{clock.replace(':', '')}",
            f"{y}-{m:02}-{d:02} 至 {y}-{m:02}-{d:02}",
        ]
    ), [*ANYWHERE, "有效期到{}", "since {}"]


def amount(rng: random.Random) -> Made:
    return rng.choice(
        [
            f"¥{rng.randrange(10_000)}.{digits(rng, 2)}",
            f"{rng.randrange(100)},{digits(rng, 3)},{digits(rng, 3)}.00",
            f"{digits(rng, 4)}元",
            f"{rng.randrange(1, 900)}*{rng.randrange(1, 900)}*{rng.randrange(1, 900)}mm",
            f"{rng.randrange(100)}.{digits(rng, 1)}%",
            f"0.{digits(rng, 11)}",
            f"{rng.randrange(1, 99)}件",
            f"{rng.randrange(10, 99)} {rng.randrange(10, 99)} {rng.randrange(10, 99)}",
            f"1{digits(rng, 10)}元",
            f"¥1{digits(rng, 10)}",
            f"{rng.randrange(1, 90)}.{digits(rng, 6)},{rng.randrange(100, 180)}.{digits(rng, 6)}",
        ]
    ), ["一共{}", "价格是{}吗", "total {}", "{}", "要{}，能便宜吗"]


def technical(rng: random.Random) -> Made:
    octets = ".".join(str(rng.randrange(256)) for _ in range(4))
    return rng.choice(
        [
            octets,
            f"{octets}:8080",
            f"v{rng.randrange(20)}.{rng.randrange(100)}.{rng.randrange(1000)}",
            str(UUID(int=rng.getrandbits(128))),
            f"{rng.getrandbits(160):040x}",
            f"{rng.getrandbits(64):016x}",
            f"sku-{digits(rng, 11)}",
            f"IMG_{digits(rng, 8)}_{digits(rng, 6)}.jpg",
            f"iPhone {rng.randrange(11, 18)} Pro Max 256GB",
            f"SN{digits(rng, 14)}",
            "10.0.19045.3803",
            f"user_{digits(rng, 11)}",
            "@channel @zhangsan",
            f"ERR-{digits(rng, 5)}-{digits(rng, 4)}",
            f"AA:BB:CC:{rng.randrange(10, 99)}:{rng.randrange(10, 99)}:FF",
        ]
    ), [*ANYWHERE, "报错{}", "版本{}"]


def public(rng: random.Random) -> Made:
    return rng.choice(
        [
            f"400-{digits(rng, 3)}-{digits(rng, 4)}",
            f"400{digits(rng, 7)}",
            "95588",
            "12315",
            f"978-7-{digits(rng, 3)}-{digits(rng, 5)}-{digits(rng, 1)}",
            f"978{digits(rng, 10)}",
            f"91{digits(rng, 6)}MA{digits(rng, 7)}X",
            digits(rng, 6),
            f"{digits(rng, 4)}",
            "24小时",
            "7x24",
            "T+1",
            "2024-2025",
            f"第{rng.randrange(1, 99)}页",
        ]
    ), [*ANYWHERE, "官方客服{}", "邮编{}", "call our hotline {}"]


def words(rng: random.Random) -> Made:
    return rng.choice(
        [
            "护照丢了怎么办",
            "我的手机坏了",
            "how do I get a refund",
            "京A是北京的车牌",
            "passport renewal takes 10 days",
            "银行卡怎么绑定",
        ]
    ), ["{}"]


ORDINARY: dict[str, Callable[[random.Random], Made]] = {
    "order": order,
    "ticket": ticket,
    "tracking": tracking,
    "moment": moment,
    "amount": amount,
    "technical": technical,
    "public": public,
    "words": words,
}
