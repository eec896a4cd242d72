"""Writes NAME.bin for each quantised format: blocks of the file, then their weights as f32 (little endian), as the
Python package `gguf` decodes them. Run it with that package and numpy installed; the results are committed.

Layout of a file: u32 number of blocks, the blocks, the f32 numbers. NAME-encoded.bin has blocks that the package made of numbers,
in the same layout.
"""

import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

N_BLOCKS = 24
# Where half-precision numbers lie in a block.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F16": [0], "BF16": [0],
    "IQ4_XS": [0], "MXFP4": [], "NVFP4": [],
}
# Zeros, the least and greatest subnormals and normals, one, infinities, NaN.
EXTREME = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00, 0x7C00, 0xFC00, 0x7E00]


def main() -> None:
    random = np.random.default_rng(20)
    for name, offsets in SCALES.items():
        kind = Type[name]
        _, n_bytes = GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, size=(N_BLOCKS, n_bytes), dtype=np.uint8)
        for i in range(N_BLOCKS):
            for at in offsets:
                # Ordinary scales for most blocks, each extreme one once.
                bits = EXTREME[i] if i < len(EXTREME) else struct.unpack("<H", struct.pack("<e", random.normal()))[0]
                blocks[i, at : at + 2] = list(struct.pack("<H", bits))
        if name in ("MXFP4", "NVFP4"):
            # Their scales are bytes: a few of the least and the greatest.
            blocks[:8, 0] = [0, 1, 2, 3, 126, 127, 254, 255]
        with np.errstate(all="ignore"):
            weights = dequantize(blocks, kind).astype("<f4")
        path = pathlib.Path(__file__).parent / f"{name.lower()}.bin"
        path.write_bytes(struct.pack("<I", N_BLOCKS) + blocks.tobytes() + weights.tobytes())
    random = np.random.default_rng(21)
    for name in ("Q8_0", "Q4_0"):
        numbers = random.normal(size=(N_BLOCKS, 32)).astype("<f4")
        numbers[0], numbers[1], numbers[2, ::2], numbers[3] = 0, -1, 3, np.arange(-16, 16) * 2.0**-20
        blocks = quantize(numbers, Type[name])
        path = pathlib.Path(__file__).parent / f"{name.lower()}-encoded.bin"
        path.write_bytes(struct.pack("<I", N_BLOCKS) + blocks.tobytes() + numbers.tobytes())


main()
