"""ARM, the 32-bit A32 instruction set of ARMv7-A: the manual's rows a code generator for BPF needs.

Every instruction is one 32-bit word, and nearly every one is conditional: the four top bits name a condition (`al` =
always).  The second operand of the data-processing group is a register, a shifted register, or an 8-bit number rotated
right by an even amount ("modified immediate").

    31  28 27    25 24    21 20 19   16 15   12 11           0
    +-----+--------+--------+--+-------+-------+--------------+
    |cond |  000   | opcode |S |  rn   |  rd   | amount ty 0 rm   shifted by a constant
    |cond |  000   | opcode |S |  rn   |  rd   | rs    0 ty 1 rm  shifted by a register
    |cond |  001   | opcode |S |  rn   |  rd   | rot     imm8     modified immediate
    |cond |  01P   U B W L     |  rn   |  rt   |    offset        word and byte transfers (U: add or subtract)
    |cond |  101 L |             offset                           branches, from the instruction's address + 8
    +-----+--------+--------+--+-------+-------+--------------+

Sources: ARM Architecture Reference Manual, ARMv7-A and ARMv7-R edition, chapters A5 and A8.
"""

from __future__ import annotations

from typing import Final

from bpfbench.machine.pattern import Encoding, Kind, Machine, Pattern

# fmt: off
REGS: Final = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr", "pc"]
R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, FP, IP, SP, LR, PC = range(16)

CONDITIONS: Final = ["eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", ""]
EQ, NE, HS, LO, MI, PL, VS, VC, HI, LS, GE, LT, GT, LE, AL = range(15)

# The data-processing group: opcode and which operands it has (d = destination, n = first source).
#  name   opcode  operands
PROCESSING: Final[list[tuple[str, str, str]]] = [
    ("and", "0000", "dn"), ("eor", "0001", "dn"), ("sub", "0010", "dn"), ("rsb", "0011", "dn"),
    ("add", "0100", "dn"), ("adc", "0101", "dn"), ("sbc", "0110", "dn"), ("rsc", "0111", "dn"),
    ("tst", "1000", "n"),  ("teq", "1001", "n"),  ("cmp", "1010", "n"),  ("cmn", "1011", "n"),
    ("orr", "1100", "dn"), ("mov", "1101", "d"),  ("bic", "1110", "dn"), ("mvn", "1111", "d"),
]
SHIFTS: Final = [("lsl", "00"), ("lsr", "01"), ("asr", "10"), ("ror", "11")]

# name         bits, most significant first                              syntax
OTHERS: Final[list[tuple[str, str, str]]] = [
    ("movw",     "cond:4 00110000 imm[15:12] rd:4 imm[11:0]",             "movw{cond} {rd}, {imm:hash}"),
    ("movt",     "cond:4 00110100 imm[15:12] rd:4 imm[11:0]",             "movt{cond} {rd}, {imm:hash}"),
    ("mul",      "cond:4 00000000 rd:4 0000 rm:4 1001 rn:4",              "mul{cond} {rd}, {rn}, {rm}"),
    ("mla",      "cond:4 00000010 rd:4 ra:4 rm:4 1001 rn:4",              "mla{cond} {rd}, {rn}, {rm}, {ra}"),
    ("mls",      "cond:4 00000110 rd:4 ra:4 rm:4 1001 rn:4",              "mls{cond} {rd}, {rn}, {rm}, {ra}"),
    ("umull",    "cond:4 00001000 rdhi:4 rdlo:4 rm:4 1001 rn:4",          "umull{cond} {rdlo}, {rdhi}, {rn}, {rm}"),
    ("sdiv",     "cond:4 01110001 rd:4 1111 rm:4 0001 rn:4",              "sdiv{cond} {rd}, {rn}, {rm}"),
    ("udiv",     "cond:4 01110011 rd:4 1111 rm:4 0001 rn:4",              "udiv{cond} {rd}, {rn}, {rm}"),
    ("clz",      "cond:4 00010110 1111 rd:4 1111 0001 rm:4",              "clz{cond} {rd}, {rm}"),
    ("rev",      "cond:4 01101011 1111 rd:4 1111 0011 rm:4",              "rev{cond} {rd}, {rm}"),
    ("rev16",    "cond:4 01101011 1111 rd:4 1111 1011 rm:4",              "rev16{cond} {rd}, {rm}"),
    ("uxth",     "cond:4 01101111 1111 rd:4 00000111 rm:4",               "uxth{cond} {rd}, {rm}"),
    # memory; the rows called ..._sub subtract the offset
    ("ldr",      "cond:4 01011001 rn:4 rt:4 off:12",                      "ldr{cond} {rt}, [{rn}{off:plus}]"),
    ("ldr_sub",  "cond:4 01010001 rn:4 rt:4 off:12",                      "ldr{cond} {rt}, [{rn}{off:minus}]"),
    ("ldrb",     "cond:4 01011101 rn:4 rt:4 off:12",                      "ldrb{cond} {rt}, [{rn}{off:plus}]"),
    ("ldrb_sub", "cond:4 01010101 rn:4 rt:4 off:12",                      "ldrb{cond} {rt}, [{rn}{off:minus}]"),
    ("str",      "cond:4 01011000 rn:4 rt:4 off:12",                      "str{cond} {rt}, [{rn}{off:plus}]"),
    ("str_sub",  "cond:4 01010000 rn:4 rt:4 off:12",                      "str{cond} {rt}, [{rn}{off:minus}]"),
    ("strb",     "cond:4 01011100 rn:4 rt:4 off:12",                      "strb{cond} {rt}, [{rn}{off:plus}]"),
    ("strb_sub", "cond:4 01010100 rn:4 rt:4 off:12",                      "strb{cond} {rt}, [{rn}{off:minus}]"),
    ("ldrh",     "cond:4 00011101 rn:4 rt:4 off[7:4] 1011 off[3:0]",      "ldrh{cond} {rt}, [{rn}{off:plus}]"),
    ("ldrh_sub", "cond:4 00010101 rn:4 rt:4 off[7:4] 1011 off[3:0]",      "ldrh{cond} {rt}, [{rn}{off:minus}]"),
    ("ldrsb",    "cond:4 00011101 rn:4 rt:4 off[7:4] 1101 off[3:0]",      "ldrsb{cond} {rt}, [{rn}{off:plus}]"),
    ("ldrsb_sub", "cond:4 00010101 rn:4 rt:4 off[7:4] 1101 off[3:0]",      "ldrsb{cond} {rt}, [{rn}{off:minus}]"),
    ("ldrsh",    "cond:4 00011101 rn:4 rt:4 off[7:4] 1111 off[3:0]",      "ldrsh{cond} {rt}, [{rn}{off:plus}]"),
    ("ldrsh_sub", "cond:4 00010101 rn:4 rt:4 off[7:4] 1111 off[3:0]",      "ldrsh{cond} {rt}, [{rn}{off:minus}]"),
    ("strh",     "cond:4 00011100 rn:4 rt:4 off[7:4] 1011 off[3:0]",      "strh{cond} {rt}, [{rn}{off:plus}]"),
    ("strh_sub", "cond:4 00010100 rn:4 rt:4 off[7:4] 1011 off[3:0]",      "strh{cond} {rt}, [{rn}{off:minus}]"),
    ("ldrd",     "cond:4 00011100 rn:4 rt[3:1] 0 off[7:4] 1101 off[3:0]", "ldrd{cond} {rt:pair}, [{rn}{off:plus}]"),
    ("ldrd_sub", "cond:4 00010100 rn:4 rt[3:1] 0 off[7:4] 1101 off[3:0]", "ldrd{cond} {rt:pair}, [{rn}{off:minus}]"),
    ("strd",     "cond:4 00011100 rn:4 rt[3:1] 0 off[7:4] 1111 off[3:0]", "strd{cond} {rt:pair}, [{rn}{off:plus}]"),
    ("strd_sub", "cond:4 00010100 rn:4 rt[3:1] 0 off[7:4] 1111 off[3:0]", "strd{cond} {rt:pair}, [{rn}{off:minus}]"),
    ("ldr_lsl",  "cond:4 01111001 rn:4 rt:4 n:5 00 0 rm:4",               "ldr{cond} {rt}, [{rn}, {rm}, lsl {n:hash}]"),
    ("push",     "cond:4 100100101101 list:16",                           "push{cond} {list:list}"),
    ("pop",      "cond:4 100010111101 list:16",                           "pop{cond} {list:list}"),
    ("ldrex",    "cond:4 00011001 rn:4 rt:4 111110011111",                "ldrex{cond} {rt}, [{rn}]"),
    ("strex",    "cond:4 00011000 rn:4 rd:4 11111001 rt:4",               "strex{cond} {rd}, {rt}, [{rn}]"),
    ("ldrexd",   "cond:4 00011011 rn:4 rt[3:1] 0 111110011111",           "ldrexd{cond} {rt:pair}, [{rn}]"),
    ("strexd",   "cond:4 00011010 rn:4 rd:4 11111001 rt[3:1] 0",          "strexd{cond} {rd}, {rt:pair}, [{rn}]"),
    # control
    ("b",        "cond:4 1010 off[25:2]",                                 "b{cond} {off:branch}"),
    ("bl",       "cond:4 1011 off[25:2]",                                 "bl{cond} {off:branch}"),
    ("bx",       "cond:4 000100101111111111110001 rm:4",                  "bx{cond} {rm}"),
    ("blx",      "cond:4 000100101111111111110011 rm:4",                  "blx{cond} {rm}"),
]
# fmt: on


def data_processing() -> list[Encoding]:
    """The rows of the data-processing group: every opcode with every form of its last operand.

    Names: `add` (register), `adds` (sets the flags), `add_i` (modified immediate), `add_lsl_i` and `add_lsl_r` (shifted
    by a constant, by a register).  A shifted `mov` is called and printed as the shift: `lsl_i`, `lsl_r`.
    """
    rows: list[Encoding] = []
    for name, opcode, operands in PROCESSING:
        sets_flags = [("", "1")] if operands == "n" else [("", "0"), ("s", "1")]
        for suffix, s in sets_flags:
            rows += forms(name + suffix, f"cond:4 %s {opcode} {s}", operands)
    return rows


def forms(name: str, head: str, operands: str) -> list[Encoding]:
    """The nine forms of one opcode; `head` has a hole for the group bits."""
    rn, rd = ("rn:4" if "n" in operands else "0000"), ("rd:4" if "d" in operands else "0000")
    shown = ", ".join("{r" + c + "}" for c in operands)
    syntax = f"{name}{{cond}} {shown}, "
    shifted = name.startswith("mov")
    rows: list[Encoding] = [
        Pattern(name, f"{head % '000'} {rn} {rd} 00000000 rm:4", syntax + "{rm}"),
        Pattern(f"{name}_i", f"{head % '001'} {rn} {rd} imm:12", syntax + "{imm:mod}"),
    ]
    for shift, ty in SHIFTS:
        amount = "{n:hash}" if shift == "lsl" else "{n:hash32}"
        title = shift + name[3:] if shifted else f"{name}_{shift}"
        text = f"{title}{{cond}} {shown}, {{rm}}, " if shifted else syntax + f"{{rm}}, {shift} "
        if shift != "ror":  # a constant rotation by 0 would be rrx, a third thing
            rows.append(Pattern(f"{title}_i", f"{head % '000'} {rn} {rd} n:5 {ty} 0 rm:4", text + amount))
        rows.append(Pattern(f"{title}_r", f"{head % '000'} {rn} {rd} rs:4 0 {ty} 1 rm:4", text + "{rs}"))
    return rows


def modified_immediate(value: int) -> int:
    """The 12-bit field that stands for the 32-bit `value`, with the smallest rotation; -1 if there is none.

    >>> hex(modified_immediate(0xFF000000)), modified_immediate(0x101)
    ('0x4ff', -1)
    """
    for rot in range(16):
        turned = (value << 2 * rot | value >> (32 - 2 * rot)) & 0xFFFF_FFFF
        if turned <= 0xFF:
            return rot << 8 | turned
    return -1


def shown_modified(field: int, addr: int) -> str:
    """A modified immediate as its value; as number and rotation where a smaller rotation would do as well."""
    imm8, rot = field & 0xFF, field >> 8
    value = (imm8 >> 2 * rot | imm8 << (32 - 2 * rot)) & 0xFFFF_FFFF
    if modified_immediate(value) != field:
        return f"#{imm8}, #{2 * rot}"
    return f"#{value - (1 << 32) if value >= 1 << 31 else value}"


def shown_list(mask: int, addr: int) -> str:
    return "{" + ", ".join(REGS[n] for n in range(16) if mask >> n & 1) + "}"


def branch_target(value: int, addr: int) -> str:
    """The program counter reads as the instruction's address + 8."""
    return hex((addr + 8 + value) & 0xFFFF_FFFF)


def constant(value: int, addr: int) -> str:
    return f"#{value}"


def shift_amount(value: int, addr: int) -> str:
    """A right shift by 32 is encoded as 0."""
    return f"#{value or 32}"


def added(value: int, addr: int) -> str:
    return f", #{value}" if value else ""


def subtracted(value: int, addr: int) -> str:
    return f", #-{value}"


def register_pair(value: int, addr: int) -> str:
    return f"{REGS[value]}, {REGS[(value + 1) % 16]}"


ROWS: Final[list[Encoding]] = [
    *(Pattern(name, bits, syntax, signed="off" if "branch" in syntax else "") for name, bits, syntax in OTHERS),
    *data_processing(),
    Pattern("udf", "1110 01111111 imm[15:4] 1111 imm[3:0]", "udf {imm:hash}"),
    Pattern("dmb", "1111 01010111111111110000 0101 option:4", "dmb {option:barrier}"),
]

BARRIERS: Final = "#0 #1 oshst osh #4 #5 nshst nsh #8 #9 ishst ish #12 #13 st sy".split()
KINDS: Final[dict[str, Kind]] = {
    "r": REGS,
    "c": [*CONDITIONS, "?"],
    "hash": constant,
    "hash32": shift_amount,
    "mod": shown_modified,
    "plus": added,
    "minus": subtracted,
    "pair": register_pair,
    "list": shown_list,
    "branch": branch_target,
    "barrier": BARRIERS,
}


def meant(row: Encoding, code: bytes, at: int) -> bool:
    """The condition 1111 is a space of its own, of which only `dmb` is used here."""
    return row.name == "udf" or (row.names[0] == "cond") == (code[at + 3] >> 4 != 0xF)


A32: Final = Machine("arm", ROWS, KINDS, unit=4, byte=3, meant=meant)
