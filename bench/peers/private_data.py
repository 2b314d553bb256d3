"""Compares our finder of private data with presidio's recognizers: precision, recall, speed.

    PYTHON private_data.py LABELLED.jsonl [ROUNDS]

Written against presidio-analyzer 2.2.366 (phonenumbers 9.0.43), whose Python runs this. LABELLED
is golden/data/private_data.jsonl or a larger set of the script beside it. presidio is asked for
what both know: e-mail addresses, telephone numbers (US, GB, CN), payment cards, addresses of
machines, social security numbers; by its recognizers alone, without a model of the language. A
piece counts as found when one of the same kind overlaps it; ours is also held to the exact bytes.
Ours is `cargo build --release -p danlu-data --example private_data`; PRIVATE_DATA=PATH names
another. Both on one thread.
"""
import json, os, subprocess, sys, tempfile, time

from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer, EmailRecognizer, IpRecognizer, PhoneRecognizer, UsSsnRecognizer)

KINDS = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "bank_card",
         "IP_ADDRESS": "ip", "US_SSN": "id_card"}
RECOGNIZERS = [EmailRecognizer(), PhoneRecognizer(supported_regions=("US", "GB", "CN")),
               CreditCardRecognizer(), IpRecognizer(), UsSsnRecognizer()]


def presidio(text):
    results = []
    for one in RECOGNIZERS:
        results += one.analyze(text, one.supported_entities, None) or []
    # The most certain of those that overlap.
    chosen = []
    for result in sorted(results, key=lambda result: (-result.score, result.start)):
        if all(result.end <= s or e <= result.start for s, e, _ in chosen):
            chosen.append((result.start, result.end, KINDS[result.entity_type]))
    place = lambda at: len(text[:at].encode())
    return [(place(start), place(end), kind) for start, end, kind in chosen]


def score(rows, answers, kind, same):
    right = extra = missed = 0
    for (_, spans), found in zip(rows, answers):
        put = [span for span in spans if span[2] == kind]
        got = [span for span in found if span[2] == kind]
        right += sum(any(same(a, b) for b in got) for a in put)
        missed += sum(not any(same(a, b) for b in got) for a in put)
        extra += sum(not any(same(a, b) for a in put) for b in got)
    ratio = lambda part, whole: part / whole if whole else 1.0
    precision, recall = ratio(right, right + extra), ratio(right, right + missed)
    return precision, recall, ratio(2 * precision * recall, precision + recall)


def main():
    rows = [(row["text"], row["spans"]) for row in map(json.loads, open(sys.argv[1]))]
    rounds = sys.argv[2] if len(sys.argv) > 2 else "20"
    size = sum(len(text.encode()) for text, _ in rows) / 1e6
    program = os.environ.get("PRIVATE_DATA") or "target/release/examples/private_data"
    with tempfile.NamedTemporaryFile() as out:
        run = subprocess.run([program, sys.argv[1], out.name, rounds], check=True,
                             stderr=subprocess.PIPE, text=True)
        ours = [json.loads(line) for line in open(out.name)]
    presidio(rows[0][0])
    start = time.perf_counter()
    theirs = [presidio(text) for text, _ in rows]
    slow, fast = time.perf_counter() - start, float(run.stderr)
    exact = lambda a, b: list(a) == list(b)
    overlap = lambda a, b: a[0] < b[1] and b[0] < a[1]
    print(f"{len(rows)} texts, {size:.3f} MB; precision / recall / F1")
    print("| kind | danlu, exact | danlu | presidio |\n|---|---|---|---|")
    show = lambda three: " / ".join(f"{value:.3f}" for value in three)
    for kind in sorted({span[2] for _, spans in rows for span in spans}):
        cells = [score(rows, ours, kind, exact), score(rows, ours, kind, overlap)]
        known = kind in KINDS.values()
        cells = [*map(show, cells), show(score(rows, theirs, kind, overlap)) if known else "-"]
        print(f"| {kind} | {' | '.join(cells)} |")
    print(f"| MB/s | | {size / fast:.1f} | {size / slow:.3f} |")
    print(f"| ratio | | {slow / fast:.0f}x | |")


main()
