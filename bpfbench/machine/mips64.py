"""MIPS64 (release 2, little endian): the manual's rows a code generator for BPF needs.

Every instruction is one 32-bit word in one of three shapes; each branch and jump has a *delay slot*: the instruction
behind it executes before control arrives.

    31    26 25   21 20   16 15   11 10    6 5      0
    +-------+-------+-------+-------+-------+-------+
    |  op   |  rs   |  rt   |  rd   |  sa   | funct |     R: registers
    |  op   |  rs   |  rt   |      immediate        |     I: immediates, loads, branches
    |  op   |             target                    |     J: jumps inside a 256 MiB region
    +-------+-------+-------+-------+-------+-------+

32-bit operations sign-extend their result to 64 bits.  Sources: MIPS Architecture For Programmers II-A, revision 6.06
and 2.62 (release 2); register names as LLVM prints them.
"""

from __future__ import annotations

from typing import Final

from bpfbench.machine.pattern import Encoding, Kind, Machine, Pattern, decimal

# fmt: off
REGS: Final = [
    "$zero", "$1",  "$2",  "$3",  "$4",  "$5",  "$6",  "$7",  "$8",  "$9",  "$10", "$11", "$12", "$13", "$14", "$15",
    "$16",   "$17", "$18", "$19", "$20", "$21", "$22", "$23", "$24", "$25", "$26", "$27", "$gp", "$sp", "$fp", "$ra",
]
ZERO: Final = 0
AT: Final = 1
V0, V1 = 2, 3
A0, A1, A2, A3, A4, A5, A6, A7 = range(4, 12)       # n64 passes eight arguments
T4, T5, T6, T7 = range(12, 16)
S0, S1, S2, S3, S4, S5, S6, S7 = range(16, 24)
T8, T9 = 24, 25
GP, SP, FP, RA = 28, 29, 30, 31

# name        bits, most significant first                  syntax                                 signed
ROWS: Final[list[Encoding]] = [
    # aliases first: the first row that matches a word names it
    Pattern("nop",    "00000000000000000000000000000000",            "nop"),
    Pattern("negu",   "000000 00000 rt:5 rd:5 00000 100011",         "negu {rd}, {rt}"),
    Pattern("dnegu",  "000000 00000 rt:5 rd:5 00000 101111",         "dnegu {rd}, {rt}"),
    # three registers
    Pattern("addu",   "000000 rs:5 rt:5 rd:5 00000 100001",          "addu {rd}, {rs}, {rt}"),
    Pattern("subu",   "000000 rs:5 rt:5 rd:5 00000 100011",          "subu {rd}, {rs}, {rt}"),
    Pattern("and",    "000000 rs:5 rt:5 rd:5 00000 100100",          "and {rd}, {rs}, {rt}"),
    Pattern("or",     "000000 rs:5 rt:5 rd:5 00000 100101",          "or {rd}, {rs}, {rt}"),
    Pattern("xor",    "000000 rs:5 rt:5 rd:5 00000 100110",          "xor {rd}, {rs}, {rt}"),
    Pattern("slt",    "000000 rs:5 rt:5 rd:5 00000 101010",          "slt {rd}, {rs}, {rt}"),
    Pattern("sltu",   "000000 rs:5 rt:5 rd:5 00000 101011",          "sltu {rd}, {rs}, {rt}"),
    Pattern("daddu",  "000000 rs:5 rt:5 rd:5 00000 101101",          "daddu {rd}, {rs}, {rt}"),
    Pattern("dsubu",  "000000 rs:5 rt:5 rd:5 00000 101111",          "dsubu {rd}, {rs}, {rt}"),
    Pattern("mul",    "011100 rs:5 rt:5 rd:5 00000 000010",          "mul {rd}, {rs}, {rt}"),
    # shifts by register (the amount is rs) and by constant; the ...32 forms add 32 to sa
    Pattern("sllv",   "000000 rs:5 rt:5 rd:5 00000 000100",          "sllv {rd}, {rt}, {rs}"),
    Pattern("srlv",   "000000 rs:5 rt:5 rd:5 00000 000110",          "srlv {rd}, {rt}, {rs}"),
    Pattern("srav",   "000000 rs:5 rt:5 rd:5 00000 000111",          "srav {rd}, {rt}, {rs}"),
    Pattern("dsllv",  "000000 rs:5 rt:5 rd:5 00000 010100",          "dsllv {rd}, {rt}, {rs}"),
    Pattern("dsrlv",  "000000 rs:5 rt:5 rd:5 00000 010110",          "dsrlv {rd}, {rt}, {rs}"),
    Pattern("dsrav",  "000000 rs:5 rt:5 rd:5 00000 010111",          "dsrav {rd}, {rt}, {rs}"),
    Pattern("sll",    "000000 00000 rt:5 rd:5 sa:5 000000",          "sll {rd}, {rt}, {sa}"),
    Pattern("srl",    "000000 00000 rt:5 rd:5 sa:5 000010",          "srl {rd}, {rt}, {sa}"),
    Pattern("rotr",   "000000 00001 rt:5 rd:5 sa:5 000010",          "rotr {rd}, {rt}, {sa}"),
    Pattern("sra",    "000000 00000 rt:5 rd:5 sa:5 000011",          "sra {rd}, {rt}, {sa}"),
    Pattern("dsll",   "000000 00000 rt:5 rd:5 sa:5 111000",          "dsll {rd}, {rt}, {sa}"),
    Pattern("dsrl",   "000000 00000 rt:5 rd:5 sa:5 111010",          "dsrl {rd}, {rt}, {sa}"),
    Pattern("dsra",   "000000 00000 rt:5 rd:5 sa:5 111011",          "dsra {rd}, {rt}, {sa}"),
    Pattern("dsll32", "000000 00000 rt:5 rd:5 sa:5 111100",          "dsll32 {rd}, {rt}, {sa}"),
    Pattern("dsrl32", "000000 00000 rt:5 rd:5 sa:5 111110",          "dsrl32 {rd}, {rt}, {sa}"),
    Pattern("dsra32", "000000 00000 rt:5 rd:5 sa:5 111111",          "dsra32 {rd}, {rt}, {sa}"),
    # multiply and divide leave their result in lo and hi
    Pattern("multu",  "000000 rs:5 rt:5 00000 00000 011001",         "multu {rs}, {rt}"),
    Pattern("dmultu", "000000 rs:5 rt:5 00000 00000 011101",         "dmultu {rs}, {rt}"),
    Pattern("div",    "000000 rs:5 rt:5 00000 00000 011010",         "div $zero, {rs}, {rt}"),
    Pattern("divu",   "000000 rs:5 rt:5 00000 00000 011011",         "divu $zero, {rs}, {rt}"),
    Pattern("ddiv",   "000000 rs:5 rt:5 00000 00000 011110",         "ddiv $zero, {rs}, {rt}"),
    Pattern("ddivu",  "000000 rs:5 rt:5 00000 00000 011111",         "ddivu $zero, {rs}, {rt}"),
    Pattern("mfhi",   "000000 00000 00000 rd:5 00000 010000",        "mfhi {rd}"),
    Pattern("mflo",   "000000 00000 00000 rd:5 00000 010010",        "mflo {rd}"),
    # release 2: bytes and bit fields
    Pattern("wsbh",   "011111 00000 rt:5 rd:5 00010 100000",         "wsbh {rd}, {rt}"),
    Pattern("seb",    "011111 00000 rt:5 rd:5 10000 100000",         "seb {rd}, {rt}"),
    Pattern("seh",    "011111 00000 rt:5 rd:5 11000 100000",         "seh {rd}, {rt}"),
    Pattern("dsbh",   "011111 00000 rt:5 rd:5 00010 100100",         "dsbh {rd}, {rt}"),
    Pattern("dshd",   "011111 00000 rt:5 rd:5 00101 100100",         "dshd {rd}, {rt}"),
    # dinsu copies the low bits of rs into rt from bit 32 on; msb = their number - 1 (only this position is used)
    Pattern("dinsu",  "011111 rs:5 rt:5 msb:5 00000 000110",         "dinsu {rt}, {rs}, 32, {msb:count}"),
    # immediates
    Pattern("addiu",  "001001 rs:5 rt:5 imm:16",                     "addiu {rt}, {rs}, {imm}",              "imm"),
    Pattern("daddiu", "011001 rs:5 rt:5 imm:16",                     "daddiu {rt}, {rs}, {imm}",             "imm"),
    Pattern("slti",   "001010 rs:5 rt:5 imm:16",                     "slti {rt}, {rs}, {imm}",               "imm"),
    Pattern("sltiu",  "001011 rs:5 rt:5 imm:16",                     "sltiu {rt}, {rs}, {imm}",              "imm"),
    Pattern("andi",   "001100 rs:5 rt:5 imm:16",                     "andi {rt}, {rs}, {imm}"),
    Pattern("ori",    "001101 rs:5 rt:5 imm:16",                     "ori {rt}, {rs}, {imm}"),
    Pattern("xori",   "001110 rs:5 rt:5 imm:16",                     "xori {rt}, {rs}, {imm}"),
    Pattern("lui",    "001111 00000 rt:5 imm:16",                    "lui {rt}, {imm}"),
    # memory
    Pattern("lb",     "100000 rs:5 rt:5 imm:16",                     "lb {rt}, {imm}({rs})",                 "imm"),
    Pattern("lh",     "100001 rs:5 rt:5 imm:16",                     "lh {rt}, {imm}({rs})",                 "imm"),
    Pattern("lw",     "100011 rs:5 rt:5 imm:16",                     "lw {rt}, {imm}({rs})",                 "imm"),
    Pattern("lbu",    "100100 rs:5 rt:5 imm:16",                     "lbu {rt}, {imm}({rs})",                "imm"),
    Pattern("lhu",    "100101 rs:5 rt:5 imm:16",                     "lhu {rt}, {imm}({rs})",                "imm"),
    Pattern("lwu",    "100111 rs:5 rt:5 imm:16",                     "lwu {rt}, {imm}({rs})",                "imm"),
    Pattern("ld",     "110111 rs:5 rt:5 imm:16",                     "ld {rt}, {imm}({rs})",                 "imm"),
    Pattern("sb",     "101000 rs:5 rt:5 imm:16",                     "sb {rt}, {imm}({rs})",                 "imm"),
    Pattern("sh",     "101001 rs:5 rt:5 imm:16",                     "sh {rt}, {imm}({rs})",                 "imm"),
    Pattern("sw",     "101011 rs:5 rt:5 imm:16",                     "sw {rt}, {imm}({rs})",                 "imm"),
    Pattern("sd",     "111111 rs:5 rt:5 imm:16",                     "sd {rt}, {imm}({rs})",                 "imm"),
    Pattern("ll",     "110000 rs:5 rt:5 imm:16",                     "ll {rt}, {imm}({rs})",                 "imm"),
    Pattern("lld",    "110100 rs:5 rt:5 imm:16",                     "lld {rt}, {imm}({rs})",                "imm"),
    Pattern("sc",     "111000 rs:5 rt:5 imm:16",                     "sc {rt}, {imm}({rs})",                 "imm"),
    Pattern("scd",    "111100 rs:5 rt:5 imm:16",                     "scd {rt}, {imm}({rs})",                "imm"),
    Pattern("sync",   "000000 00000 00000 00000 stype:5 001111",     "sync {stype}"),
    # release 6: three-operand multiply and divide, load-linked with a 9-bit offset, no jr of its own
    Pattern("mul_r6",   "000000 rs:5 rt:5 rd:5 00010 011000",        "mul {rd}, {rs}, {rt}"),
    Pattern("dmulu_r6", "000000 rs:5 rt:5 rd:5 00010 011101",        "dmulu {rd}, {rs}, {rt}"),
    Pattern("div_r6",   "000000 rs:5 rt:5 rd:5 00010 011010",        "div {rd}, {rs}, {rt}"),
    Pattern("mod_r6",   "000000 rs:5 rt:5 rd:5 00011 011010",        "mod {rd}, {rs}, {rt}"),
    Pattern("divu_r6",  "000000 rs:5 rt:5 rd:5 00010 011011",        "divu {rd}, {rs}, {rt}"),
    Pattern("modu_r6",  "000000 rs:5 rt:5 rd:5 00011 011011",        "modu {rd}, {rs}, {rt}"),
    Pattern("ddiv_r6",  "000000 rs:5 rt:5 rd:5 00010 011110",        "ddiv {rd}, {rs}, {rt}"),
    Pattern("dmod_r6",  "000000 rs:5 rt:5 rd:5 00011 011110",        "dmod {rd}, {rs}, {rt}"),
    Pattern("ddivu_r6", "000000 rs:5 rt:5 rd:5 00010 011111",        "ddivu {rd}, {rs}, {rt}"),
    Pattern("dmodu_r6", "000000 rs:5 rt:5 rd:5 00011 011111",        "dmodu {rd}, {rs}, {rt}"),
    Pattern("ll_r6",    "011111 rs:5 rt:5 imm:9 0 110110",           "ll {rt}, {imm}({rs})",                 "imm"),
    Pattern("sc_r6",    "011111 rs:5 rt:5 imm:9 0 100110",           "sc {rt}, {imm}({rs})",                 "imm"),
    Pattern("lld_r6",   "011111 rs:5 rt:5 imm:9 0 110111",           "lld {rt}, {imm}({rs})",                "imm"),
    Pattern("scd_r6",   "011111 rs:5 rt:5 imm:9 0 100111",           "scd {rt}, {imm}({rs})",                "imm"),
    # control: branches are relative to the delay slot, j replaces the low 28 bits of its address
    Pattern("beq",    "000100 rs:5 rt:5 off[17:2]",                  "beq {rs}, {rt}, {off:branch}",         "off"),
    Pattern("bne",    "000101 rs:5 rt:5 off[17:2]",                  "bne {rs}, {rt}, {off:branch}",         "off"),
    Pattern("bltz",   "000001 rs:5 00000 off[17:2]",                 "bltz {rs}, {off:branch}",              "off"),
    Pattern("j",      "000010 target[27:2]",                         "j {target:jump}"),
    Pattern("jr",     "000000 rs:5 00000 00000 00000 001000",        "jr {rs}"),
    Pattern("jalr",   "000000 rs:5 00000 rd:5 00000 001001",         "jalr {rd}, {rs}"),
    Pattern("break",  "000000 code:10 code2:10 001101",              "break {code}, {code2}"),
]
# fmt: on


def bit_count(value: int, addr: int) -> str:
    return str(value + 1)


def branch_target(value: int, addr: int) -> str:
    """Branches count from the delay slot."""
    return hex((addr + 4 + value) & 0xFFFF_FFFF_FFFF_FFFF)


def jump_target(value: int, addr: int) -> str:
    """`j` keeps the upper bits of the delay slot's address."""
    return hex((addr + 4) & ~0x0FFF_FFFF & 0xFFFF_FFFF_FFFF_FFFF | value)


KINDS: Final[dict[str, Kind]] = {
    "r": REGS, "i": decimal, "s": decimal, "c": decimal, "count": bit_count,
    "branch": branch_target, "jump": jump_target,
}  # fmt: skip
MIPS64: Final = Machine("mips64", ROWS, KINDS, unit=4, byte=3)
