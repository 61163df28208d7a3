"""PPC64: the rows of the Power ISA a code generator for BPF needs.

Every instruction is one 32-bit word (little endian in memory on a little-endian system).  The manual counts bit 0 as
the most significant; the rows are written in that order too, so that they read like the manual's boxes.

    0     6    11   16   21              31
    +-----+----+----+----+----------------+
    | 14  | RT | RA |         SI          |   D-form    addi rt, ra, si          (RA = 0 means the number 0)
    | 58  | RT | RA |       DS       | xo |   DS-form   ld rt, ds(ra)            ds is a multiple of 4
    | 31  | RT | RA | RB |   xo      | Rc |   X-form    add rt, ra, rb
    | 21  | RS | RA | SH | MB | ME   | Rc |   M-form    rlwinm ra, rs, sh, mb, me
    +-----+----+----+----+----------------+

The 6-bit fields of the MD-form are split: `sh` keeps its top bit next to Rc, `mb` its top bit behind the other five.
Sources: Power ISA 3.0B, books I and II.
"""

from __future__ import annotations

from typing import Final

from bpfbench.machine.pattern import Encoding, Kind, Machine, Pattern, decimal, pc_relative

# fmt: off
REGS: Final = [f"r{n}" for n in range(32)]

# name              bits, most significant first                      syntax                               signed
ROWS: Final[list[Encoding]] = [
    # aliases first: the first row that matches a word names it
    Pattern("nop",     "01100000000000000000000000000000",              "nop"),
    Pattern("li",      "001110 rt:5 00000 si:16",                       "li {rt}, {si}",                     "si"),
    Pattern("lis",     "001111 rt:5 00000 si:16",                       "lis {rt}, {si}",                    "si"),
    Pattern("blr",     "01001110100000000000000000100000",              "blr"),
    Pattern("bctr",    "01001110100000000000010000100000",              "bctr"),
    Pattern("bctrl",   "01001110100000000000010000100001",              "bctrl"),
    Pattern("mr",      "011111 rs:5 ra:5 rs:5 0110111100 0",            "mr {ra}, {rs}"),
    Pattern("mflr",    "011111 rt:5 01000 00000 0101010011 0",          "mflr {rt}"),
    Pattern("mtlr",    "011111 rs:5 01000 00000 0111010011 0",          "mtlr {rs}"),
    Pattern("mtctr",   "011111 rs:5 01001 00000 0111010011 0",          "mtctr {rs}"),
    # conditional branches on cr0; bc names the condition by numbers
    Pattern("blt",     "010000 01100 00000 bd[15:2] 00",                "blt {bd:pc}",                       "bd"),
    Pattern("bgt",     "010000 01100 00001 bd[15:2] 00",                "bgt {bd:pc}",                       "bd"),
    Pattern("beq",     "010000 01100 00010 bd[15:2] 00",                "beq {bd:pc}",                       "bd"),
    Pattern("bge",     "010000 00100 00000 bd[15:2] 00",                "bge {bd:pc}",                       "bd"),
    Pattern("ble",     "010000 00100 00001 bd[15:2] 00",                "ble {bd:pc}",                       "bd"),
    Pattern("bne",     "010000 00100 00010 bd[15:2] 00",                "bne {bd:pc}",                       "bd"),
    # immediates
    Pattern("addi",    "001110 rt:5 ra:5 si:16",                        "addi {rt}, {ra:base}, {si}",        "si"),
    Pattern("addis",   "001111 rt:5 ra:5 si:16",                        "addis {rt}, {ra:base}, {si}",       "si"),
    Pattern("mulli",   "000111 rt:5 ra:5 si:16",                        "mulli {rt}, {ra}, {si}",            "si"),
    Pattern("ori",     "011000 rs:5 ra:5 ui:16",                        "ori {ra}, {rs}, {ui}"),
    Pattern("oris",    "011001 rs:5 ra:5 ui:16",                        "oris {ra}, {rs}, {ui}"),
    Pattern("xori",    "011010 rs:5 ra:5 ui:16",                        "xori {ra}, {rs}, {ui}"),
    Pattern("xoris",   "011011 rs:5 ra:5 ui:16",                        "xoris {ra}, {rs}, {ui}"),
    Pattern("andi.",   "011100 rs:5 ra:5 ui:16",                        "andi. {ra}, {rs}, {ui}"),
    # three registers
    Pattern("add",     "011111 rt:5 ra:5 rb:5 0100001010 0",            "add {rt}, {ra}, {rb}"),
    Pattern("sub",     "011111 rt:5 ra:5 rb:5 0000101000 0",            "sub {rt}, {rb}, {ra}"),
    Pattern("neg",     "011111 rt:5 ra:5 00000 0001101000 0",           "neg {rt}, {ra}"),
    Pattern("mullw",   "011111 rt:5 ra:5 rb:5 0011101011 0",            "mullw {rt}, {ra}, {rb}"),
    Pattern("mulld",   "011111 rt:5 ra:5 rb:5 0011101001 0",            "mulld {rt}, {ra}, {rb}"),
    Pattern("divw",    "011111 rt:5 ra:5 rb:5 0111101011 0",            "divw {rt}, {ra}, {rb}"),
    Pattern("divwu",   "011111 rt:5 ra:5 rb:5 0111001011 0",            "divwu {rt}, {ra}, {rb}"),
    Pattern("divd",    "011111 rt:5 ra:5 rb:5 0111101001 0",            "divd {rt}, {ra}, {rb}"),
    Pattern("divdu",   "011111 rt:5 ra:5 rb:5 0111001001 0",            "divdu {rt}, {ra}, {rb}"),
    Pattern("and",     "011111 rs:5 ra:5 rb:5 0000011100 0",            "and {ra}, {rs}, {rb}"),
    Pattern("and.",    "011111 rs:5 ra:5 rb:5 0000011100 1",            "and. {ra}, {rs}, {rb}"),
    Pattern("or",      "011111 rs:5 ra:5 rb:5 0110111100 0",            "or {ra}, {rs}, {rb}"),
    Pattern("xor",     "011111 rs:5 ra:5 rb:5 0100111100 0",            "xor {ra}, {rs}, {rb}"),
    Pattern("extsb",   "011111 rs:5 ra:5 00000 1110111010 0",           "extsb {ra}, {rs}"),
    Pattern("extsh",   "011111 rs:5 ra:5 00000 1110011010 0",           "extsh {ra}, {rs}"),
    Pattern("extsw",   "011111 rs:5 ra:5 00000 1111011010 0",           "extsw {ra}, {rs}"),
    # shifts: the amount has one bit more than the width, larger amounts give 0 (or the sign)
    Pattern("slw",     "011111 rs:5 ra:5 rb:5 0000011000 0",            "slw {ra}, {rs}, {rb}"),
    Pattern("srw",     "011111 rs:5 ra:5 rb:5 1000011000 0",            "srw {ra}, {rs}, {rb}"),
    Pattern("sraw",    "011111 rs:5 ra:5 rb:5 1100011000 0",            "sraw {ra}, {rs}, {rb}"),
    Pattern("srawi",   "011111 rs:5 ra:5 sh:5 1100111000 0",            "srawi {ra}, {rs}, {sh}"),
    Pattern("sld",     "011111 rs:5 ra:5 rb:5 0000011011 0",            "sld {ra}, {rs}, {rb}"),
    Pattern("srd",     "011111 rs:5 ra:5 rb:5 1000011011 0",            "srd {ra}, {rs}, {rb}"),
    Pattern("srad",    "011111 rs:5 ra:5 rb:5 1100011010 0",            "srad {ra}, {rs}, {rb}"),
    Pattern("sradi",   "011111 rs:5 ra:5 sh[4:0] 110011101 sh[5] 0",    "sradi {ra}, {rs}, {sh}"),
    # rotate, then mask; the mask's first and last bit count from the most significant bit
    Pattern("rlwimi",  "010100 rs:5 ra:5 sh:5 mb:5 me:5 0",             "rlwimi {ra}, {rs}, {sh}, {mb}, {me}"),
    Pattern("rlwinm",  "010101 rs:5 ra:5 sh:5 mb:5 me:5 0",             "rlwinm {ra}, {rs}, {sh}, {mb}, {me}"),
    Pattern("rlwinm.", "010101 rs:5 ra:5 sh:5 mb:5 me:5 1",             "rlwinm. {ra}, {rs}, {sh}, {mb}, {me}"),
    Pattern("rldicl",  "011110 rs:5 ra:5 sh[4:0] mb[4:0|5] 000 sh[5] 0", "rldicl {ra}, {rs}, {sh}, {mb}"),
    Pattern("rldicr",  "011110 rs:5 ra:5 sh[4:0] me[4:0|5] 001 sh[5] 0", "rldicr {ra}, {rs}, {sh}, {me}"),
    # compare into cr0
    Pattern("cmpwi",   "001011 00000 ra:5 si:16",                       "cmpwi {ra}, {si}",                  "si"),
    Pattern("cmpdi",   "001011 00001 ra:5 si:16",                       "cmpdi {ra}, {si}",                  "si"),
    Pattern("cmplwi",  "001010 00000 ra:5 ui:16",                       "cmplwi {ra}, {ui}"),
    Pattern("cmpldi",  "001010 00001 ra:5 ui:16",                       "cmpldi {ra}, {ui}"),
    Pattern("cmpw",    "011111 00000 ra:5 rb:5 0000000000 0",           "cmpw {ra}, {rb}"),
    Pattern("cmpd",    "011111 00001 ra:5 rb:5 0000000000 0",           "cmpd {ra}, {rb}"),
    Pattern("cmplw",   "011111 00000 ra:5 rb:5 0000100000 0",           "cmplw {ra}, {rb}"),
    Pattern("cmpld",   "011111 00001 ra:5 rb:5 0000100000 0",           "cmpld {ra}, {rb}"),
    # memory
    Pattern("lbz",     "100010 rt:5 ra:5 d:16",                         "lbz {rt}, {d}({ra:base})",          "d"),
    Pattern("lhz",     "101000 rt:5 ra:5 d:16",                         "lhz {rt}, {d}({ra:base})",          "d"),
    Pattern("lha",     "101010 rt:5 ra:5 d:16",                         "lha {rt}, {d}({ra:base})",          "d"),
    Pattern("lwz",     "100000 rt:5 ra:5 d:16",                         "lwz {rt}, {d}({ra:base})",          "d"),
    Pattern("lwa",     "111010 rt:5 ra:5 ds[15:2] 10",                  "lwa {rt}, {ds}({ra:base})",         "ds"),
    Pattern("lwax",    "011111 rt:5 ra:5 rb:5 0101010101 0",            "lwax {rt}, {ra:base}, {rb}"),
    Pattern("ld",      "111010 rt:5 ra:5 ds[15:2] 00",                  "ld {rt}, {ds}({ra:base})",          "ds"),
    Pattern("ldx",     "011111 rt:5 ra:5 rb:5 0000010101 0",            "ldx {rt}, {ra:base}, {rb}"),
    Pattern("ldbrx",   "011111 rt:5 ra:5 rb:5 1000010100 0",            "ldbrx {rt}, {ra:base}, {rb}"),
    Pattern("lwbrx",   "011111 rt:5 ra:5 rb:5 1000010110 0",            "lwbrx {rt}, {ra:base}, {rb}"),
    Pattern("stb",     "100110 rs:5 ra:5 d:16",                         "stb {rs}, {d}({ra:base})",          "d"),
    Pattern("sth",     "101100 rs:5 ra:5 d:16",                         "sth {rs}, {d}({ra:base})",          "d"),
    Pattern("stw",     "100100 rs:5 ra:5 d:16",                         "stw {rs}, {d}({ra:base})",          "d"),
    Pattern("std",     "111110 rs:5 ra:5 ds[15:2] 00",                  "std {rs}, {ds}({ra:base})",         "ds"),
    Pattern("stdu",    "111110 rs:5 ra:5 ds[15:2] 01",                  "stdu {rs}, {ds}({ra:base})",        "ds"),
    Pattern("stdx",    "011111 rs:5 ra:5 rb:5 0010010101 0",            "stdx {rs}, {ra:base}, {rb}"),
    # reservations and barriers
    Pattern("lwarx",   "011111 rt:5 ra:5 rb:5 0000010100 0",            "lwarx {rt}, {ra:base}, {rb}"),
    Pattern("ldarx",   "011111 rt:5 ra:5 rb:5 0001010100 0",            "ldarx {rt}, {ra:base}, {rb}"),
    Pattern("stwcx.",  "011111 rs:5 ra:5 rb:5 0010010110 1",            "stwcx. {rs}, {ra:base}, {rb}"),
    Pattern("stdcx.",  "011111 rs:5 ra:5 rb:5 0011010110 1",            "stdcx. {rs}, {ra:base}, {rb}"),
    Pattern("sync",    "011111 00000 00000 00000 1001010110 0",         "sync"),
    Pattern("eieio",   "011111 00000 00000 00000 1101010110 0",         "eieio"),
    # the same word with a reserved bit set is what the kernel uses as its cheap store barrier
    Pattern("eieio2",  "011111 10000 00000 00000 1101010110 0",         ".long 0x7e0006ac"),
    # control: offsets are relative to the branch itself; BO 12 = bit BI of the CR is set, 4 = it is clear
    Pattern("b",       "010010 li[25:2] 00",                            "b {li:pc}",                         "li"),
    Pattern("bc",      "010000 bo:5 bi:5 bd[15:2] 00",                  "bc {bo}, {bi}, {bd:pc}",            "bd"),
    Pattern("trap",    "01111111111000000000000000001000",              "trap"),
]
# fmt: on

#: As the base of an address, RA = 0 is the number 0.
BASES: Final = ["0", *REGS[1:]]
KINDS: Final[dict[str, Kind]] = {
    "r": REGS, "base": BASES, "s": decimal, "u": decimal, "d": decimal, "m": decimal, "b": decimal, "pc": pc_relative,
}  # fmt: skip
PPC64: Final = Machine("ppc64", ROWS, KINDS, unit=4, byte=3)
