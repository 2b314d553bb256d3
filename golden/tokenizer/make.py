#!/usr/bin/env python3
"""Golden ids: what the reference libraries make of hard texts with our vocabulary.

    cargo run -p danlu-tokenizer --example train -- 640 golden/tokenizer/text.txt golden/tokenizer
    python golden/tokenizer/make.py          # rewrites golden.json beside this file

Needs the packages of bench/peers/requirements.txt; the versions used stand in golden.json.

`text.txt` (poems and a scene, public domain, from recipes/data) is what the vocabulary is trained
on; `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` are what the first command
writes.
`golden.json`
    cases       text; plain: ids with the control tokens as ordinary text; control: ids where their
                spelling is the control token, as AutoTokenizer gives them
    chats       messages; ids and mask (1 = the assistant's) of `apply_chat_template`
"""

import json
import pathlib

import jinja2
import tokenizers
import transformers

HERE = pathlib.Path(__file__).parent

TEXTS = [
    "",
    " ",
    "To be, or not to be: that is the question.",
    "I'll say he's gone; THEY'VE 'TIS we'd 'sblood don't",
    "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。",
    "《静夜思》\n李白\n",
    "靜夜思 traditional 與 simplified 与 mixed中文and English文字",
    "１２３ 123 4567 3.14 第12回 一二三〇 Ⅷ ½ ٣",
    "a  b   c    d\t\te\n\n\nf \n g\r\nh\r\n\r\n  \n  i   ",
    "\u3000全角　空格\u00a0no-break\u2003em\u2028line\u2029paragraph\u0085next",
    "👍🏽 👨‍👩‍👧‍👦 🇨🇳 ❤️ 😀😀😀",
    "e\u0301 é ñ n\u0303 Å Å ﬁ Ω Ω ẞ ß",
    "हिन्दी עברית العربية ไทย 한국어 日本語カタカナ ひらがな",
    "\ufeffmark \u200bzero\u200d width \u00ad soft \ufffd replaced",
    "\x00\x01\x07\x1b[31m\x7f\x80\x9f",
    "𠀀𠮷㐀豈々〇〆ヶ⺀⼀",
    "\U0010ffff\ue000\U000f0000",
    "<|endoftext|><|im_start|>user\nhi<|im_end|>\n<|im_end|",
    "< |im_end|> <|im_end |> <|IM_END|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "！？。，；：“”‘’（）《》〈〉……——·",
    "def f(x):\n    return x**2  # 平方\n\tif x != 0: pass\n",
    "http://example.org/a?b=c&d=%20#e user@example.org C:\\dir\\file.txt",
    "      leading\n      indented verse\n\n\n      again      ",
    "".join(chr(c) for c in range(0x20, 0x250)),
    "".join(chr(c) for c in range(0x4E00, 0x4E80)),
]

CHATS = [
    [{"role": "user", "content": "写一首关于月亮的诗。"}, {"role": "assistant", "content": "床前明月光，\n疑是地上霜。"}],
    [
        {"role": "system", "content": "You write in the manner of a play."},
        {"role": "user", "content": "  A line, please.  "},
        {"role": "assistant", "content": "Who's there?"},
        {"role": "user", "content": "And then? 👍"},
        {"role": "assistant", "content": "Nay, answer me: stand, and unfold yourself.\n"},
    ],
]


def main():
    loaded = transformers.AutoTokenizer.from_pretrained(HERE)
    plain = tokenizers.Tokenizer.from_file(str(HERE / "tokenizer.json"))
    plain.encode_special_tokens = True
    cases = []
    for text in TEXTS:
        ids = plain.encode(text, add_special_tokens=False).ids
        assert plain.decode(ids, skip_special_tokens=False) == text, text
        control = loaded(text, add_special_tokens=False)["input_ids"]
        cases.append({"text": text, "plain": ids, "control": control})
    chats = []
    for messages in CHATS:
        made = loaded.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = made["input_ids"], made["assistant_masks"]
        chats.append({"messages": messages, "ids": ids, "mask": mask})
    golden = {
        "versions": {
            "tokenizers": tokenizers.__version__,
            "transformers": transformers.__version__,
            "jinja2": jinja2.__version__,
        },
        "cases": cases,
        "chats": chats,
    }
    lines = json.dumps(golden, ensure_ascii=True, separators=(",", ":"))
    lines = lines.replace('{"text"', '\n{"text"').replace('{"messages"', '\n{"messages"')
    (HERE / "golden.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
