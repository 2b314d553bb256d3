"""Derives data/dialogues.jsonl from data/poems.jsonl and data/plays.jsonl.

    python3 recipes/corpus/dialogues.py      (standard library only, the same bytes on every run)

A dialogue asks for something that a real text of the training part has, and the answer is that
text: the form is computed from the poem, a subject is one whose words really occur in the title
and lines (phrases.py lists them), a character is the one who speaks. Documents that are held out
(split.py) are never used. Every choice comes from a hash of the document's id, not from a
generator of random numbers, so it does not depend on the version of Python.
"""

import collections
import hashlib
import json
import pathlib
import re

import phrases
from forms import form
from split import held_out

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
POEMS_PER_FORM = 700
SPEECHES = 1400
FOLLOW_UP_PER_CENT = 18  # of dialogues that go on after an answer, and again after the next
GREETING_PER_CENT = 6
MIN_POEMS_OF_AUTHOR = 60
MIN_SPEECHES_OF_CHARACTER = 6
SPEECH_LINES = range(4, 11)
ROLES = set(
    "KING QUEEN PRINCE DUKE DUCHESS CLOWN FOOL NURSE GHOST BASTARD CHORUS SHEPHERD PROVOST FRIAR "
    "LORD LADY SOLDIER WITCH MURDERER SENATOR GENTLEMAN CITIZEN SERVANT MESSENGER CAPTAIN DOCTOR "
    "PORTER HERALD GARDENER PRIEST OFFICER CONSTABLE BOY SOOTHSAYER MAN POET FAIRY PLAYER HOSTESS "
    "OUTLAW ARCHBISHOP CARDINAL MAYOR ABBOT CLERK GOVERNOR WIDOW PEDANT TAILOR TIME SON".split()
)


def main():
    """Writes the dialogues, both languages mixed."""
    pools = [
        Pool(poems(training("poems.jsonl")), POEM_KINDS, POEM_FOLLOW_UPS, "zh"),
        Pool(speeches(training("plays.jsonl")), SPEECH_KINDS, SPEECH_FOLLOW_UPS, "en"),
    ]
    made = [pool.dialogue(item) for pool in pools for item in chosen(pool)]
    made.sort(key=lambda dialogue: rank(dialogue["id"]))
    rows = [json.dumps(d, ensure_ascii=False, separators=(",", ":")) for d in made]
    (DATA / "dialogues.jsonl").write_text("".join(row + "\n" for row in rows), encoding="utf-8")


def rank(*words):
    """A number that looks random and is the same for the same words, everywhere."""
    return int.from_bytes(hashlib.sha256("/".join(words).encode()).digest()[:8], "big")


def pick(options, *words):
    return options[rank(*words) % len(options)]


def training(name):
    """The documents that are not held out; a second copy of any text is left out too."""
    documents = [json.loads(line) for line in (DATA / name).open(encoding="utf-8")]
    seen = {document["text"] for document in documents if held_out(document["id"])}
    for document in documents:
        if document["text"] not in seen:
            seen.add(document["text"])
            yield document


def subjects_of(table, count, least):
    """Indices into a table of subjects whose words `count` to `least` or more, the best three."""
    rows = enumerate(table)
    scores = {i: sum(count(word) for word in words.split()) for i, (_, _, words) in rows}
    return sorted((i for i in scores if scores[i] >= least), key=lambda i: (-scores[i], i))[:3]


def poems(documents):
    """Short-titled poems as items: what can be asked for, and the answer without the author."""
    items = []
    for document in documents:
        title, author, *couplets = document["text"].split("\n")
        if len(title) <= 8:
            body = "".join(couplets)
            found = subjects_of(
                phrases.POEM_SUBJECTS, lambda word: 2 * title.count(word) + body.count(word), 2
            )
            items.append({
                "id": document["id"],
                "document": document["id"],
                "form": form(body),
                "author": author,
                "subjects": found,
                "answer": "\n".join([title, *couplets]),
            })
    counts = collections.Counter(item["author"] for item in items)
    for item in items:
        known = counts[item["author"]] >= MIN_POEMS_OF_AUTHOR and item["author"] != "无名氏"
        item["author"] = item["author"] if known else None
    return items


def speeches(documents):
    """Short speeches in verse as items: who speaks, in which play, of what."""
    items = []
    for document in documents:
        for place, block in enumerate(document["text"].split("\n\n")):
            name, *lines = block.split("\n")
            if name.endswith(":") and is_verse(lines):
                words = collections.Counter(re.findall("[a-z']+", " ".join(lines).lower()))
                least = 1 if len(lines) <= 6 else 2
                items.append({
                    "id": f"{document['id']}-{place}",
                    "document": document["id"],
                    "character": name[:-1],
                    "play": document["meta"]["play"],
                    "subjects": subjects_of(phrases.SPEECH_SUBJECTS, words.__getitem__, least),
                    "answer": block,
                })
    counts = collections.Counter((item["play"], item["character"]) for item in items)
    for item in items:
        if counts[item["play"], item["character"]] < MIN_SPEECHES_OF_CHARACTER:
            item["character"] = None
    return items


def is_verse(lines):
    """Four to ten whole lines, each opening with a capital, no stage direction, a full stop."""
    text = "\n".join(lines)
    return (
        len(lines) in SPEECH_LINES
        and all(re.match("['\"(]*[A-Z]", line) for line in lines)
        and all(22 <= len(line) <= 60 for line in lines[:-1])
        and not re.search(r"[\[\]_]|[.!?] [A-Z]{4}", text)
        and text[-1] in ".!?"
    )


def chosen(pool):
    """The items that open a dialogue: the same number of each form, and a number of speeches."""
    groups = collections.defaultdict(list)
    for item in sorted(pool.items, key=lambda item: rank(item["id"])):
        groups[item.get("form")].append(item)
    quota = SPEECHES if pool.language == "en" else POEMS_PER_FORM
    return [item for key in sorted(groups, key=str) for item in groups[key][:quota]]


# How a dialogue opens: weight, phrasings, what the phrasing names.
POEM_KINDS = [
    (58, phrases.ASK_BOTH, ("subject", "form")),
    (12, phrases.ASK_SUBJECT, ("subject",)),
    (12, phrases.ASK_FORM, ("form",)),
    (8, phrases.ASK_AUTHOR, ("author", "form", "subject")),
    (10, phrases.ASK_ENGLISH_FOR_POEM, ("subject",)),
]
SPEECH_KINDS = [
    (24, phrases.ASK_CHARACTER, ("character",)),
    (22, phrases.ASK_CHARACTER_SUBJECT, ("character", "subject")),
    (8, phrases.ASK_PLAY, ("play",)),
    (10, phrases.ASK_PLAY_SUBJECT, ("play", "subject")),
    (24, phrases.ASK_SPEECH_SUBJECT, ("subject",)),
    (3, phrases.ASK_SPEECH, ()),
    (9, phrases.ASK_CHINESE_FOR_SPEECH, ("subject",)),
]
# How it goes on: phrasings, and what changes (None: the same wish again).
POEM_FOLLOW_UPS = [
    (phrases.AGAIN_POEM, None),
    (phrases.OTHER_FORM, "form"),
    (phrases.OTHER_SUBJECT, "subject"),
]
SPEECH_FOLLOW_UPS = [
    (phrases.AGAIN_SPEECH, None),
    (phrases.OTHER_SPEECH_SUBJECT, "subject"),
    (phrases.OTHER_CHARACTER, "character"),
]


class Pool:
    """All that can be answered in one language, with the ways of asking for it."""

    def __init__(self, items, kinds, follow_ups, language):
        self.items = items
        self.kinds = kinds
        self.follow_ups = follow_ups
        self.language = language

    def dialogue(self, item):
        """One dialogue of one to three requests that starts with `item` as the first answer."""
        key = item["id"]
        used, messages = [item], []
        if rank("greeting", key) % 100 < GREETING_PER_CENT:
            chinese = self.language == "zh"
            asks, replies = (
                (phrases.GREET_CHINESE, phrases.REPLY_CHINESE) if chinese
                else (phrases.GREET_ENGLISH, phrases.REPLY_ENGLISH)
            )
            messages += turn(pick(asks, "hello", key), pick(replies, "reply", key))
        asking, names = self.opening(item)
        wish = {name: item["subjects"][0] if name == "subject" else item[name] for name in names}
        phrase = pick(asking, "phrase", key)
        messages += turn(self.filled(phrase, wish, item), item["answer"])
        native = asking not in (phrases.ASK_ENGLISH_FOR_POEM, phrases.ASK_CHINESE_FOR_SPEECH)
        while native and len(used) < 3 and self.goes_on(key, len(used)):
            phrase, wish, item = self.follow_up(key, wish, used)
            if item is None:
                break
            messages += turn(self.filled(phrase, wish, item), item["answer"])
            used.append(item)
        sources = sorted({item["document"] for item in used})
        meta = {"language": self.language, "source_ids": sources}
        return {"id": f"ask-{key}", "messages": messages, "meta": meta}

    def goes_on(self, key, answers):
        return rank("more", key, str(answers)) % 100 < FOLLOW_UP_PER_CENT

    def opening(self, item):
        """The phrasings by which `item` is asked for, and what they name."""
        able = [
            kind for kind in self.kinds
            if all(item[name] if name != "subject" else item["subjects"] for name in kind[2])
        ]
        place = rank("kind", item["id"]) % sum(weight for weight, _, _ in able)
        for weight, asking, names in able:
            if place < weight:
                return asking, names
            place -= weight
        raise AssertionError("the weights are summed over the same list")

    def follow_up(self, key, wish, used):
        """(phrase, new wish, item to answer with), the item None when nothing fits."""
        asking, change = pick(self.follow_ups, "follow", key, str(len(used)))
        kept = {name: value for name, value in wish.items() if name != change}
        if change == "character":
            kept.pop("play", None)
        order = str(len(used))
        fitting = [item for item in self.items
                   if item not in used and fits(item, kept) and changed(item, change, wish)]
        if not fitting:
            return None, wish, None
        item = min(fitting, key=lambda item: rank(key, order, item["id"]))
        if change == "subject":
            kept[change] = next(i for i in item["subjects"] if i != wish.get(change))
        elif change:
            kept[change] = item[change]
        return pick(asking, "phrase", key, order), kept, item

    def filled(self, phrase, wish, item):
        """The phrase with its braces filled in from the wish, each in one of its names."""
        key = item["id"]
        words = {"play": item.get("play"), "author": item.get("author")}
        if "subject" in wish:
            table = phrases.POEM_SUBJECTS if "form" in item else phrases.SPEECH_SUBJECTS
            names, foreign, _ = table[wish["subject"]]
            chinese = not phrase.isascii()
            native = ("form" in item) == chinese
            words["subject"] = pick(names, "subject", key) if native else foreign
        if "form" in wish:
            words["form"] = pick(phrases.FORM_NAMES[wish["form"]], "form", key)
        if wish.get("character"):
            words["character"] = spoken_name(wish["character"], item["play"], phrase)
        return phrase.format(**words)


def turn(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def fits(item, wish):
    """Whether the item is what is wished for."""
    return all(
        value in item["subjects"] if name == "subject" else item[name] == value
        for name, value in wish.items()
    )


def changed(item, change, wish):
    """Whether the item has another subject, form or character than the last wish."""
    if change == "subject":
        return any(subject != wish.get("subject") for subject in item["subjects"])
    return change is None or bool(item[change]) and item[change] != wish.get(change)


def spoken_name(character, play, phrase):
    """`LADY MACBETH` as `Lady Macbeth`, `KING` as `the king in Hamlet`."""
    if character.split()[-1] in ROLES:
        where = "" if "{play}" in phrase else f" in {play}"
        return f"the {character.lower()}{where}"
    return " ".join(word.capitalize() for word in character.split())


if __name__ == "__main__":
    main()
