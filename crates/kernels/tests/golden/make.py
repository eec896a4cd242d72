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


# Formats that the package does not know: each block is a scale, perhaps a zero point, and codes.
OWN = {"i4": 32, "i4_128": 128, "i8": 32, "f8": 32}


def write_own(name: str, random: np.random.Generator) -> None:
    n_weights = OWN[name]
    blocks, weights = b"", []
    for i in range(N_BLOCKS):
        # Scales as files have them: halves, bf16, and for the last two formats any f32.
        scale = np.float32(np.float16(random.normal() / 50))
        if i % 3 == 1:
            scale = (scale.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        if i % 3 == 2 and name in ("i8", "f8"):
            scale = np.float32(random.normal() / 50)
        blocks += struct.pack("<f", scale)
        if name == "f8":
            codes = random.integers(0, 256, n_weights)
            codes[codes & 0x7F == 0x7F] = 0
            values = np.array([e4m3(int(code)) for code in codes])
            blocks += codes.astype(np.uint8).tobytes()
        elif name == "i8":
            codes, zero = random.integers(0, 256, n_weights), int(random.integers(0, 257))
            values = codes - zero
            blocks += struct.pack("<e", zero) + codes.astype(np.uint8).tobytes()
        else:
            codes, zero = random.integers(0, 16, n_weights), int(random.integers(0, 17))
            values = codes - zero
            blocks += struct.pack("<B", zero) + (codes[::2] | codes[1::2] << 4).astype(np.uint8).tobytes()
        numbers = (values.astype(np.float64) * np.float64(scale)).astype("<f4")
        # The first two add a minimum, so that their zeros have no sign.
        weights.append(numbers + np.float32(0) if name.startswith("i4") else numbers)
    path = pathlib.Path(__file__).parent / f"{name}.bin"
    path.write_bytes(struct.pack("<I", N_BLOCKS) + blocks + np.concatenate(weights).tobytes())


def e4m3(code: int) -> float:
    exponent, mantissa = code >> 3 & 15, code & 7
    number = mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return -number if code & 128 else number


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
    random = np.random.default_rng(22)
    for name in OWN:
        write_own(name, random)
    random = np.random.default_rng(21)
    for name in ("Q8_0", "Q4_0"):
        numbers = random.normal(size=(N_BLOCKS, 32)).astype("<f4")
        numbers[0], numbers[1], numbers[2, ::2], numbers[3] = 0, -1, 3, np.arange(-16, 16) * 2.0**-20
        blocks = quantize(numbers, Type[name])
        path = pathlib.Path(__file__).parent / f"{name.lower()}-encoded.bin"
        path.write_bytes(struct.pack("<I", N_BLOCKS) + blocks.tobytes() + numbers.tobytes())


main()
