"""Regulated Tang poems, in simplified Chinese, out of the npm package chinese-poetry.

One document is one poem: the title in 《》, the author, then a couplet a line.
What is kept, and why:
- four or eight lines of five or seven characters, no note, gap or editor's bracket inside;
- level rhyme and regular tone pattern, as annotated by the package itself (dist/strains), with at
  most MAX_SLIPS positions off: a small model should see forms that really are regular. The famous
  "Three Hundred Tang Poems" come first and are kept whatever their tones;
- a title of one to eight Chinese characters (no "forty poems, the third");
- characters of the national standard set GB 2312 only, and none that is rarer than MIN_COUNT in
  the whole selection: a character seen twice cannot be learned;
- one copy of poems that the collection prints under two authors with small differences. Exact
  copies stay: dropping those is the pipeline's own work.
"""

import collections
import json
import re
import tarfile

from forms import form, lines_of
from opencc import OpenCC

MAX_SLIPS = 1
MIN_COUNT = 6
LEVEL, OBLIQUE, EITHER = "平仄○"

# Variant characters that the collection mixes with the standard ones; the right-hand side is the
# form of the People's Republic's list of standard characters. OpenCC leaves these alone.
VARIANTS = str.maketrans(
    "疎鴈猨劒遶簷荅慙徧櫂嬾堦鬬谿斾蘂媿髪秪桮褭臯煖隣遰廻歛幷珮暎逈僊碁鏁妬飜呌罇栢隄鵶趂"
    "牋缾鼇巵𬬻竝覩羇粧棃麤秖鸎讐檝毬珪詶醆邨牕顦顇悮嵒慇懃髣髴飖嚬壻椀筭帬徴蔕筯藂懽勅燄擡衞"
    "窓淛虵穉汚峩飡磵襃窻怱効",
    "疏雁猿剑绕檐答惭遍棹懒阶斗溪旆蕊愧发只杯袅皋暖邻递回敛并佩映迥仙棋锁妒翻叫樽柏堤鸦趁"
    "笺瓶鳌卮炉并睹羁妆梨粗只莺仇楫球圭酬盏村窗憔悴误岩殷勤仿佛摇颦婿碗算裙征蒂箸丛欢敕焰抬卫"
    "窗浙蛇稚污峨餐涧褒窗匆效",
)


def documents(archive):
    """All poems of the archive (path of the .tgz) as [{id, text, meta}], the same on every run."""
    with tarfile.open(archive) as tar:
        read = {m.name: tar.extractfile(m).read() for m in tar if wanted(m.name)}
    simplify = OpenCC("t2s").convert
    poems = []
    for poem in three_hundred(read) + complete_tang(read):
        for key in ("title", "author", "body"):
            poem[key] = simplify(poem[key]).translate(VARIANTS)
        if readable(poem):
            poems.append(poem)
    poems = without_near_copies(poems)
    counts = collections.Counter(c for p in poems for c in p["title"] + p["body"])
    kept = [p for p in poems if min(counts[c] for c in p["title"] + p["body"]) >= MIN_COUNT]
    return [{"id": p["id"], "text": layout(p), "meta": {"language": "zh"}} for p in kept]


def wanted(name):
    return (
        name == "package/dist/mengxue/tangshisanbaishou.json"
        or re.fullmatch(r"package/dist/quantangshi/poet\.tang\.\d+\.json", name)
        or re.fullmatch(r"package/dist/strains/json/poet\.tang\.\d+\.json", name)
    )


def three_hundred(read):
    """The poems of regular form in "Three Hundred Tang Poems", without the editors' notes."""
    book = json.loads(read["package/dist/mengxue/tangshisanbaishou.json"])
    poems = []
    for poem in (poem for part in book["content"] for poem in part["content"]):
        body = re.sub(r"[(（][^()（）]*[)）]|\s", "", "".join(poem["paragraphs"]))
        if form(body):
            title = poem["chapter"].split("·")[0]
            key = f"tang300-{len(poems) + 1:03}"
            poems.append({"id": key, "title": title, "author": poem["author"], "body": body})
    return poems


def complete_tang(read):
    """The poems of regular form and metre in the "Complete Tang Poems"; the id tells the place."""
    poems = []
    for start in range(0, 58000, 1000):
        tones = json.loads(read[f"package/dist/strains/json/poet.tang.{start}.json"])
        tones = {entry["id"]: "".join(entry["strains"]) for entry in tones}
        shelf = json.loads(read[f"package/dist/quantangshi/poet.tang.{start}.json"])
        for place, poem in enumerate(shelf, start):
            body = "".join(poem["paragraphs"])
            if form(body) and regulated(body, tones.get(poem["id"], "")):
                key = f"tang-{place:05}"
                poems.append(
                    {"id": key, "title": poem["title"], "author": poem["author"], "body": body}
                )
    return poems


def regulated(body, tones):
    """Whether the annotated tones follow the rules of regulated verse.

    Even places of a line alternate, the lines of a couplet oppose each other, neighbouring couplets
    agree; even lines end level (the rhyme), the other lines after the first end oblique.
    """
    rows = [row for row in re.split(f"[^{LEVEL}{OBLIQUE}{EITHER}]", tones) if row]
    if [len(row) for row in rows] != [len(line) for line in lines_of(body)]:
        return False

    def clash(a, b, same):
        return EITHER not in (a, b) and (a == b) != same

    slips = 0
    for row in rows:
        slips += sum(clash(row[i], row[i + 2], False) for i in range(1, len(row) - 2, 2))
    slips += sum(clash(rows[i][1], rows[i + 1][1], i % 2 == 1) for i in range(len(rows) - 1))
    rhyme = all(not clash(row[-1], LEVEL, True) for row in rows[1::2])
    return rhyme and slips <= MAX_SLIPS and all(
        not clash(row[-1], OBLIQUE, True) for row in rows[2::2]
    )


def readable(poem):
    """Whether title, author and body are plain modern characters, and the title is short."""
    try:
        (poem["title"] + poem["body"]).encode("gb2312")
    except UnicodeEncodeError:
        return False
    han = re.compile("[\u4e00-\u9fff]{1,8}")
    return bool(han.fullmatch(poem["title"]) and han.fullmatch(poem["author"]))


def without_near_copies(poems):
    """Drops a poem when half its lines or more stand in earlier ones, unless it is a full twin."""
    first = {}
    kept = []
    for poem in poems:
        lines = set(lines_of(poem["body"]))
        known = [first[line] for line in sorted(lines) if line in first]
        twin = any(layout(other) == layout(poem) for other in known)
        if twin or 2 * len(known) < len(lines):
            kept.append(poem)
            for line in lines:
                first.setdefault(line, poem)
    return kept


def layout(poem):
    """Title, author, then a couplet a line, the line's marks set as `，` and `。` (? and ! stay)."""
    marks = re.findall("[，。？！；]", poem["body"])
    lines = lines_of(poem["body"])
    rows = []
    for i in range(0, len(lines), 2):
        middle = marks[i] if marks[i] in "？！" else "，"
        end = marks[i + 1] if i + 1 < len(marks) and marks[i + 1] in "？！" else "。"
        rows.append(lines[i] + middle + lines[i + 1] + end)
    return "\n".join([f"《{poem['title']}》", poem["author"], *rows])
