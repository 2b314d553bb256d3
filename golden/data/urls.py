"""Makes lists, addresses, and what datatrove's URLFilter says of them, in the folder OUT.

    PYTHON urls.py OUT

Written against datatrove 0.10.1 (tldextract 5, pyahocorasick 2), whose Python runs this. Addresses
are put together by a seed from hosts, words and pieces, some of them listed. Listed hosts are
registered domains or whole hosts, for datatrove looks at these only.
"""
import json, os, random, sys

from datatrove.data import Document
from datatrove.pipeline.filters import URLFilter

LISTS = {
    "domains": ["# hosts", "spam.com", "evil.co.uk", "ads.fine.org", "赌博.cn"],
    "urls": ["https://news.org/2024/bad-page", "http://shop.de/?id=7"],
    "words": ["casino", "xx-rated"],
    "soft_words": ["free", "win", "bonus", "cheap"],
    "substrings": ["p0ker", "viagra"],
}
HOSTS = ["spam.com", "www.spam.com", "notspam.com", "evil.co.uk", "a.evil.co.uk", "co.uk.org",
         "fine.org", "ads.fine.org", "news.org", "example.com:8080", "user@spam.com", "赌博.cn",
         "10.0.0.1", "localhost", "casino.io", "my-casino.io", "p0-ker.net"]
PIECES = ["index.html", "free", "win", "free-bonus", "casino", "Casino", "casinos", "p/0/ker",
          "VIAGRA-pills", "xx-rated", "xxrated", "a_b", "cheap+win", "?q=free", "#bonus", "2024"]

rng = random.Random(7)
urls = LISTS["urls"] + [url + "/" for url in LISTS["urls"]]
for number in range(300):
    pieces = rng.sample(PIECES, rng.choice([0, 1, 1, 2, 3]))
    scheme = rng.choice(["http://", "https://", "", "//"])
    urls.append(scheme + rng.choice(HOSTS) + "".join("/" + piece for piece in pieces))
for name, entries in LISTS.items():
    with open(os.path.join(sys.argv[1], f"{name}.txt"), "w") as out:
        out.writelines(entry + "\n" for entry in entries)
judge = URLFilter(extra_domains=LISTS["domains"], extra_urls=LISTS["urls"],
                  banned_words=LISTS["words"], banned_subwords=LISTS["substrings"],
                  soft_banned_words=LISTS["soft_words"], use_integrated_lists=False)
with open(os.path.join(sys.argv[1], "cases.jsonl"), "w") as out:
    for url in urls:
        kept = judge.filter(Document(text="x", id="x", metadata={"url": url}))
        reason = None if kept is True else kept[1]
        out.write(json.dumps({"url": url, "reason": reason}, ensure_ascii=False) + "\n")
