#!/usr/bin/env python3
"""Opens a model folder that Danlu wrote with the reference library and compares the logits.

    python golden/models/check_open.py MODEL_FOLDER EXPECTED.json

`EXPECTED.json` has "ids" [B, T] and "logits" [B, T, V]; or, as `danlu score` tells them of one
text, "ids" [T] and "log_probs" [T - 1], a value for every id but the first. When the tokenizer is
to be compared too: "text" and "text_ids" (the ids Danlu gives that text, no special tokens added).
Prints one JSON line with the largest absolute difference and the versions; exits 1 when it is over
1e-4, a weight is missing or left over, or the tokenizer disagrees.
"""

import json
import sys

import torch
import transformers

LIMIT = 1e-4


def check_model(folder, expected):
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    problems = [
        f"{kind}: {sorted(report[kind])}"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if report.get(kind)
    ]
    ids = torch.tensor(expected["ids"])
    what = "logits" if "logits" in expected else "log_probs"
    wanted = torch.tensor(expected[what], dtype=torch.float32)
    with torch.no_grad():
        found = model.eval()(input_ids=ids if ids.ndim == 2 else ids[None], use_cache=False).logits
    if what == "log_probs":
        found = found[0, :-1].log_softmax(-1).gather(1, ids[1:, None]).squeeze(1)
    if found.shape != wanted.shape:
        return float("inf"), problems + [f"{what} {list(found.shape)}, not {list(wanted.shape)}"]
    difference = (found - wanted).abs().max().item()
    if not difference <= LIMIT:
        problems.append(f"{what} differ by {difference}, over {LIMIT}")
    return difference, problems


def check_tokenizer(folder, expected):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if "text" not in expected:
        return []
    found = tokenizer.encode(expected["text"], add_special_tokens=False)
    problems = []
    if found != expected["text_ids"]:
        problems.append(f"text_ids {expected['text_ids']}, the reference gives {found}")
    if tokenizer.decode(found, clean_up_tokenization_spaces=False) != expected["text"]:
        problems.append("the text does not survive encoding and decoding")
    return problems


def main(folder, expected_path):
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)
    difference, problems = check_model(folder, expected)
    problems += check_tokenizer(folder, expected)
    print(json.dumps({
        "folder": folder,
        "max_abs_difference": difference,
        "problems": problems,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }, ensure_ascii=False))
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
