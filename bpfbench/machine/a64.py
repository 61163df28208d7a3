"""AArch64: the instructions that Linux's eBPF JIT uses, as rows of the Arm manual.

Every instruction is one 32-bit word.  Most come in two widths that differ in bit 31 (`sf`); such a pair is spelled once
and expanded.  Aliases (cmp, tst, mul, neg, ...) stand before the form they specialise, so that decoding finds the name a
disassembler prints.

Logical immediates are patterns: an element of 2, 4, ... 64 bits holding a rotated run of ones, repeated across the
register.  The 13-bit field N:immr:imms is one operand; `bitmask` finds it for a value and `bitmask_value` reads it back.

Source: Arm Architecture Reference Manual (DDI 0487), C4 and C6.
"""

from __future__ import annotations

from typing import Final

from bpfbench.machine.pattern import Encoding, Kind, LeftShift, Machine, Pattern, pc_relative

FP: Final = 29
LR: Final = 30
ZR: Final = 31
SP: Final = 31

CONDITIONS: Final = "eq ne hs lo mi pl vs vc hi ls ge lt gt le al nv".split()
CONDITION: Final = {name: i for i, name in enumerate(CONDITIONS)}


def bitmask(value: int, bits: int) -> int:
    """N:immr:imms for a logical immediate of a register `bits` wide, or -1 if the value is not one.

    >>> hex(bitmask(0xFF, 32)), bitmask(0, 64), bitmask_value(bitmask(0xFF00FF00, 32), 32) == 0xFF00FF00
    ('0x7', -1, True)
    """
    if bits == 64 and -(1 << 31) <= value < 1 << 31 and not one_run(value if value >= 0 else ~value):
        return -1                   # the upper half repeats one bit, so the element can only be all 64 bits
    value &= (1 << bits) - 1
    if value == 0 or value == (1 << bits) - 1:
        return -1
    size = bits
    while size > 2 and value & ((1 << size // 2) - 1) == value >> size // 2 & ((1 << size // 2) - 1):
        size //= 2
    element = value & ((1 << size) - 1)
    outside = ~element & ((1 << size) - 1)
    wraps = element & 1 and element >> (size - 1)
    if not one_run(outside if wraps else element):
        return -1
    # the run of ones starts where the zeros end, or at its own lowest one
    start = outside.bit_length() if wraps else (element & -element).bit_length() - 1
    rotate = -start % size
    imms = (~(2 * size - 1) & 0x3F) | (element.bit_count() - 1)
    return (1 if size == 64 else 0) << 12 | rotate << 6 | imms


def one_run(value: int) -> bool:
    """Are the ones of a number next to each other?"""
    return value != 0 and value & (value + (value & -value)) == 0


def bitmask_value(field: int, bits: int) -> int:
    """The value that a field N:immr:imms stands for; -1 for a reserved field."""
    n, rotate, imms = field >> 12, field >> 6 & 63, field & 63
    length = (n << 6 | ~imms & 63).bit_length() - 1
    if length < 1:
        return -1
    size = 1 << length
    ones = (imms & (size - 1)) + 1
    rotate &= size - 1
    if ones == size or size > bits:
        return -1
    run = (1 << ones) - 1
    element = (run >> rotate | run << (size - rotate)) & ((1 << size) - 1)
    value = 0
    for at in range(0, bits, size):
        value |= element << at
    return value


def immediate(value: int, addr: int) -> str:
    amount = abs(value)
    return f"#{'-' if value < 0 else ''}{amount if amount < 10 else hex(amount)}"


def target(value: int, addr: int) -> str:
    return "#" + pc_relative(value, addr)


def mask64(value: int, addr: int) -> str:
    return immediate(bitmask_value(value, 64), addr)


def mask32(value: int, addr: int) -> str:
    return immediate(bitmask_value(value, 32), addr)


def offset(value: int, addr: int) -> str:
    """The end of `[base, #offset]`; nothing for 0."""
    return f", {immediate(value, addr)}" if value else ""


def names(letter: str, last: str) -> Kind:
    listed: Kind = [f"{letter}{i}" for i in range(31)] + [last]
    return listed


KINDS: Final[dict[str, Kind]] = {
    "x": names("x", "xzr"), "w": names("w", "wzr"), "xs": names("x", "sp"), "ws": names("w", "wsp"),
    "i": immediate, "o": offset, "t": target, "m64": mask64, "m32": mask32, "c": CONDITIONS,
}  # fmt: skip


_WIDTHS: Final = [(32, 0, "w"), (64, 1, "x")]

# name   op S   alias with rd = 31
_ADDSUB: Final = [("adds", "01", "cmn"), ("subs", "11", "cmp"), ("add", "00", ""), ("sub", "10", "")]
# name  opc N  alias: "tst" with rd = 31, "mvn" and "mov" with rn = 31
_LOGIC: Final = [("and", "00", 0), ("orn", "01", 1), ("orr", "01", 0), ("eor", "10", 0), ("ands", "11", 0)]
_DATA2: Final = [("udiv", "000010"), ("sdiv", "000011"), ("lsl", "001000"), ("lsr", "001001"), ("asr", "001010")]
_ATOMIC: Final = [("add", "000"), ("clr", "001"), ("eor", "010"), ("set", "011")]


def _arithmetic() -> list[Encoding]:
    rows: list[Encoding] = []
    for bits, sf, r in _WIDTHS:
        def row(name: str, pattern: str, syntax: str, width: int = bits) -> None:
            rows.append(Pattern(f"{name}{width}", pattern, syntax))

        # mov to or from sp is an addition of 0 in which register 31 is sp
        row("mov_from_sp", f"{sf} 0010001 00 000000000000 11111 rd:5", f"mov {{rd:{r}s}}, {'sp' if sf else 'wsp'}")
        row("mov_to_sp", f"{sf} 0010001 00 000000000000 rn:5 11111", f"mov {'sp' if sf else 'wsp'}, {{rn:{r}s}}")
        for name, op, alias in _ADDSUB:
            d = r if name.endswith("s") else r + "s"
            if alias:
                row(f"{alias}_i", f"{sf} {op} 100010 0 imm:12 rn:5 11111", f"{alias} {{rn:{r}s}}, {{imm:i}}")
                row(f"{alias}_i12", f"{sf} {op} 100010 1 imm:12 rn:5 11111", f"{alias} {{rn:{r}s}}, {{imm:i}}, lsl #12")
                row(f"{alias}_r", f"{sf} {op} 01011 000 rm:5 000000 rn:5 11111", f"{alias} {{rn:{r}}}, {{rm:{r}}}")
            row(f"{name}_i", f"{sf} {op} 100010 0 imm:12 rn:5 rd:5", f"{name} {{rd:{d}}}, {{rn:{r}s}}, {{imm:i}}")
            row(f"{name}_i12", f"{sf} {op} 100010 1 imm:12 rn:5 rd:5", f"{name} {{rd:{d}}}, {{rn:{r}s}}, {{imm:i}}, lsl #12")
            if name == "sub":
                row("neg_r", f"{sf} {op} 01011 000 rm:5 000000 11111 rd:5", f"neg {{rd:{r}}}, {{rm:{r}}}")
            row(f"{name}_r", f"{sf} {op} 01011 000 rm:5 000000 rn:5 rd:5", f"{name} {{rd:{r}}}, {{rn:{r}}}, {{rm:{r}}}")
        for name, opc, n in _LOGIC:
            if name == "ands":
                row("tst_r", f"{sf} {opc} 01010 00 {n} rm:5 000000 rn:5 11111", f"tst {{rn:{r}}}, {{rm:{r}}}")
                row("tst_m", _logical(sf, opc).replace("rd:5", "11111"), f"tst {{rn:{r}}}, {{mask:m{bits}}}")
            if name in ("orn", "orr"):
                alias = "mvn" if name == "orn" else "mov"
                row(f"{alias}_r", f"{sf} {opc} 01010 00 {n} rm:5 000000 11111 rd:5", f"{alias} {{rd:{r}}}, {{rm:{r}}}")
            row(f"{name}_r", f"{sf} {opc} 01010 00 {n} rm:5 000000 rn:5 rd:5", f"{name} {{rd:{r}}}, {{rn:{r}}}, {{rm:{r}}}")
            if n == 0:
                d = r if name == "ands" else r + "s"
                row(f"{name}_m", _logical(sf, opc), f"{name} {{rd:{d}}}, {{rn:{r}}}, {{mask:m{bits}}}")
        for name, opc in (("movn", "00"), ("movz", "10"), ("movk", "11")):
            # a shift of 0 is not printed
            row(name, f"{sf} {opc} 100101 00 imm:16 rd:5", f"{name} {{rd:{r}}}, {{imm:i}}")
            row(f"{name}s", _shifted_move(sf, opc), f"{name} {{rd:{r}}}, {{imm:i}}, lsl #{{sh:n}}")
        for name, imms in (("sxtb", "000111"), ("sxth", "001111")) + ((("sxtw", "011111"),) if sf else ()):
            row(name, f"{sf} 00 100110 {sf} 000000 {imms} rn:5 rd:5", f"{name} {{rd:{r}}}, {{rn:w}}")
        if not sf:
            row("uxth", "0 10 100110 0 000000 001111 rn:5 rd:5", "uxth {rd:w}, {rn:w}")
        else:
            row("uxth", "1 10 100110 1 000000 001111 rn:5 rd:5", "ubfx {rd:x}, {rn:x}, #0, #0x10")
        last = "111111" if sf else "011111"
        row("asr_i", f"{sf} 00 100110 {sf} imm:6 {last} rn:5 rd:5", f"asr {{rd:{r}}}, {{rn:{r}}}, {{imm:i}}")
        row("lsr_i", f"{sf} 10 100110 {sf} imm:6 {last} rn:5 rd:5", f"lsr {{rd:{r}}}, {{rn:{r}}}, {{imm:i}}")
        rows.append(
            LeftShift(f"lsl_i{bits}", f"{sf} 10 100110 {sf} immr:6 imms:6 rn:5 rd:5",
                      f"lsl {{rd:{r}}}, {{rn:{r}}}, {{immr:i}}{{imms:none}}", bits)
        )  # fmt: skip
        row("rev16_", f"{sf} 1 0 11010110 00000 000001 rn:5 rd:5", f"rev16 {{rd:{r}}}, {{rn:{r}}}")
        for name, opcode in _DATA2:
            row(f"{name}_v", f"{sf} 0 0 11010110 rm:5 {opcode} rn:5 rd:5", f"{name} {{rd:{r}}}, {{rn:{r}}}, {{rm:{r}}}")
        row("mul_", f"{sf} 00 11011 000 rm:5 0 11111 rn:5 rd:5", f"mul {{rd:{r}}}, {{rn:{r}}}, {{rm:{r}}}")
        row("madd_", f"{sf} 00 11011 000 rm:5 0 ra:5 rn:5 rd:5", f"madd {{rd:{r}}}, {{rn:{r}}}, {{rm:{r}}}, {{ra:{r}}}")
        row("msub_", f"{sf} 00 11011 000 rm:5 1 ra:5 rn:5 rd:5", f"msub {{rd:{r}}}, {{rn:{r}}}, {{rm:{r}}}, {{ra:{r}}}")
    rows += [
        Pattern("rev32", "0 1 0 11010110 00000 000010 rn:5 rd:5", "rev {rd:w}, {rn:w}"),
        Pattern("rev64", "1 1 0 11010110 00000 000011 rn:5 rd:5", "rev {rd:x}, {rn:x}"),
    ]
    return rows


def _logical(sf: int, opc: str) -> str:
    """Logical immediate; N is 0 in 32 bits, so that field has only 12 bits there."""
    return f"{sf} {opc} 100100 " + ("mask:13" if sf else "0 mask:12") + " rn:5 rd:5"


def _shifted_move(sf: int, opc: str) -> str:
    return f"{sf} {opc} 100101 " + ("sh[5:4]" if sf else "0 sh[4]") + " imm:16 rd:5"


# size bits  bytes  immediate field   register kind of the value
_SIZES: Final = [
    ("00", 1, "b", "imm:12",    "w"),
    ("01", 2, "h", "imm[12:1]", "w"),
    ("10", 4, "",  "imm[13:2]", "w"),
    ("11", 8, "",  "imm[14:3]", "x"),
]  # fmt: skip


def _memory() -> list[Encoding]:
    rows: list[Encoding] = []
    for size, count, suffix, imm, r in _SIZES:
        for name, opc, rt in (("str", "00", r), ("ldr", "01", r)) + ((("ldrs", "10", "x"),) if count < 8 else ()):
            word = name + (suffix if not (name == "ldrs" and count == 4) else "w")
            stem = {"str": "store", "ldr": "load", "ldrs": "loads"}[name]
            rows += [
                Pattern(f"{stem}{count}_i", f"{size} 111001 {opc} {imm} rn:5 rt:5", f"{word} {{rt:{rt}}}, [{{rn:xs}}{{imm:o}}]"),
                Pattern(f"{stem}{count}_r", f"{size} 111000 {opc} 1 rm:5 011 0 10 rn:5 rt:5", f"{word} {{rt:{rt}}}, [{{rn:xs}}, {{rm:x}}]"),
                Pattern(f"{stem}{count}_rx", f"{size} 111000 {opc} 1 rm:5 111 0 10 rn:5 rt:5", f"{word} {{rt:{rt}}}, [{{rn:xs}}, {{rm:x}}, sxtx]"),
            ]
        rows += [
            Pattern(f"ldar{count}", f"{size} 001000 110 11111 1 11111 rn:5 rt:5", f"ldar{suffix} {{rt:{r}}}, [{{rn:xs}}]"),
            Pattern(f"stlr{count}", f"{size} 001000 100 11111 1 11111 rn:5 rt:5", f"stlr{suffix} {{rt:{r}}}, [{{rn:xs}}]"),
        ]
    rows += [
        Pattern("push_pair", "10 101 0 011 0 imm[9:3] rt2:5 rn:5 rt:5", "stp {rt:x}, {rt2:x}, [{rn:xs}, {imm:i}]!", "imm"),
        Pattern("pop_pair", "10 101 0 001 1 imm[9:3] rt2:5 rn:5 rt:5", "ldp {rt:x}, {rt2:x}, [{rn:xs}], {imm:i}", "imm"),
        Pattern("ldr_lit", "01 011 000 rel[20:2] rt:5", "ldr {rt:x}, {rel:t}", "rel"),
    ]
    for bits, sf, r in _WIDTHS:
        size = f"1{sf}"
        rows += [
            Pattern(f"ldxr{bits}", f"{size} 001000 010 11111 0 11111 rn:5 rt:5", f"ldxr {{rt:{r}}}, [{{rn:xs}}]"),
            Pattern(f"stxr{bits}", f"{size} 001000 000 rs:5 0 11111 rn:5 rt:5", f"stxr {{rs:w}}, {{rt:{r}}}, [{{rn:xs}}]"),
            Pattern(f"stlxr{bits}", f"{size} 001000 000 rs:5 1 11111 rn:5 rt:5", f"stlxr {{rs:w}}, {{rt:{r}}}, [{{rn:xs}}]"),
            Pattern(f"casal{bits}", f"{size} 001000 111 rs:5 1 11111 rn:5 rt:5", f"casal {{rs:{r}}}, {{rt:{r}}}, [{{rn:xs}}]"),
            Pattern(f"swpal{bits}", f"{size} 111000 111 rs:5 1 000 00 rn:5 rt:5", f"swpal {{rs:{r}}}, {{rt:{r}}}, [{{rn:xs}}]"),
        ]
        for name, opc in _ATOMIC:
            rows += [
                Pattern(f"st{name}{bits}", f"{size} 111000 001 rs:5 0 {opc} 00 rn:5 11111", f"st{name} {{rs:{r}}}, [{{rn:xs}}]"),
                Pattern(f"ld{name}al{bits}", f"{size} 111000 111 rs:5 0 {opc} 00 rn:5 rt:5", f"ld{name}al {{rs:{r}}}, {{rt:{r}}}, [{{rn:xs}}]"),
            ]
    return rows


def _control() -> list[Encoding]:
    hint = "11010101000000110010"
    rows: list[Encoding] = [
        Pattern("b", "0 00101 rel[27:2]", "b {rel:t}", "rel"),
        Pattern("bl", "1 00101 rel[27:2]", "bl {rel:t}", "rel"),
        Pattern("b_cond", "01010100 rel[20:2] 0 cond:4", "b.{cond:c} {rel:t}", "rel"),
        Pattern("br", "1101011 0000 11111 000000 rn:5 00000", "br {rn:x}"),
        Pattern("blr", "1101011 0001 11111 000000 rn:5 00000", "blr {rn:x}"),
        Pattern("ret", "1101011 0010 11111 000000 11110 00000", "ret"),
        Pattern("ret_r", "1101011 0010 11111 000000 rn:5 00000", "ret {rn:x}"),
        Pattern("nop", f"{hint} 0000 000 11111", "nop"),
        Pattern("paciasp", f"{hint} 0011 001 11111", "paciasp"),
        Pattern("autiasp", f"{hint} 0011 101 11111", "autiasp"),
        Pattern("bti_c", f"{hint} 0100 010 11111", "bti c"),
        Pattern("bti_j", f"{hint} 0100 100 11111", "bti j"),
        Pattern("bti_jc", f"{hint} 0100 110 11111", "bti jc"),
        Pattern("dmb_ish", "11010101000000110011 1011 1 01 11111", "dmb ish"),
        Pattern("sb", "11010101000000110011 0000 1 11 11111", "sb"),
        Pattern("dsb_nsh", "11010101000000110011 0111 1 00 11111", "dsb nsh"),
        Pattern("isb", "11010101000000110011 1111 1 10 11111", "isb"),
        Pattern("brk", "11010100 001 imm:16 000 00", "brk {imm:i}"),
        Pattern("mrs_sp_el0", "1101010100 1 1 1 000 0100 0001 000 rt:5", "mrs {rt:x}, sp_el0"),
        Pattern("mrs_tpidr_el1", "1101010100 1 1 1 000 1101 0000 100 rt:5", "mrs {rt:x}, tpidr_el1"),
        Pattern("mrs_tpidr_el2", "1101010100 1 1 1 100 1101 0000 010 rt:5", "mrs {rt:x}, tpidr_el2"),
    ]  # fmt: skip
    for bits, sf, r in _WIDTHS:
        rows += [
            Pattern(f"cbz{bits}", f"{sf} 011010 0 rel[20:2] rt:5", f"cbz {{rt:{r}}}, {{rel:t}}", "rel"),
            Pattern(f"cbnz{bits}", f"{sf} 011010 1 rel[20:2] rt:5", f"cbnz {{rt:{r}}}, {{rel:t}}", "rel"),
        ]
    return rows


ROWS: Final[list[Encoding]] = _arithmetic() + _memory() + _control()
A64: Final = Machine("aarch64", ROWS, KINDS, 4, byte=3)
R: Final[dict[str, Encoding]] = A64.by_name


def both(stem: str) -> tuple[Encoding, Encoding]:
    """(32-bit row, 64-bit row), so that `rows[wide]` picks."""
    return R[f"{stem}32"], R[f"{stem}64"]
