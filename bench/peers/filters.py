"""Compares our quality filters with datatrove's: what they decide, or how fast they are.

    python3 filters.py agree en|zh CORPUS.jsonl DECISIONS.jsonl ..
    python3 filters.py speed en|zh CORPUS.jsonl DATATROVE_PYTHON [DOCUMENTS [ROUNDS]]

`agree` lists every document on which anything differs: the words, or what a filter alone or the
published chain makes of it (kept or dropped, the reason, the text that is left). DECISIONS is made
by filters_reference.py, and BAD_WORDS names the folder of lists if it did there. `speed` runs the
chain over DOCUMENTS (2000) documents spread over the corpus, by turns with filters_chain.py, each
with two workers, and takes medians of ROUNDS (3); what both need for two documents is their start.
Ours is `cargo build --release -p danlu-data --example filters`; FILTERS=PATH names another.
"""
import json, os, statistics, subprocess, sys, tempfile, time

CHAINS = {"en": ["gopher_repetition", "gopher_quality", "c4", "fineweb"],
          "zh": ["gopher_repetition", "fineweb", "gopher_quality"]}
HERE = os.path.dirname(os.path.abspath(__file__))
LISTS = os.path.abspath(os.environ.get("BAD_WORDS") or f"{HERE}/../../golden/data/bad_words")
# datatrove takes these off the lists of all languages.
ALLOWED = ["性", "sm", "グロ", "女の子"]
PROGRAM = os.environ.get("FILTERS") or "target/release/examples/filters"


def steps(language, names):
    return [{"name": name, "language": language} for name in names]


def alone(language):
    """The steps that are compared by themselves, under their names in DECISIONS."""
    words = {"name": "bad_words", "file": f"{LISTS}/{language}", "allow": ALLOWED}
    found = {name: steps(language, [name]) for name in CHAINS[language]}
    if language == "en":
        found["c4_closed"] = [{"name": "c4", "terminal_punctuation": True}]
    found["c4_paragraphs"] = [{"name": "c4_paragraphs"}]
    found["bad_words"] = [{**words, "whole_words": language != "zh"}]
    return found


def agree(language, corpus, *decisions):
    chain, single = CHAINS[language], alone(language)
    rows = {}
    for path in decisions:
        for line in open(path):
            row = json.loads(line)
            rows[row["id"]] = row
    with tempfile.TemporaryDirectory() as folder:
        files = "steps.json", "in.jsonl", "out.jsonl"
        sets, chosen, out = (os.path.join(folder, name) for name in files)
        with open(sets, "w") as f:
            json.dump({**single, "chain": steps(language, chain)}, f)
        with open(chosen, "w") as f:
            f.writelines(line for line in open(corpus) if json.loads(line)["id"] in rows)
        subprocess.run([PROGRAM, sets, chosen, out, "2", language], check=True)
        ours = {row["id"]: row for row in map(json.loads, open(out))}
    differ = {name: [] for name in ["words", *single, "chain"]}
    for name, row in rows.items():
        mine = ours[name]
        for step, found in differ.items():
            theirs, text = row[step], row.get("text" if step == "chain" else f"{step}_text")
            if step in single and theirs:
                theirs = f"{single[step][0]['name']}: {theirs}"
            # What is left of a dropped document counts for nothing.
            left = theirs is None and mine.get(f"{step}_text") != text
            if mine[step] != theirs or left:
                found.append(f"  {name}: datatrove {theirs}, ours {mine[step]}")
    dropped = sum(row["chain"] is not None for row in rows.values())
    print(f"{len(rows)} documents, {dropped} dropped by the chain")
    for step, found in differ.items():
        same = 100 * (1 - len(found) / len(rows))
        print(f"{step}: {same:.3f} % the same, {len(found)} differ", *found, sep="\n")
    return any(differ.values())


def tree_rss(root):
    """Resident bytes of a process and all below it."""
    parents, sizes = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        parents[int(name)], sizes[int(name)] = int(fields[1]), int(fields[21])
    inside = {root}
    while more := {one for one, parent in parents.items() if parent in inside} - inside:
        inside |= more
    return sum(sizes.get(one, 0) for one in inside) * os.sysconf("SC_PAGE_SIZE")


def measure(command):
    """Seconds and the most bytes that were resident at once."""
    start, most = time.perf_counter(), 0
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None:
        most = max(most, tree_rss(child.pid))
        time.sleep(0.02)
    if child.returncode:
        sys.exit(f"{command} failed with {child.returncode}")
    return time.perf_counter() - start, most


def speed(language, corpus, python, documents="2000", rounds="3"):
    lines = open(corpus).readlines()
    lines = lines[::max(1, len(lines) // int(documents))][:int(documents)]
    size = sum(len(json.loads(line)["text"].encode()) for line in lines)
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        for name, part in ("all", lines), ("few", lines[:2]):
            os.mkdir(at(name))
            for worker in range(2):
                with open(at(f"{name}/{worker}.jsonl"), "w") as f:
                    f.writelines(part[worker::2])
            with open(at(f"{name}.jsonl"), "w") as f:
                f.writelines(part)
        with open(at("steps.json"), "w") as f:
            json.dump({"chain": steps(language, CHAINS[language])}, f)
        script = os.path.join(HERE, "filters_chain.py")
        theirs = lambda name: [python, script, language, at(name), tempfile.mkdtemp(dir=folder)]
        ours = lambda name: [PROGRAM, at("steps.json"), at(f"{name}.jsonl"), at("out.jsonl"), "2"]
        sides = {"datatrove": theirs, "danlu": ours}
        runs = {(side, name): [] for name in ("few", "all") for side in sides}
        for _ in range(int(rounds)):
            for (side, name), run in runs.items():
                run.append(measure(sides[side](name)))
    middle = {key: [statistics.median(one) for one in zip(*run)] for key, run in runs.items()}
    print(f"{language}, {len(lines)} documents, {size / 1e6:.1f} MB, 2 workers, {rounds} rounds")
    print("| | start s | then s | documents/s | MB/s | peak MiB |\n|---|---|---|---|---|---|")
    table = {}
    for side in sides:
        (start, _), (seconds, most) = middle[side, "few"], middle[side, "all"]
        then = seconds - start
        table[side] = seconds, then, most
        print(f"| {side} | {start:.2f} | {then:.2f} | {len(lines) / then:.0f} | "
              f"{size / 1e6 / then:.2f} | {most / 2**20:.0f} |")
    whole, then, most = (slow / fast for slow, fast in zip(table["datatrove"], table["danlu"]))
    print(f"| ratio | with start {whole:.1f}x | | {then:.1f}x | | 1/{most:.1f} |")


sys.exit({"agree": agree, "speed": speed}[sys.argv[1]](*sys.argv[2:]))
