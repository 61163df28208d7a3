"""AArch64 programs with one switch each, for the exercises on jump tables: made word by word, as gcc or clang would.

    f   (some cases)  dispatch  (the other cases)  default        g   ldr x16, [x0] ; br x16: no table

    gcc     ldrb w1, [x2, w0, uxtw]      adr x3, .after the br      add x1, x3, w1, sxtb #2      entries have a sign
    clang   ldrb w1, [x2, x0]            adr x3, .lowest case       add x1, x3, x1, lsl #2       entries have none
"""

from __future__ import annotations

import struct
from random import Random
from typing import Final

TEXT: Final = 0x400000
RODATA: Final = 0x410000
HEAD: Final = 64 + 56 * 2            # ELF header and two program headers
NOP: Final = 0xD503201F
RET: Final = 0xD65F03C0
HI, HS = 8, 2


def _relative(word: int, rd: int, distance: int) -> int:
    """adr or adrp with its 21 bits."""
    return word | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5 | rd


def switch(random: Random, style: str, size: int) -> bytes:
    """The program as an ELF file; `style` is "gcc" or "clang", `size` the bytes of an entry, 1 or 2."""
    return switch_and_table(random, style, size)[0]


def switch_and_table(random: Random, style: str, size: int) -> tuple[bytes, bytes, int, list[int]]:
    """The program, the bytes of its table, the address of the anchor and those of the targets."""
    count = random.randrange(3, 12)
    registers = random.sample(range(1, 15), 6)
    words: list[int] = [0]
    early = random.randrange(0, count) if style == "gcc" else 0
    blocks: list[int] = []
    for number in range(early):
        blocks.append(_case(words, number, random))
    start = len(words)
    words[0] = 0x14000000 | start
    above = _dispatch(words, random, style, size, count, registers)
    branch = len(words) - 1
    default = _case(words, 99, random) if style == "clang" else -1
    for number in range(early, count):
        blocks.append(_case(words, number, random))
    if default < 0:
        default = _case(words, 99, random)
    anchor = branch + 1 if style == "gcc" else min(blocks)
    words[above] |= (default - above & 0x7FFFF) << 5
    adr = next(i for i in range(branch, 0, -1) if words[i] & 0x9F00001F == 0x10000000 | registers[3])
    words[adr] = _relative(0x10000000, registers[3], 4 * (anchor - adr))
    targets = [random.choice(blocks) if random.random() < 0.2 else block for block in random.sample(blocks, count)]
    table = struct.pack(f"<{count}{'bh'[size - 1] if style == 'gcc' else 'BH'[size - 1]}", *(t - anchor for t in targets))
    second = len(words)
    words += [0x7100041F, 0x54000048, 0xF9400010, 0xD61F0200, RET]  # g: a call through a pointer in an object
    base = TEXT + HEAD
    file = _file(words, second, _page(words, registers[2], table, random))
    return file, table, base + 4 * anchor, [base + 4 * target for target in targets]


def _case(words: list[int], number: int, random: Random) -> int:
    at = len(words)
    words += [0x52800000 | number << 5, *[NOP] * random.randrange(0, 7), RET]
    return at


def _dispatch(words: list[int], random: Random, style: str, size: int, count: int, registers: list[int]) -> int:
    """Appends the compare and the dispatch; returns the index of the conditional branch."""
    index, entry, table, anchor, result, other = registers
    if random.random() < 0.5:
        words.append(0x2A0003E0 | index)                   # mov index, w0: the compare looks at the copy
    else:
        index = 0
    if random.random() < 0.5:
        words.append(0x7100001F | random.randrange(20, 90) << 10 | other << 5)
    strict = random.random() < 0.5
    words += [0x7100001F | (count if strict else count - 1) << 10 | index << 5, 0x54000000 | (HS if strict else HI)]
    above = len(words) - 1
    if random.random() < 0.5:
        words.append(0x7100001F | random.randrange(20, 90) << 10 | other << 5)
    if style == "clang":
        words.append(0x2A0003E0 | index << 16 | entry)               # mov entry, index
        index = entry
    words += [0x90000000 | table, 0x91000000 | table << 5 | table]   # adrp, add: filled in later
    if style == "clang":
        words.append(0x10000000 | anchor)
        words.append((0x38606800, 0x78607800)[size - 1] | index << 16 | table << 5 | entry)
        words.append(0x8B000800 | entry << 16 | anchor << 5 | result)
    else:
        words.append((0x38604800, 0x78605800)[size - 1] | index << 16 | table << 5 | entry)
        words.append(0x10000000 | anchor)
        words.append((0x8B208800, 0x8B20A800)[size - 1] | entry << 16 | anchor << 5 | result)
    words.append(0xD61F0000 | result << 5)
    return above


def _page(words: list[int], register: int, table: bytes, random: Random) -> bytes:
    """Puts the table somewhere into read-only data, and its address into the code."""
    before = random.randrange(1, 30) * 4
    at = next(i for i, word in enumerate(words) if word == 0x90000000 | register)
    offset = HEAD + 4 * len(words)
    address = RODATA + (offset + 15 & ~15) + before
    words[at] = _relative(0x90000000, register, (address >> 12) - (TEXT + HEAD + 4 * at >> 12))
    words[at + 1] |= (address & 0xFFF) << 10
    return b"\xff" * before + table + b"\xff" * (-len(table) % 4)


def _file(words: list[int], second: int, rodata: bytes) -> bytes:
    """Header, two segments, code, table, symbols of f and g, section headers."""
    text = struct.pack(f"<{len(words)}I", *words)
    head, names = HEAD, b"\0f\0g\0.text\0.rodata\0.symtab\0.strtab\0"
    data_at = head + len(text) + 15 & ~15
    symbols_at = data_at + len(rodata) + 7 & ~7
    base = TEXT + head
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, base, 4 * second)
    symbols += struct.pack("<IBBHQQ", 3, 0x12, 0, 1, base + 4 * second, len(text) - 4 * second)
    names_at = symbols_at + len(symbols)
    headers_at = names_at + len(names) + 7 & ~7
    out = bytearray(headers_at)
    struct.pack_into("<16sHHIQQQIHHHHHH", out, 0, b"\x7fELF\2\1\1", 2, 183, 1, base, 64, headers_at, 0, 64, 56, 2, 64, 5, 4)
    struct.pack_into("<IIQQQQQQ", out, 64, 1, 5, head, base, base, len(text), len(text), 4)
    struct.pack_into("<IIQQQQQQ", out, 120, 1, 4, data_at, RODATA + data_at, 0, len(rodata), len(rodata), 4)
    for at, raw in ((head, text), (data_at, rodata), (symbols_at, symbols), (names_at, names)):
        out[at : at + len(raw)] = raw
    rows = [(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), (5, 1, 6, base, head, len(text), 0, 0, 4, 0),
            (11, 1, 2, RODATA + data_at, data_at, len(rodata), 0, 0, 4, 0),
            (19, 2, 0, 0, symbols_at, len(symbols), 4, 1, 8, 24), (27, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)]
    return bytes(out) + b"".join(struct.pack("<IIQQQQIIQQ", *row) for row in rows)
