#!/usr/bin/env python3
"""Golden probabilities: what the reference library's logits processors leave of some logits.

    python golden/samplers/make.py           # rewrites golden.json beside this file

Needs the packages of bench/peers/requirements.txt; the versions used stand in golden.json.

`golden.json`
    logits          lists of logits
    history         the tokens so far
    cases           the number of the logits; the settings, under the library's names; the tokens
                    left, with their probabilities
"""

import json
import pathlib

import torch
import transformers
from transformers import generation

HERE = pathlib.Path(__file__).parent
VOCABULARY = 40
HISTORY = [3, 17, 3, 39, 0, 8, 8, 8]

# In the order in which the library's `generate` applies them.
PROCESSORS = {
    "logit_bias": lambda bias: generation.SequenceBiasLogitsProcessor(
        sequence_bias=[[[token], float(value)] for token, value in bias]
    ),
    "repetition_penalty": generation.RepetitionPenaltyLogitsProcessor,
    "temperature": generation.TemperatureLogitsWarper,
    "top_k": generation.TopKLogitsWarper,
    "top_p": generation.TopPLogitsWarper,
    "min_p": generation.MinPLogitsWarper,
    "typical_p": generation.TypicalLogitsWarper,
}

SETTINGS = [
    {"logit_bias": [[3, -2.5], [20, 4.0], [39, -1e4]]},
    *({"repetition_penalty": value} for value in (0.7, 1.1, 2.0)),
    *({"temperature": value} for value in (0.3, 0.7, 1.8)),
    *({"top_k": value} for value in (1, 5, 39)),
    *({"top_p": value} for value in (0.05, 0.5, 0.9, 0.99)),
    *({"min_p": value} for value in (0.01, 0.1, 0.6)),
    *({"typical_p": value} for value in (0.05, 0.2, 0.5, 0.9, 0.99)),
    {"temperature": 0.6, "top_k": 20, "top_p": 0.95},
    {"repetition_penalty": 1.3, "temperature": 1.4, "top_k": 30, "top_p": 0.8, "min_p": 0.05},
    {"logit_bias": [[8, 3.0]], "repetition_penalty": 1.2, "typical_p": 0.7, "temperature": 0.9},
]


def process(logits: torch.Tensor, settings: dict) -> torch.Tensor:
    """Probabilities after all processors that the settings ask for."""
    ids, scores = torch.tensor([HISTORY]), logits[None].clone()
    for name, make in PROCESSORS.items():
        if name in settings:
            scores = make(settings[name])(ids, scores)
    return scores[0].double().softmax(-1)


def main() -> None:
    generator = torch.Generator().manual_seed(7)
    rows = [scale * torch.randn(VOCABULARY, generator=generator) for scale in (0.5, 2.0, 6.0)]
    cases = []
    for number, logits in enumerate(rows):
        for settings in SETTINGS:
            left = {
                token: float(f"{probability:.8g}")
                for token, probability in enumerate(process(logits, settings).tolist())
                if probability > 0.0
            }
            cases.append({"logits": number, "settings": settings, "left": left})
    golden = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "logits": [logits.tolist() for logits in rows],
        "history": HISTORY,
        "cases": cases,
    }
    (HERE / "golden.json").write_text(json.dumps(golden, indent=None) + "\n")


if __name__ == "__main__":
    main()
