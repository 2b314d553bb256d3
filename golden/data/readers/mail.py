"""Makes the mails beside this script and `expected-mail.json`, what a reader must find in them.

Written and read back by the packages `email` and `mailbox` of Python 3.11. Run: python3 mail.py
"""

import base64
import email
import email.header
import email.policy
import email.utils
import json
import mailbox
import pathlib
import re
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

HERE = pathlib.Path(__file__).parent
EXPECTED = {}

ENGLISH = "Dear all,\n\nthe old bridge is closed. Its piers have moved by a hand.\n\nYours\n"
CHINESE = "各位：\n\n白日依山尽，黄河入海流。欲穷千里目，更上一层楼。\n这首诗写的是登高望远。\n"
TRADITIONAL = "各位：\n\n白日依山盡，黃河入海流。欲窮千里目，更上一層樓。\n這首詩寫的是登高望遠。\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
FRENCH = "Où sont les élèves de l'école? Ils ont déjà mangé à la forêt, près du château = loin.\n"
PAGE = "<html><head><style>p { color: red }</style></head><body><p>Only <b>here</b> &amp; now."
PAGE += "</p><p>再见</p><script>x()</script></body></html>"
LABELS = {"gb2312": "GBK", "gb18030": "gb18030", "big5": "Big5", "iso-2022-jp": "ISO-2022-JP"}
LABELS |= {"iso-8859-1": "windows-1252", "shift_jis": "Shift_JIS"}


def word(text, charset):
    """A word of RFC 2047 with the name of its charset that programs use."""
    return f"=?{charset}?B?{base64.b64encode(text.encode(charset)).decode()}?="


def head(message, number, subject, charset="utf-8"):
    message["From"] = "A Writer <writer@example.org>"
    message["To"] = "reader@example.org"
    message["Subject"] = subject if subject.isascii() else word(subject, charset)
    message["Date"] = f"Tue, 0{number % 9 + 1} Sep 2026 12:30:0{number % 10} +0800"
    message["Message-ID"] = f"<{number}.bridge@example.org>"
    return message


def single(number, subject, text, charset):
    """One part, as old programs send it: base64, quoted-printable or seven bits by its charset."""
    return head(MIMEText(text, "plain", charset), number, subject, charset)


def eight_bit(number, subject, text, charset, stated):
    """Bytes as they are, with or without a word on their charset."""
    fields = [b"From: writer@example.org", b"Date: Wed, 2 Sep 2026 01:02:03 GMT"]
    fields += [b"Subject: " + subject.encode(charset)]
    if stated:
        fields += [b"Content-Type: text/plain; charset=" + charset.encode()]
        fields += [b"Content-Transfer-Encoding: 8bit"]
    return b"\n".join(fields) + b"\n\n" + text.encode(charset)


def messages():
    yield single(1, "The bridge", ENGLISH, "us-ascii")
    yield single(2, "登高：更上一层楼", CHINESE, "gb2312")
    yield single(3, "登高：更上一層樓", TRADITIONAL, "big5")
    yield single(4, "猫の話", JAPANESE, "iso-2022-jp")
    yield single(5, "À l'école", FRENCH, "iso-8859-1")
    both = MIMEMultipart("alternative", boundary="two-forms")
    both.attach(MIMEText("<p>The same, coloured.</p>", "html"))
    both.attach(MIMEText("From the plain part.\n\nFrom here on it is quoted.\n", "plain"))
    yield head(both, 6, "Two forms, " + "a long subject that is folded over lines, " * 3)
    mail = head(EmailMessage(), 7, "Attachments")
    mail.set_content(CHINESE, charset="gb18030", cte="quoted-printable")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="a.png")
    mail.add_attachment("id,text\n1,x\n", subtype="csv", filename="b.csv")
    mail.add_attachment("notes to keep apart\n", filename="c.txt")
    mail.add_attachment(single(8, "inside", ENGLISH, "utf-8"))
    mail.set_boundary("attached")
    yield mail
    only = head(EmailMessage(), 9, "A page")
    only.set_content(PAGE, subtype="html", cte="base64")
    yield only


def expected(identity, data):
    """What the reference finds: the body that a reader would be shown, decoded."""
    mail = email.message_from_bytes(data, policy=email.policy.default)
    body = mail.get_body(("plain", "html"))
    text, meta = body.get_content().replace("\r\n", "\n").strip("\n").rstrip(), {}
    old = email.message_from_bytes(data)
    parts = email.header.decode_header(old["Subject"])
    meta["subject"] = " ".join(str(email.header.make_header(parts)).split())
    date = email.utils.parsedate_to_datetime(old["Date"]).isoformat()
    meta["date"] = date.replace("+00:00", "Z")
    if old["Message-ID"]:
        meta["message_id"] = old["Message-ID"].strip("<>")
    if attachments := len(list(mail.iter_attachments())):
        meta["attachments"] = attachments
    if body.get_content_subtype() == "html":
        text = "Only here & now.\n再见"
    charset = body.get_content_charset("utf-8")
    if charset in LABELS and not text.isascii():
        meta["encoding"] = LABELS[charset]
    return {"id": identity, "text": text, "meta": meta}


def main():
    path = HERE / "letters.mbox"
    path.unlink(missing_ok=True)
    box = mailbox.mbox(path)
    for mail in messages():
        entry = mailbox.mboxMessage(mail)
        entry.set_from("writer@example.org", (2026, 9, 1, 12, 30, 0, 1, 244, 0))
        box.add(entry)
    box.close()
    # Python quotes `From ` lines but does not take the quotes away again.
    EXPECTED[path.name] = [
        expected(f"{path.name}:{number + 1}", mailbox.mbox(path).get_bytes(number))
        for number in range(len(mailbox.mbox(path)))
    ]
    for found in EXPECTED[path.name]:
        found["text"] = re.sub(r"(?m)^>(>*From )", r"\1", found["text"])
    single_mail = next(mail for mail in messages() if mail["Subject"] == "Attachments").as_bytes()
    for name, data in [
        ("attachments.eml", single_mail.replace(b"\n", b"\r\n")),
        ("gbk.eml", eight_bit(1, "登高：更上一层楼", CHINESE * 3, "gbk", True)),
    ]:
        (HERE / name).write_bytes(data)
        EXPECTED[name] = [expected(f"{name}:1", data)]
    # The reference does not guess: bytes without a charset are what was put in.
    data = eight_bit(2, "登高：更上一层楼", CHINESE * 3, "gbk", False)
    (HERE / "unlabelled.eml").write_bytes(data)
    meta = {"subject": "登高：更上一层楼", "date": "2026-09-02T01:02:03Z", "encoding": "GBK"}
    document = {"id": "unlabelled.eml:1", "text": (CHINESE * 3).rstrip(), "meta": meta}
    EXPECTED["unlabelled.eml"] = [document]
    EXPECTED["gbk.eml"] = [document | {"id": "gbk.eml:1"}]
    (HERE / "expected-mail.json").write_text(
        json.dumps(EXPECTED, ensure_ascii=False, indent=1) + "\n"
    )


main()
