"""What datatrove's filters decide on every document of a corpus.

    python filters_reference.py en|zh CORPUS.jsonl DECISIONS.jsonl [PART PARTS]

Written against datatrove 0.10.1, spaCy 3.8.18, jieba 0.42.1. Each filter judges the text as it is,
so that no decision hides behind an earlier one; `chain` is the first reason of the published order,
and `text` what it leaves. `words` fingerprints the word split that the decisions rest on. en:
FineWeb's order and settings. zh: FineWeb-2's cmn_Hani. Filters
that are in neither chain follow: C4 with its rule on the ends of lines, mC4's paragraphs, and bad
words, whose lists are not fetched but those of golden/data/bad_words, or of the folder BAD_WORDS.
"""
import json, os, sys, zlib

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4BadWordsFilter, C4ParagraphFilter, C4QualityFilter, FineWebQualityFilter,
    GopherQualityFilter, GopherRepetitionFilter, c4_filters)
from datatrove.utils.text import split_into_words

HERE = os.path.dirname(os.path.abspath(__file__))
LISTS = os.environ.get("BAD_WORDS") or os.path.join(HERE, "../../golden/data/bad_words")
c4_filters.cached_asset_path_or_download = (
    lambda url, **_: os.path.join(LISTS, url.rsplit("/", 1)[1]))

STOP_ZH = "的 年 在 月 是 和 日 了 於 · 為 有 被 人 中 为 他 與 後 也 而 由".split()


def filters_en():
    return {
        "gopher_repetition": GopherRepetitionFilter(),
        "gopher_quality": GopherQualityFilter(),
        "fineweb": FineWebQualityFilter(),
        "c4": C4QualityFilter(filter_no_terminal_punct=False),
        "c4_closed": C4QualityFilter(filter_no_terminal_punct=True),
        "c4_paragraphs": C4ParagraphFilter(),
        "bad_words": C4BadWordsFilter(),
    }, ["gopher_repetition", "gopher_quality", "c4", "fineweb"], "eng"


def filters_zh():
    lang = "cmn_Hani"
    return {
        "gopher_repetition": GopherRepetitionFilter(
            dup_line_frac=0.287, dup_para_frac=0, dup_line_char_frac=0, dup_para_char_frac=0,
            top_n_grams=((2, 0.256), (3, 0.201), (4, 0.171)),
            dup_n_grams=((5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.140), (10, 0.127)),
            language=lang),
        "fineweb": FineWebQualityFilter(
            line_punct_thr=0.106, short_line_thr=999, char_duplicates_ratio=0.1,
            new_line_ratio=0.178, language=lang),
        "gopher_quality": GopherQualityFilter(
            min_avg_word_length=1, max_avg_word_length=5, max_non_alpha_words_ratio=0.735,
            stop_words=STOP_ZH, language=lang),
        "c4_paragraphs": C4ParagraphFilter(),
        "bad_words": C4BadWordsFilter(default_language="zh"),
    }, ["gopher_repetition", "fineweb", "gopher_quality"], lang


def judge(one, text):
    """(reason or None, text after)"""
    document = Document(text=text, id="")
    try:
        result = one.filter(document)
    except (ZeroDivisionError, IndexError) as error:
        return f"error: {type(error).__name__}", text
    if isinstance(result, tuple) and not result[0]:
        return result[1], text
    return None, document.text


def main():
    language, corpus, out = sys.argv[1:4]
    part, parts = map(int, sys.argv[4:6]) if len(sys.argv) > 4 else (0, 1)
    filters, order, code = filters_en() if language == "en" else filters_zh()
    with open(corpus) as lines, open(out, "w") as f:
        for number, line in enumerate(lines):
            if number % parts != part:
                continue
            record = json.loads(line)
            text = record["text"]
            # datatrove keeps the last few splits: this one serves all filters but the last.
            words = split_into_words(text, code)
            said = {name: judge(one, text) for name, one in filters.items()}
            chain, left = None, text
            for name in order:
                # What has been rewritten is judged anew.
                reason, after = said[name] if left == text else judge(filters[name], left)
                if reason:
                    chain = f"{name}: {reason}"
                    break
                left = after
            row = {"id": record["id"], **{name: reason for name, (reason, _) in said.items()},
                   "chain": chain, "words": [len(words), zlib.crc32("\n".join(words).encode())]}
            for name, (_, after) in said.items():
                if after != text:
                    row[name + "_text"] = after
            if left != text:
                row["text"] = left
            f.write(json.dumps(row, ensure_ascii=False) + "\n")
            f.flush()


if __name__ == "__main__":
    main()
