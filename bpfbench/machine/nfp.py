"""The Netronome NFP micro-engine (ME v2.8): formats, fields, operands and the error-correcting code of a word.

An instruction is a word of 45 bits; 7 bits of ECC stand above it, and while an image is still relocatable its top byte
holds the type of the relocation:

    63      56 55  52 51      45 44                                          0
    +---------+------+----------+---------------------------------------------+
    | reloc.  |  0   |   ECC    |                   payload                   |
    +---------+------+----------+---------------------------------------------+

`FORMATS` lists the formats in the order in which a decoder tries them; `Field.get` and `Field.put` cut a word along it.
Text is made by `nfp_text` and read back by `nfp_assembler`.

Sources: Linux `drivers/net/ethernet/netronome/nfp/nfp_asm.h` and `nfp_asm.c`; slides 40-41.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, final

from bpfbench.errors import MachineError

PAYLOAD: Final = (1 << 45) - 1  # the bits of an instruction
CODE_STORE: Final = 1 << 14  # instructions that an address can name


@final
class Field:
    """Bits `high` to `low` of a word, optionally continued by one more significant bit `extra`."""

    __slots__ = ("low", "width", "extra")

    def __init__(self, high: int, low: int, extra: int = -1) -> None:
        self.low: int = low
        self.width: int = high - low + 1
        self.extra: int = extra

    def get(self, word: int) -> int:
        value = word >> self.low & (1 << self.width) - 1
        return value | (word >> self.extra & 1) << self.width if self.extra >= 0 else value

    def put(self, value: int) -> int:
        """The bits of a field with this value; MachineError when it does not fit."""
        if value < 0 or value >> self.width + (self.extra >= 0):
            raise MachineError(f"{value:#x} does not fit in a field of {self.width + (self.extra >= 0)} bits")
        bits = (value & (1 << self.width) - 1) << self.low
        return bits | (value >> self.width) << self.extra if self.extra >= 0 else bits


@final
class Format:
    """One instruction format: it is this one when `word & mask == match`."""

    __slots__ = ("name", "mask", "match", "fields")

    def __init__(self, name: str, match: int, mask: int, fields: str) -> None:
        self.name = name
        self.mask = mask
        self.match = match
        self.fields: dict[str, Field] = {}
        for text in fields.split():
            field, _, bits = text.partition("=")
            bits, _, extra = bits.partition("+")
            high, _, low = bits.partition(":")
            self.fields[field] = Field(int(high), int(low or high), int(extra or -1))

    def unpack(self, word: int) -> dict[str, int]:
        return {name: field.get(word) for name, field in self.fields.items()}

    def pack(self, **values: int) -> int:
        word = self.match
        for name, value in values.items():
            word |= self.fields[name].put(value)
        return word


MODIFIERS: Final = " no_cc=40 wr_ab=41 src_lm=42 dst_lm=43 pred=44"
TARGET: Final = " defer=21:20 addr=34:22+40"

# fmt: off
#                 name          match          mask            fields (high:low, +bit = one more bit on top)
FORMATS: Final[list[Format]] = [
    Format("cmd",        0x0000000000, 0x8000000000,
           "a=7:0 ctx=9:8 b=17:10 token=19:18 xfer=24:20+40 cnt=27:25 sig=31:28 target=38:32 indirect=41 mode=44:42"),
    Format("alu_shf",    0x8000000000, 0xe000000000,
           "a=7:0 sc=9:8 b=17:10 i8=18 sw=19 dst=27:20 shift=32:28 op=35:33 dst_ab=36" + MODIFIERS),
    Format("alu",        0xa000000000, 0xe000000000,
           "a=9:0 b=19:10 dst=29:20 sw=30 op=35:31 dst_ab=36" + MODIFIERS),
    Format("immed",      0xf000000000, 0x1f900000000,
           "a=9:0 b=19:10 hi=27:20 width=30:29 inv=31 shift=34:33 wr_ab=41 src_lm=42 dst_lm=43 pred=44"),
    Format("ld_field",   0xc000000000, 0x1fa00e00000,
           "a=7:0 sc=9:8 b=17:10 i8=18 sw=19 zero=20 mask=27:24 shift=32:28 cc=34"
           " wr_ab=41 src_lm=42 dst_lm=43 pred=44"),
    Format("ctx_arb",    0xe000000000, 0xf800000000,
           "events=15:0 any=16 bpt=17 resume=18 no_load=19" + TARGET),
    Format("local_csr",  0xfc00000000, 0x1fe00100000,
           "a=9:0 b=19:10 write=21 csr=32:22 src_lm=42"),
    Format("br",         0xd800000020, 0xf8000c3ce0,
           "cond=4:0 pip=9:8 css=17:14" + TARGET),
    Format("br_byte",    0xc800000000, 0xf800000000,
           "a=7:0 byte=9:8 b=17:10 i8=18 eq=19 src_lm=42" + TARGET),
    Format("br_bit",     0xd000000000, 0xf800080300,
           "a=7:0 b=17:10 set=18 src_lm=42" + TARGET),
    Format("br_alu",     0xe800000000, 0xff80000000,
           "a=9:0 b=19:10 defer=21:20 hi=30:22 src_lm=42 dst_lm=43"),
    Format("mul_step",   0xf800000000, 0xfe3f000000,
           "a=9:0 b=19:10 step=22:20 dst_ab=23 sw=30 type=32:31" + MODIFIERS),
]
FORMAT: Final[dict[str, Format]] = {format.name: format for format in FORMATS}

ALU_OPS: Final[dict[int, str]] = {
    0x00: "B", 0x01: "+", 0x03: "pop_count3", 0x04: "~B", 0x05: "+16", 0x06: "pop_count1", 0x07: "pop_count2",
    0x08: "AND", 0x09: "+8", 0x0c: "~AND", 0x0d: "-carry", 0x0e: "ffs", 0x10: "AND~", 0x11: "+carry", 0x14: "OR",
    0x15: "-", 0x18: "XOR", 0x19: "B-A",
}
UNARY: Final[frozenset[str]] = frozenset(("B", "~B"))                                       # the A operand is absent
COUNTING: Final[frozenset[str]] = frozenset(("ffs", "pop_count1", "pop_count2", "pop_count3"))  # under their own name
SHIFT_OPS: Final[list[str]] = ["B", "~B", "AND", "~AND", "AND~", "OR", "asr", "byte_align"]
ROTATE, RIGHT, LEFT, DOUBLE = range(4)                                      # the field sc
CONDITIONS: Final[dict[int, str]] = {
    0x00: "beq", 0x01: "bne", 0x02: "bmi", 0x03: "bpl", 0x04: "bcs", 0x05: "bcc", 0x06: "bvs", 0x07: "bvc",
    0x08: "bge", 0x09: "blt", 0x0a: "ble", 0x0b: "bgt", 0x18: "br",
    0x10: "br=ctx", 0x11: "br!=ctx", 0x12: "br_signal", 0x13: "br_!signal",
    0x14: "br_inp_state", 0x15: "br_!inp_state", 0x16: "br_cls_state", 0x17: "br_!cls_state",
}
CSRS: Final[dict[int, str]] = {
    0x018: "CtxEnables", 0x020: "CSRCtxPtr", 0x060: "IndLMAddr0", 0x064: "ActLMAddr0", 0x068: "IndLMAddr1",
    0x06c: "ActLMAddr1", 0x070: "ByteIndex", 0x074: "XferIndex", 0x090: "IndLMAddr2", 0x094: "ActLMAddr2",
    0x098: "IndLMAddr3", 0x09c: "ActLMAddr3", 0x0c0: "TimestampLow", 0x0c4: "TimestampHigh", 0x140: "CRCRemainder",
    0x148: "PseudoRndNum", 0x160: "MiscControl",
}
MUL_TYPES: Final[list[str]] = ["start", "24x8", "16x16", "32x32"]
MUL_STEPS: Final[list[str]] = ["step1", "step2", "step3", "step4", "last", "last2"]
#: The parity masks of the seven ECC bits, least significant bit first.
ECC: Final = [0x0ff800007fff, 0x11f801ff801f, 0x1e387e0781e1, 0x17cb8e388e22, 0x1af5b2c93244, 0x1f56d5525488,
              0x0daf69a46910]
# fmt: on

MEM: Final = 0x40  # target field of commands to memory, without the action


def _memory_commands() -> dict[tuple[int, int, int], str]:
    """Names by (action, token, 64-bit form)."""
    names: dict[tuple[int, int, int], str] = {}
    for action, name in ((0, "read"), (1, "write"), (2, "write8"), (28, "read32"), (31, "write32")):
        for token, suffix in enumerate(("", "_le", "_swap", "_swap_le")):
            names[action, token, 0] = name + suffix
    arithmetic = ("set", "clr", "add", "addsat", "sub", "subsat")
    for action, name in [*enumerate(arithmetic, 5), (15, "xor")]:
        for wide in range(2 if 7 <= action <= 10 else 1):
            for token, (before, after) in enumerate((("", ""), ("test_", ""), ("", "_imm"), ("test_", "_imm"))):
                names[action, token, wide] = before + name + ("64" if wide else "") + after
    names |= {(3, 0, 0): "atomic_read", (3, 1, 0): "read8", (4, 0, 0): "atomic_write", (4, 1, 0): "swap"}
    return names


MEM_COMMANDS: Final[dict[tuple[int, int, int], str]] = _memory_commands()


@lru_cache(maxsize=1 << 16)
def ecc(payload: int) -> int:
    """The seven check bits of a payload.

    >>> hex(ecc(0x2f0000c0800) << 45 | 0x2f0000c0800)
    '0x502f0000c0800'
    """
    return sum(((payload & mask).bit_count() & 1) << bit for bit, mask in enumerate(ECC))


def protect(payload: int) -> int:
    """The payload with its ECC above it."""
    if payload >> 45:
        raise MachineError(f"{payload:#x} has more than the 45 bits of an instruction")
    return payload | ecc(payload) << 45


def check(word: int) -> int:
    """The payload of a protected word; MachineError when the ECC does not fit it."""
    payload = word & PAYLOAD
    if word != protect(payload):
        raise MachineError(f"word {word:#x}: the ECC should be {ecc(payload):#x}, not {word >> 45:#x}")
    return payload


LEADING: Final = 32                             # the eight bits from here tell most formats apart
_by_leading: dict[int, list[Format]] = {}


def _likely(leading: int) -> list[Format]:
    """The formats, in their order, that a word with these leading bits may have."""
    found = _by_leading.get(leading)
    if found is None:
        found = [row for row in FORMATS if leading & row.mask >> LEADING & 0xFF == row.match >> LEADING & 0xFF]
        _by_leading[leading] = found
    return found


def format_of(word: int) -> Format:
    """The format of a word (ECC and relocation are ignored); MachineError when there is none."""
    for row in _likely(word >> LEADING & 0xFF):
        if word & row.mask == row.match:
            return row
    raise MachineError(f"{word & PAYLOAD:#013x} is no instruction of the micro-engine")
