"""Compares what our filters and datatrove's decide on the same documents, and lists every
difference.

    python3 filters.py CORPUS.jsonl DECISIONS.jsonl ..

DECISIONS is made by filters_reference.py in an environment of its own; ours by `cargo run --release
-p danlu-data --example filters`, which this script calls with each filter alone and with FineWeb's
chain. A decision is: kept or dropped, the reason, and the text that is left.
"""
import json, os, subprocess, sys, tempfile

CHAIN = ["gopher_repetition", "gopher_quality", "c4", "fineweb"]
rows = {}
for path in sys.argv[2:]:
    for line in open(path):
        row = json.loads(line)
        rows[row["id"]] = row
with tempfile.TemporaryDirectory() as folder:
    files = "steps.json", "in.jsonl", "out.jsonl"
    steps, corpus, out = (os.path.join(folder, name) for name in files)
    with open(steps, "w") as f:
        json.dump({**{name: [name] for name in CHAIN}, "chain": CHAIN}, f)
    with open(corpus, "w") as f:
        f.writelines(line for line in open(sys.argv[1]) if json.loads(line)["id"] in rows)
    program = os.environ.get("FILTERS") or "target/release/examples/filters"
    subprocess.run([program, steps, corpus, out, "2"], check=True)
    ours = {row["id"]: row for row in map(json.loads, open(out))}

differ = {name: [] for name in [*CHAIN, "chain"]}
dropped = 0
for name, row in rows.items():
    dropped += row["chain"] is not None
    for step in differ:
        theirs = row[step] if step == "chain" else row[step] and f"{step}: {row[step]}"
        text = "text" if step == "chain" else f"{step}_text"
        mine = ours[name]
        # What is left of a dropped document counts for nothing.
        if mine[step] != theirs or theirs is None and mine.get(f"{step}_text") != row.get(text):
            differ[step].append((name, theirs, mine[step]))
print(f"{len(rows)} documents, {dropped} dropped by the chain")
for step, found in differ.items():
    same = 100 * (1 - len(found) / len(rows))
    print(f"{step}: {same:.3f} % the same, {len(found)} differ")
    for name, theirs, mine in found:
        print(f"  {name}: datatrove {theirs}, ours {mine}")
sys.exit(any(differ.values()))
