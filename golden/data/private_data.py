"""Makes texts with private data and where it stands: private_data.jsonl, below 100 kB.

    python private_data.py [TEXTS] > private_data.jsonl

Written against Faker 40.63.0, which makes the sentences and all that it has: addresses, phone, card
and identity numbers of en_US, en_GB and zh_CN. Whether an address of a machine is public is asked
of Python 3.11's ipaddress. Keys are made to their issuers' published forms. Each text also has
pieces that look alike and are not private: numbers with a wrong check digit, orders, dates,
versions, amounts, names of files. Places are in bytes: [first, end, kind].
"""
import ipaddress, json, random, string, sys

from faker import Faker

rng = random.Random(7)
Faker.seed(7)
US, GB, ZH = Faker("en_US"), Faker("en_GB"), Faker("zh_CN")
ALNUM = string.ascii_letters + string.digits


def some(characters, count):
    return "".join(rng.choice(characters) for _ in range(count))


def luhn(number):
    twice = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(number))]
    return sum(n // 10 + n % 10 for n in twice) % 10 == 0


def grouped(number):
    sizes = {15: (4, 6, 5), 14: (4, 6, 4), 16: (4, 4, 4, 4), 19: (4, 4, 4, 4, 3)}.get(len(number))
    if not sizes or rng.random() < 0.4:
        return number
    sign, parts, at = rng.choice(" -"), [], 0
    for size in sizes:
        parts.append(number[at:at + size])
        at += size
    return sign.join(parts)


def union_pay():
    while True:
        number = "62" + some(string.digits, rng.choice([14, 17]))
        if luhn(number):
            return number


def wide(text):
    """Full-width digits and signs, as Chinese input methods write them."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def address(make):
    while True:
        text = make()
        if ipaddress.ip_address(text).is_global:
            return text


def ipv6():
    number = ipaddress.ip_address(rng.choice([0x2400, 0x2600, 0x2A00, 0x2408]) << 112)
    bits = rng.getrandbits(16) << 96 | rng.getrandbits(rng.choice([16, 64, 96]))
    return str(ipaddress.ip_address(int(number) | bits))


def api_key():
    upper = string.ascii_uppercase + string.digits
    return rng.choice([
        lambda: rng.choice(["AKIA", "ASIA"]) + some(upper, 16),
        lambda: "ghp_" + some(ALNUM, 36),
        lambda: "github_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59),
        lambda: "sk-proj-" + some(ALNUM + "_-", 74) + some(ALNUM, 2),
        lambda: "AIza" + some(ALNUM + "_-", 34) + some(ALNUM, 1),
        lambda: f"xoxb-{some(string.digits, 12)}-{some(string.digits, 12)}-{some(ALNUM, 24)}",
        lambda: "sk_live_" + some(ALNUM, 24),
        lambda: "hf_" + some(string.ascii_letters, 34),
        lambda: "LTAI" + some(ALNUM, 20),
        lambda: "AKID" + some(ALNUM, 32),
        lambda: "glpat-" + some(ALNUM, 20),
        lambda: f"eyJ{some(ALNUM, 33)}.eyJ{some(ALNUM, 60)}.{some(ALNUM + '_-', 42)}A",
    ])()


def zh_phone():
    mobile = ZH.phone_number()
    return rng.choice([
        mobile, f"{mobile[:3]} {mobile[3:7]} {mobile[7:]}",
        f"{mobile[:3]}-{mobile[3:7]}-{mobile[7:]}",
        f"+86 {mobile}", f"+86-{mobile}", f"0086{mobile}", f"(+86){mobile}", wide(mobile),
        f"010-{rng.randint(2, 8)}{some(string.digits, 7)}",
        f"0{rng.randint(311, 998)}-{rng.randint(2, 8)}{some(string.digits, 6)}",
        f"(021){rng.randint(2, 8)}{some(string.digits, 7)}",
        f"0755-{rng.randint(2, 8)}{some(string.digits, 7)}转{rng.randint(1, 999)}",
        f"400-{some(string.digits, 3)}-{some(string.digits, 4)}",
    ])


def zh_id():
    number = ZH.ssn()
    return rng.choice([number, number, number.lower(), f"{number[:6]} {number[6:14]} {number[14:]}",
                       wide(number)])


def credentials(fake):
    name, word = fake.user_name(), some(ALNUM + "!$*-_", 10)
    scheme = rng.choice(["https", "ftp", "postgres", "redis", "mongodb"])
    host = fake.domain_name() if rng.random() < 0.7 else "10.0.0.7:5432"
    if rng.random() < 0.25:
        return f"https://{fake.domain_name()}/v1/list?page=2&access_token=", some(ALNUM, 24), "&n=5"
    return f"{scheme}://", f"{name}:{word}", f"@{host}/{fake.word() if fake is US else 'db'}"


def spoilt_id():
    """A number of identity with another check character."""
    number = ZH.ssn()
    return number[:17] + rng.choice([c for c in "0123456789X" if c != number[17]])


def spoilt_card():
    number = US.credit_card_number("visa16")
    return number[:15] + rng.choice([c for c in string.digits if c != number[15]])


EN = [
    ("email", lambda: US.email(), ["Write to {} for details.", "Contact: {}", "<{}> wrote:",
                                   "E-mail {}, or come by.", "(mailto:{})"]),
    ("phone", lambda: rng.choice([US, US, GB]).phone_number(),
     ["Call {} today.", "Phone: {}", "My number is {}, day or night.", "Tel. {}", "Fax {};"]),
    ("id_card", lambda: US.ssn(), ["SSN: {}", "Her social security number is {}.", "({})"]),
    ("bank_card", lambda: grouped(US.credit_card_number()),
     ["Charged to card {}.", "Card number: {}", "Pay with {} please,"]),
    ("ip", lambda: address(US.ipv4) if rng.random() < 0.7 else ipv6(),
     ["Request from {} failed.", "ssh root at {}, port 22", "host={}", "[{}] GET /index.html"]),
    ("api_key", api_key, ["export KEY={}", "api_key: \"{}\"", "The token {} was revoked.",
                          "Authorization: Bearer {}"]),
]
CN = [
    ("email", lambda: ZH.email(), ["邮箱：{}。", "请发邮件到{}联系我们。", "电子邮件 {} ，"]),
    ("phone", zh_phone, ["联系电话：{}。", "请拨打{}咨询", "手机号{}，微信同号。", "（电话 {}）"]),
    ("id_card", zh_id, ["身份证号：{}。", "证件号码 {} ，", "公民身份号码{}的持有人"]),
    ("bank_card", lambda: grouped(rng.choice([union_pay, ZH.credit_card_number])()),
     ["卡号：{}。", "请汇款至{}账户", "银行卡 {} ，"]),
    ("ip", lambda: address(ZH.ipv4) if rng.random() < 0.7 else ipv6(),
     ["来自{}的请求", "服务器地址：{}。", "IP {} 已封禁"]),
    ("api_key", api_key, ["密钥：{}", "令牌为 {} ，请勿外传。", "AccessKey={} ，"]),
]


def version():
    return f"{rng.randint(1, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 9)}.{rng.randint(0, 9)}"


NOT_EN = [
    lambda: f"Order {some(string.digits, 10)} shipped on {US.date()}.",
    lambda: f"Version {version()}.",
    lambda: f"It was {US.date()} {US.time()}.",
    lambda: f"The sum is {rng.randint(10**6, 10**9):,} dollars, or {rng.random() * 1e6:.6f}.",
    lambda: "Listen on 127.0.0.1:8080 or 192.168.1.20, mask 255.255.255.0.",
    lambda: f"Not a card: {spoilt_card()}.",
    lambda: f"Not given out: {rng.choice(['000', '666', '9' + some(string.digits, 2)])}-12-3456.",
    lambda: f"ISBN 978-7-{some(string.digits, 3)}-{some(string.digits, 5)}-{rng.randint(0, 9)}",
    lambda: "Clone git@example.com:team/tool.git and open icon@2x.png.",
    lambda: f"commit {some('0123456789abcdef', 40)}",
    lambda: f"See https://{US.domain_name()}/a/{some(string.digits, 8)}?page=3#top",
    lambda: "std::vector<int> at 12:30:45, ratio 3:2::1",
    lambda: f"Part no. {some(string.ascii_uppercase, 2)}{some(string.digits, 9)}",
    lambda: f"pi = 3.{some(string.digits, 15)}",
]
NOT_CN = [
    lambda: f"订单编号2024{some(string.digits, 9)}，",
    lambda: f"{ZH.date()}发布，",
    lambda: f"版本{version()}。",
    lambda: f"错误的证件{spoilt_id()}。",
    lambda: f"错误的卡号{spoilt_card()}。",
    lambda: f"共{rng.randint(10**6, 10**9)}元，",
    lambda: f"编号{some(string.ascii_uppercase, 3)}-{some(string.digits, 7)}，",
    lambda: f"邮编{some(string.digits, 6)}，",
    lambda: f"约{rng.random() * 1e8:.3f}千米，",
    lambda: "本机127.0.0.1，网关192.168.0.1。",
    lambda: f"国标GB{rng.randint(1000, 99999)}-{rng.randint(1990, 2024)}，",
]


def build(fake, kinds, others, gap):
    text, spans = "", []

    def add(piece, kind=None):
        nonlocal text
        start = len(text.encode())
        text += piece
        if kind:
            spans.append([start, len(text.encode()), kind])

    for _ in range(rng.randint(1, 3)):
        draw = rng.random()
        if draw < 0.3:
            add(rng.choice(others)())
        elif draw < 0.38:
            before, secret, after = credentials(fake)
            add(before)
            add(secret, "url_credentials")
            add(after)
        elif draw < 0.85:
            kind, make, templates = rng.choice(kinds)
            before, after = rng.choice(templates).split("{}")
            add(before)
            add(make(), kind)
            add(after)
        else:
            add(fake.sentence())
        add(gap)
    return {"text": text, "spans": spans}


count = int(sys.argv[1]) if len(sys.argv) > 1 else 680
for number in range(count):
    row = build(US, EN, NOT_EN, " ") if number % 2 else build(ZH, CN, NOT_CN, rng.choice(["", " "]))
    print(json.dumps(row, ensure_ascii=False))
