"""RISC-V 64: the instructions that Linux's eBPF JIT uses, as rows of the manual.

Instructions are 32 bits, or 16 bits where the C extension has a short form; the two lowest bits tell which.  A short
form names all 32 registers (`rd:5`) or only s0, s1, a0-a5 (`rdc:3`, whose operand is the register's number minus 8).
Immediates are scattered over the word; the row says where each bit goes.

Source: The RISC-V Instruction Set Manual, volume I (RV64I, M, A, Zba, Zbb, C); the opcode tables of riscv-opcodes.
"""

from __future__ import annotations

from typing import Final

from bpfbench.machine.pattern import Encoding, Kind, Machine, Pattern, decimal, pc_relative

ZERO: Final = 0
RA: Final = 1
SP: Final = 2
TP: Final = 4
T0: Final = 5
T1: Final = 6
T2: Final = 7
FP: Final = 8
S1: Final = 9
A0: Final = 10
A1: Final = 11
A2: Final = 12
A5: Final = 15
A6: Final = 16
S6: Final = 22
T3: Final = 28

NAMES: Final = (
    "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
).split()


def upper(value: int, addr: int) -> str:
    """The immediate of lui and auipc, as the 20 bits that are written."""
    return str(value & 0xFFFFF)


def fence_set(value: int, addr: int) -> str:
    return "".join(letter for bit, letter in ((8, "i"), (4, "o"), (2, "r"), (1, "w")) if value & bit)


KINDS: Final[dict[str, Kind]] = {
    "r": NAMES, "c": NAMES[8:16], "i": decimal, "u": upper, "p": decimal, "pc": pc_relative, "f": fence_set,
}  # fmt: skip

# name    funct7     funct3  opcode
_REGISTER: Final = [
    ("add",    "0000000", "000", "0110011"), ("sub",    "0100000", "000", "0110011"),
    ("sll",    "0000000", "001", "0110011"), ("xor",    "0000000", "100", "0110011"),
    ("srl",    "0000000", "101", "0110011"), ("sra",    "0100000", "101", "0110011"),
    ("or",     "0000000", "110", "0110011"), ("and",    "0000000", "111", "0110011"),
    ("sltu",   "0000000", "011", "0110011"),
    ("addw",   "0000000", "000", "0111011"), ("subw",   "0100000", "000", "0111011"),
    ("sllw",   "0000000", "001", "0111011"), ("srlw",   "0000000", "101", "0111011"),
    ("sraw",   "0100000", "101", "0111011"),
    ("mul",    "0000001", "000", "0110011"), ("mulw",   "0000001", "000", "0111011"),
    ("div",    "0000001", "100", "0110011"), ("divw",   "0000001", "100", "0111011"),
    ("divu",   "0000001", "101", "0110011"), ("divuw",  "0000001", "101", "0111011"),
    ("rem",    "0000001", "110", "0110011"), ("remw",   "0000001", "110", "0111011"),
    ("remu",   "0000001", "111", "0110011"), ("remuw",  "0000001", "111", "0111011"),
    ("sh2add", "0010000", "100", "0110011"), ("sh3add", "0010000", "110", "0110011"),
]  # fmt: skip
# name    funct3  opcode
_IMMEDIATE: Final = [
    ("addi", "000", "0010011"), ("xori", "100", "0010011"), ("ori", "110", "0010011"), ("andi", "111", "0010011"),
    ("addiw", "000", "0011011"),
]  # fmt: skip
# name   top bits          funct3  opcode     shift bits
_SHIFT: Final = [
    ("slli",  "000000",  "001", "0010011", 6), ("srli",  "000000",  "101", "0010011", 6),
    ("srai",  "010000",  "101", "0010011", 6), ("slliw", "0000000", "001", "0011011", 5),
    ("srliw", "0000000", "101", "0011011", 5), ("sraiw", "0100000", "101", "0011011", 5),
]  # fmt: skip
# name  funct3
_LOAD: Final = [("lb", "000"), ("lh", "001"), ("lw", "010"), ("ld", "011"), ("lbu", "100"), ("lhu", "101"), ("lwu", "110")]
_STORE: Final = [("sb", "000"), ("sh", "001"), ("sw", "010"), ("sd", "011")]
_BRANCH: Final = [("beq", "000"), ("bne", "001"), ("blt", "100"), ("bge", "101"), ("bltu", "110"), ("bgeu", "111")]
_AMO: Final = [("amoadd", "00000"), ("amoswap", "00001"), ("amoxor", "00100"), ("amoor", "01000"), ("amoand", "01100")]
# name     the upper 12 bits   opcode fields of Zbb's one-operand instructions
_UNARY: Final = [
    ("rev8",   "011010111000", "101", "0010011"), ("sext.b", "011000000100", "001", "0010011"),
    ("sext.h", "011000000101", "001", "0010011"), ("zext.h", "000010000000", "100", "0111011"),
]  # fmt: skip


def _base() -> list[Encoding]:
    rows: list[Encoding] = [
        Pattern("nop", "000000000000 00000 000 00000 0010011", "nop"),
        Pattern("zext.w", "0000100 00000 rs1:5 000 rd:5 0111011", "zext.w {rd}, {rs1}"),
        Pattern("add.uw", "0000100 rs2:5 rs1:5 000 rd:5 0111011", "add.uw {rd}, {rs1}, {rs2}"),
        Pattern("lui", "imm:20 rd:5 0110111", "lui {rd}, {imm:u}"),
        Pattern("auipc", "imm:20 rd:5 0010111", "auipc {rd}, {imm:u}"),
        Pattern("jal", "imm[20|10:1|11|19:12] rd:5 1101111", "jal {rd}, {imm:p}", "imm"),
        Pattern("jalr", "imm:12 rs1:5 000 rd:5 1100111", "jalr {rd}, {imm}({rs1})", "imm"),
        Pattern("fence", "0000 pred:4 succ:4 00000 000 00000 0001111", "fence {pred:f}, {succ:f}"),
        Pattern("ebreak", "000000000001 00000 000 00000 1110011", "ebreak"),
    ]
    for name, top, f3, opcode in _UNARY:
        rows.append(Pattern(name, f"{top} rs1:5 {f3} rd:5 {opcode}", f"{name} {{rd}}, {{rs1}}"))
    for name, f7, f3, opcode in _REGISTER:
        rows.append(Pattern(name, f"{f7} rs2:5 rs1:5 {f3} rd:5 {opcode}", f"{name} {{rd}}, {{rs1}}, {{rs2}}"))
    for name, f3, opcode in _IMMEDIATE:
        rows.append(Pattern(name, f"imm:12 rs1:5 {f3} rd:5 {opcode}", f"{name} {{rd}}, {{rs1}}, {{imm}}", "imm"))
    for name, top, f3, opcode, width in _SHIFT:
        rows.append(Pattern(name, f"{top} imm:{width} rs1:5 {f3} rd:5 {opcode}", f"{name} {{rd}}, {{rs1}}, {{imm}}"))
    for name, f3 in _LOAD:
        rows.append(Pattern(name, f"imm:12 rs1:5 {f3} rd:5 0000011", f"{name} {{rd}}, {{imm}}({{rs1}})", "imm"))
    for name, f3 in _STORE:
        rows.append(Pattern(name, f"imm[11:5] rs2:5 rs1:5 {f3} imm[4:0] 0100011", f"{name} {{rs2}}, {{imm}}({{rs1}})", "imm"))
    for name, f3 in _BRANCH:
        bits = f"imm[12|10:5] rs2:5 rs1:5 {f3} imm[4:1|11] 1100011"
        rows.append(Pattern(name, bits, f"{name} {{rs1}}, {{rs2}}, {{imm:p}}", "imm"))
    return rows


def _atomics() -> list[Encoding]:
    rows: list[Encoding] = []
    for letter, f3 in (("w", "010"), ("d", "011")):
        for name, f5 in _AMO:
            for suffix, order in (("", "00"), (".aqrl", "11")):
                rows.append(
                    Pattern(f"{name}.{letter}{suffix}", f"{f5} {order} rs2:5 rs1:5 {f3} rd:5 0101111",
                            f"{name}.{letter}{suffix} {{rd}}, {{rs2}}, ({{rs1}})")
                )  # fmt: skip
        rows += [
            Pattern(f"lr.{letter}", f"00010 00 00000 rs1:5 {f3} rd:5 0101111", f"lr.{letter} {{rd}}, ({{rs1}})"),
            Pattern(f"sc.{letter}.rl", f"00011 01 rs2:5 rs1:5 {f3} rd:5 0101111", f"sc.{letter}.rl {{rd}}, {{rs2}}, ({{rs1}})"),
        ]
    return rows


_COMPRESSED: Final[list[Encoding]] = [
    Pattern("c.addi4spn", "000 imm[5:4|9:6|2|3] rd:3 00", "c.addi4spn {rd:c}, sp, {imm}"),
    Pattern("c.lw", "010 imm[5:3] rs1:3 imm[2|6] rd:3 00", "c.lw {rd:c}, {imm}({rs1:c})"),
    Pattern("c.ld", "011 imm[5:3] rs1:3 imm[7:6] rd:3 00", "c.ld {rd:c}, {imm}({rs1:c})"),
    Pattern("c.sw", "110 imm[5:3] rs1:3 imm[2|6] rs2:3 00", "c.sw {rs2:c}, {imm}({rs1:c})"),
    Pattern("c.sd", "111 imm[5:3] rs1:3 imm[7:6] rs2:3 00", "c.sd {rs2:c}, {imm}({rs1:c})"),
    Pattern("c.addi", "000 imm[5] rd:5 imm[4:0] 01", "c.addi {rd}, {imm}", "imm"),
    Pattern("c.addiw", "001 imm[5] rd:5 imm[4:0] 01", "c.addiw {rd}, {imm}", "imm"),
    Pattern("c.li", "010 imm[5] rd:5 imm[4:0] 01", "c.li {rd}, {imm}", "imm"),
    Pattern("c.addi16sp", "011 imm[9] 00010 imm[4|6|8:7|5] 01", "c.addi16sp sp, {imm}", "imm"),
    Pattern("c.lui", "011 imm[5] rd:5 imm[4:0] 01", "c.lui {rd}, {imm:u}", "imm"),
    Pattern("c.srli", "100 imm[5] 00 rd:3 imm[4:0] 01", "c.srli {rd:c}, {imm}"),
    Pattern("c.srai", "100 imm[5] 01 rd:3 imm[4:0] 01", "c.srai {rd:c}, {imm}"),
    Pattern("c.andi", "100 imm[5] 10 rd:3 imm[4:0] 01", "c.andi {rd:c}, {imm}", "imm"),
    Pattern("c.sub", "100 0 11 rd:3 00 rs2:3 01", "c.sub {rd:c}, {rs2:c}"),
    Pattern("c.xor", "100 0 11 rd:3 01 rs2:3 01", "c.xor {rd:c}, {rs2:c}"),
    Pattern("c.or", "100 0 11 rd:3 10 rs2:3 01", "c.or {rd:c}, {rs2:c}"),
    Pattern("c.and", "100 0 11 rd:3 11 rs2:3 01", "c.and {rd:c}, {rs2:c}"),
    Pattern("c.subw", "100 1 11 rd:3 00 rs2:3 01", "c.subw {rd:c}, {rs2:c}"),
    Pattern("c.slli", "000 imm[5] rd:5 imm[4:0] 10", "c.slli {rd}, {imm}"),
    Pattern("c.lwsp", "010 imm[5] rd:5 imm[4:2|7:6] 10", "c.lwsp {rd}, {imm}(sp)"),
    Pattern("c.ldsp", "011 imm[5] rd:5 imm[4:3|8:6] 10", "c.ldsp {rd}, {imm}(sp)"),
    Pattern("c.jr", "100 0 rs1:5 00000 10", "c.jr {rs1}"),
    Pattern("c.mv", "100 0 rd:5 rs2:5 10", "c.mv {rd}, {rs2}"),
    Pattern("c.ebreak", "100 1 00000 00000 10", "c.ebreak"),
    Pattern("c.jalr", "100 1 rs1:5 00000 10", "c.jalr {rs1}"),
    Pattern("c.add", "100 1 rd:5 rs2:5 10", "c.add {rd}, {rs2}"),
    Pattern("c.swsp", "110 imm[5:2|7:6] rs2:5 10", "c.swsp {rs2}, {imm}(sp)"),
    Pattern("c.sdsp", "111 imm[5:3|8:6] rs2:5 10", "c.sdsp {rs2}, {imm}(sp)"),
]

ROWS: Final[list[Encoding]] = _base() + _atomics() + _COMPRESSED
RV64: Final = Machine("riscv64", ROWS, KINDS, 2)
R: Final[dict[str, Encoding]] = RV64.by_name
