#!/usr/bin/env python3
"""How the reference quantises: bytes where it is exact, errors where it searches.

    python golden/formats/quantized.py LIBRARY      # rewrites quantized/

LIBRARY is llama.cpp's `ggml/src/ggml-quants.c` as a shared library, compiled with -O2
-ffp-contract=off (what it needs of ggml.c besides: ggml_row_size, ggml_type_size, ggml_abort).
Made with gguf 0.19.0, numpy 2.4.6 and the llama.cpp of October 2026.

`quantized/rows.bin` holds eight rows of 512 numbers as little-endian f32, then 512 numbers of
importance. The first four rows are gaussian, the others heavy-tailed with loud columns, as weights
are. `quantized/FORMAT.bin` holds the rows in the formats whose bytes the `gguf` package makes.
`quantized/errors.txt` has, for each format, the root of the mean squared error of the first and of
the last four rows, without importance and, weighted by it, with importance.
"""

import ctypes
import pathlib
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

HERE = pathlib.Path(__file__).resolve().parent
EXACT = [Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0]
ALL = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q2_K, Type.Q3_K, Type.Q4_K,
       Type.Q5_K, Type.Q6_K, Type.IQ4_NL, Type.IQ4_XS]
ROWS, COLS = 8, 512


def rows():
    random = np.random.default_rng(11)
    gaussian = random.standard_normal((ROWS // 2, COLS)) * 0.02
    loud = np.where(random.random(COLS) < 0.02, 8.0, 1.0)
    heavy = random.standard_t(3, (ROWS // 2, COLS)) * 0.02 * loud
    values = np.concatenate([gaussian, heavy]).astype(np.float32)
    values[0, :32] = 0
    values[5, 64:96] = -0.25
    importance = (random.standard_normal(COLS) ** 2 + 1e-3).astype(np.float32)
    return values, importance


def by_library(library, kind, values, importance):
    length, size = GGML_QUANT_SIZES[kind]
    out = np.zeros((ROWS, COLS // length * size), np.uint8)
    function = getattr(library, f"quantize_{kind.name.lower().replace('_k', '_K')}")
    function.restype = ctypes.c_size_t
    pointer = ctypes.c_void_p(importance.ctypes.data) if importance is not None else None
    written = function(ctypes.c_void_p(values.ctypes.data), ctypes.c_void_p(out.ctypes.data),
                       ctypes.c_int64(ROWS), ctypes.c_int64(COLS), pointer)
    assert written == out.size, kind
    return out


def errors(kind, blocks, values, weights):
    difference = (dequantize(blocks, kind) - values).astype(np.float64) ** 2 * weights
    halves = difference[: ROWS // 2], difference[ROWS // 2 :]
    return [float(np.sqrt(half.sum() / np.broadcast_to(weights, half.shape).sum()))
            for half in halves]


def main():
    library = ctypes.CDLL(sys.argv[1])
    values, importance = rows()
    folder = HERE / "quantized"
    folder.mkdir(exist_ok=True)
    (folder / "rows.bin").write_bytes(values.tobytes() + importance.tobytes())
    for kind in EXACT:
        blocks = quantize(values, kind)
        (folder / f"{kind.name}.bin").write_bytes(blocks.tobytes())
        if kind in ALL:
            theirs = by_library(library, kind, values, None)
            print(kind.name, "bytes that differ from the library's:", (blocks != theirs).sum())
    lines = []
    for kind in ALL:
        plain = by_library(library, kind, values, None)
        weighted = by_library(library, kind, values, importance)
        found = errors(kind, plain, values, np.ones((1, COLS)))
        found += errors(kind, weighted, values, importance.astype(np.float64)[None])
        lines.append(" ".join([kind.name, *(f"{error:.9e}" for error in found)]) + "\n")
    (folder / "errors.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
