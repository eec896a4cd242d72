"""Lays a static program out in the memory of an emulated CPU.

    image.py CPU FOLDER PROGRAM ARGUMENTS...

Writes FOLDER/low.bin, for address 0x1000: page tables in which every address is itself, and what start.s reads; and
FOLDER/high.bin, for address 0x10000000: the program and its stack as Linux would hand it over. Prints the address from which
memory is free.
"""

import os
import struct
import sys

BASE = 0x10000000
STACK_BYTES = 8 << 20
PAGE = 4096
LOAD, SHARED_OBJECT = 1, 3
# x87, SSE and AVX; and the masks and the larger registers of AVX-512.
VECTOR_STATE, VECTOR_STATE_512 = 0x07, 0xE7
WITH_AVX512 = ("corei7_skylake_x", "corei3_cnl", "corei7_icelake_u", "tigerlake", "sapphire_rapids")


def main():
    cpu, folder, program, *arguments = sys.argv[1:]
    elf = open(program, "rb").read()
    (kind,) = struct.unpack_from("<H", elf, 16)
    if kind != SHARED_OBJECT:
        sys.exit(f"{program} is not position-independent; build it for x86_64-unknown-linux-musl")
    entry, headers_at = struct.unpack_from("<QQ", elf, 24)
    header_bytes, n_headers = struct.unpack_from("<HH", elf, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", elf, headers_at + i * header_bytes) for i in range(n_headers)]
    loads = [header for header in headers if header[0] == LOAD]
    end = max(address + n_bytes for _, _, _, address, _, _, n_bytes, _ in loads)
    image = bytearray((end + PAGE - 1) // PAGE * PAGE)
    for _, _, offset, address, _, in_file, _, _ in loads:
        image[address : address + in_file] = elf[offset : offset + in_file]
        if offset <= headers_at < offset + in_file:
            headers_in_memory = BASE + address + headers_at - offset
    stack, top = build_stack(BASE + len(image), [program, *arguments],
                             {3: headers_in_memory, 4: header_bytes, 5: n_headers, 6: PAGE, 9: BASE + entry})
    with open(os.path.join(folder, "high.bin"), "wb") as file:
        file.write(image + stack)
    with open(os.path.join(folder, "low.bin"), "wb") as file:
        file.write(low_memory(top, BASE + entry, VECTOR_STATE_512 if cpu in WITH_AVX512 else VECTOR_STATE))
    print(hex((BASE + len(image) + STACK_BYTES + 0xFFFFF) // 0x100000 * 0x100000))


def build_stack(begin, arguments, auxiliary):
    """The stack at the start of a program, and its top: arguments, environment, auxiliary vector."""
    stack, top = bytearray(STACK_BYTES), STACK_BYTES

    def push(data):
        nonlocal top
        top -= len(data)
        stack[top : top + len(data)] = data
        return begin + top

    auxiliary[25] = push(bytes(range(16)))  # AT_RANDOM
    texts = [push(text.encode() + b"\0") for text in arguments]
    variables = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("TOKENMILL_")]
    variables = [push(text.encode() + b"\0") for text in variables]
    words = [len(texts), *texts, 0, *variables, 0]
    for pair in auxiliary.items():
        words += pair
    words += [0, 0]
    top = (top - 8 * len(words)) // 64 * 64
    struct.pack_into(f"<{len(words)}Q", stack, top, *words)
    return stack, begin + top


def low_memory(stack, entry, vector_state):
    memory = bytearray(0x9000)

    def put(address, value):
        struct.pack_into("<Q", memory, address - 0x1000, value)

    put(0x1000, 0x2007)
    for gigabyte in range(2):
        table = 0x3000 + PAGE * gigabyte
        put(0x2000 + 8 * gigabyte, table + 7)
        for page in range(512):
            put(table + 8 * page, (gigabyte << 30) + (page << 21) + 0x87)
    for address, value in ((0x9000, stack), (0x9008, entry), (0x9010, vector_state)):
        put(address, value)
    return memory


main()
