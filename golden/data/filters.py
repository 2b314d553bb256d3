"""Picks documents and what datatrove decides on them for filters_en.jsonl and filters_zh.jsonl,
each below 100 kB.

    python3 filters.py CORPUS.jsonl DECISIONS.jsonl .. > filters_en.jsonl

CORPUS is made by bench/peers/filters_corpora.py, DECISIONS by bench/peers/filters_reference.py
(datatrove 0.10.1, spaCy 3.8.18, jieba 0.42.1). For each reason of each filter the shortest
documents, then those whose text C4 rewrites, as long as there is room.
"""
import json, sys

texts = {}
for line in open(sys.argv[1]):
    record = json.loads(line)
    texts[record["id"]] = record["text"]
rows = {}
for path in sys.argv[2:]:
    for line in open(path):
        row = json.loads(line)
        rows[row["id"]] = row
groups = {}
for row in rows.values():
    names = [name for name in row if name not in ("id", "words") and "text" not in name]
    keys = [(name, row[name]) for name in names]
    keys += [(f"rewritten by {name}", None) for name in names if f"{name}_text" in row]
    for key in keys:
        groups.setdefault(key, []).append(row)
chosen, room = {}, 95_000
for rank in range(40):
    for key in sorted(groups, key=str):
        group = sorted(groups[key], key=lambda row: (len(texts[row["id"]]), row["id"]))
        # The shortest of all say little where the filter lets them pass.
        group = [row for row in group if key[1] or len(texts[row["id"]]) > 300]
        if rank < len(group) and group[rank]["id"] not in chosen:
            row = dict(group[rank])
            row.pop("text", None)
            row = {"id": row["id"], "text": texts[row["id"]], **row}
            size = len(json.dumps(row, ensure_ascii=False).encode()) + 1
            if size <= min(room, 6000 if rank == 0 else 1300):
                room -= size
                chosen[row["id"]] = row
for row in sorted(chosen.values(), key=lambda row: row["id"]):
    print(json.dumps(row, ensure_ascii=False))
