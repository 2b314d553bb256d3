#!/usr/bin/env python3
"""Golden blocks of every quantised format, dequantised by the reference package.

    python golden/formats/blocks.py         # rewrites blocks/

Made with gguf 0.19.0 and numpy 2.4.6. Each `blocks/FORMAT.bin` is a number of blocks of random
bytes, followed by the numbers they hold, as little-endian f32. How many there are follows from the
length of the file. Scales are any finite f16, subnormal, zero and negative ones among them.
"""

import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

HERE = pathlib.Path(__file__).resolve().parent
# Where a block has f16 numbers.
HALVES = {
    Type.F32: [], Type.F16: [0], Type.BF16: [], Type.Q4_0: [0], Type.Q4_1: [0, 2],
    Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82], Type.Q3_K: [108],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0], Type.IQ4_XS: [0],
}
NUMBERS = 1536


def finite_halves(random, count):
    bits = random.integers(0, 1 << 16, count * 2).astype(np.uint16)
    bits = bits[bits & 0x7C00 != 0x7C00][:count]
    return bits.view(np.uint8).reshape(count, 2)


def main():
    folder = HERE / "blocks"
    folder.mkdir(exist_ok=True)
    for kind, halves in HALVES.items():
        random = np.random.default_rng(int(kind))
        length, size = GGML_QUANT_SIZES[kind]
        count = max(NUMBERS // length, 1)
        blocks = random.integers(0, 256, (count, size)).astype(np.uint8)
        for at in halves:
            blocks[:, at : at + 2] = finite_halves(random, count)
        if kind in (Type.F32, Type.BF16):
            # Upper bytes without the exponent of NaN and infinity.
            blocks[:, size - 1] &= 0xBF
        values = dequantize(blocks.reshape(1, -1), kind).reshape(-1)
        assert values.dtype == np.float32 and values.size == count * length
        assert np.isfinite(values).all(), kind
        (folder / f"{kind.name}.bin").write_bytes(blocks.tobytes() + values.tobytes())


if __name__ == "__main__":
    main()
