"""The operations of eBPF, in one table that everything else reads.

An instruction is one 8-byte slot (two for a *wide* one):

      byte 0      byte 1          bytes 2-3   bytes 4-7
    +---------+-----------------+-----------+-----------+
    |  code   | src:4 | dst:4   |  off s16  |  imm s32  |     little endian
    +---------+-----------------+-----------+-----------+

The code alone does not always name the operation: signed division is division with off = 1, an atomic exchange is an
atomic with imm = 0xe1, a call to a kernel function is a call with src = 2.  Such a field is the row's *selector*: the
codec sets and checks it, and above the codec it does not exist.  Each row says which fields it `uses`; all others are
reserved and must be zero.

The codec, both printers and parsers, the builder, the manual pages (`isa/reference.py`) and the random program
generator read this table and nothing else.

Sources: RFC 9669; `Documentation/bpf/standardization`; include/uapi/linux/bpf.h; kernel/bpf/disasm.c;
LLVM `BPFInstrInfo.td`.  Slide 14 shows the encoding.
"""

from __future__ import annotations

from typing import Final, final

# ---------------------------------------------------------------------------------------------------------- op kinds
ALU64: Final = 0
ALU32: Final = 1
MOVSX: Final = 2            # sign-extending move; fn = destination bits, size = source bits
END: Final = 3              # byte order; fn = LE, BE or BSWAP, size = bits
ADDR_CAST: Final = 4        # cast between address spaces (arena)
PERCPU: Final = 5           # rewritten programs only: add the per-CPU base
ZEXT32: Final = 6           # rewritten programs only: w = w, inserted for machines that do not clear the upper half
JMP: Final = 7
JMP32: Final = 8
JA: Final = 9               # goto (off) and gotol (imm)
MAY_GOTO: Final = 10
GOTOX: Final = 11
CALL: Final = 12            # helper
CALL_LOCAL: Final = 13      # bpf-to-bpf
CALL_KFUNC: Final = 14
CALLX: Final = 15
EXIT: Final = 16
LDX: Final = 17
LDXS: Final = 18            # sign-extending load
ST: Final = 19              # store immediate
STX: Final = 20
ATOMIC: Final = 21
LOAD_ACQ: Final = 22
STORE_REL: Final = 23
LD_ABS: Final = 24
LD_IND: Final = 25
LDDW: Final = 26            # wide; fn = source kind
NOSPEC: Final = 27          # rewritten programs only: speculation barrier
UNKNOWN: Final = 28
KIND_NAMES: Final = (
    "ALU64 ALU32 MOVSX END ADDR_CAST PERCPU ZEXT32 JMP JMP32 JA MAY_GOTO GOTOX CALL CALL_LOCAL CALL_KFUNC CALLX EXIT "
    "LDX LDXS ST STX ATOMIC LOAD_ACQ STORE_REL LD_ABS LD_IND LDDW NOSPEC UNKNOWN"
).split()

# ------------------------------------------------------------------------------------------------- fn of ALU64, ALU32
ADD: Final = 0
SUB: Final = 1
MUL: Final = 2
DIV: Final = 3
OR: Final = 4
AND: Final = 5
LSH: Final = 6
RSH: Final = 7
NEG: Final = 8
MOD: Final = 9
XOR: Final = 10
MOV: Final = 11
ARSH: Final = 12
SDIV: Final = 13
SMOD: Final = 14
# -------------------------------------------------------------------------------------------------- fn of JMP, JMP32
JEQ: Final = 1
JGT: Final = 2
JGE: Final = 3
JSET: Final = 4
JNE: Final = 5
JSGT: Final = 6
JSGE: Final = 7
JLT: Final = 10
JLE: Final = 11
JSLT: Final = 12
JSLE: Final = 13
# ------------------------------------------------------------------------------------------- fn of ATOMIC (= its imm)
A_ADD: Final = 0x00
A_OR: Final = 0x40
A_AND: Final = 0x50
A_XOR: Final = 0xA0
F_ADD: Final = 0x01
F_OR: Final = 0x41
F_AND: Final = 0x51
F_XOR: Final = 0xA1
XCHG: Final = 0xE1
CMPXCHG: Final = 0xF1
# --------------------------------------------------------------------------------------------------------- fn of END
LE: Final = 0
BE: Final = 1
BSWAP: Final = 2
# --------------------------------------------------------------------------------------------- fn of LDDW (= its src)
IMM: Final = 0
MAP_FD: Final = 1
MAP_VALUE: Final = 2
BTF_ID: Final = 3
FUNC: Final = 4
MAP_IDX: Final = 5
MAP_IDX_VALUE: Final = 6


@final
class Op:
    """One row: an operation with everything that is true of it whatever its operands.

    `name`      unique, e.g. "ADD64_K", "SDIV32_X", "LDXW", "CALL_LOCAL"
    `id`        index in `OPS`
    `code`      the opcode byte
    `kind`      what sort of operation (a constant above: ALU64, JMP32, LDX, …)
    `fn`        which of its kind (ADD, JEQ, XCHG, MAP_FD, …)
    `size`      access size in bytes (memory) or width in bits (END, MOVSX); 0 where it has none
    `imm`       True where the second operand is the immediate (a K form)
    `wide`      True for the two-slot load
    `selector`  (field, value) that tells it from others with the same code; ("", 0) for none
    `uses`      the operand fields it uses, out of "dst src off imm"; the rest are reserved
    `kernel`    text as the verifier log and bpftool print it
    `llvm`      text as llvm-objdump prints it
    `meaning`   what it computes, in RFC 9669's terms
    `group`     conformance group of RFC 9669, "linux" beyond it, "internal" for rewritten programs only
    `since`     first kernel release that has it
    """

    __slots__ = (
        "name", "id", "code", "kind", "fn", "size", "imm", "wide", "selector", "uses", "kernel", "llvm", "meaning",
        "group", "since",
    )  # fmt: skip

    def __init__(
        self, name: str, code: int, kind: int, fn: int, size: int, imm: bool, selector: tuple[str, int], uses: str,
        kernel: str, llvm: str, meaning: str, group: str, since: str,
    ) -> None:  # fmt: skip
        self.name = name
        self.id = -1
        self.code = code
        self.kind = kind
        self.fn = fn
        self.size = size
        self.imm = imm
        self.wide = kind == LDDW
        self.selector = selector
        self.uses = uses.split()
        self.kernel = kernel
        self.llvm = llvm
        self.meaning = meaning
        self.group = group
        self.since = since

    @property
    def internal(self) -> bool:
        """Does it occur only in programs the kernel has rewritten?"""
        return self.group == "internal"

    def __repr__(self) -> str:
        return f"Op({self.name})"

    def __reduce__(self) -> tuple[object, ...]:
        """Between processes an operation travels by its name: it is one object everywhere."""
        return named, (self.name,)


# In the text columns r{d} w{d} r{s} w{s} are registers, {i} the immediate as the notation prints it in arithmetic and
# {x} in comparisons, {m} a memory displacement, {j} a jump distance in slots, {u} an unsigned 64-bit constant.

# ------------------------------------------------------------------------------------------------------- arithmetic
# name   fn    nibble off  sign    since   meaning
_ALU: Final = [
    ("ADD",  ADD,  0x00, 0, "+=",  "3.18", "dst += src"),
    ("SUB",  SUB,  0x10, 0, "-=",  "3.18", "dst -= src"),
    ("MUL",  MUL,  0x20, 0, "*=",  "3.18", "dst *= src"),
    ("DIV",  DIV,  0x30, 0, "/=",  "3.18", "dst = (src != 0) ? (dst / src) : 0"),
    ("SDIV", SDIV, 0x30, 1, "s/=", "6.6",  "dst = (src == 0) ? 0 : (src == -1 ? -dst : dst s/ src)"),
    ("OR",   OR,   0x40, 0, "|=",  "3.18", "dst |= src"),
    ("AND",  AND,  0x50, 0, "&=",  "3.18", "dst &= src"),
    ("LSH",  LSH,  0x60, 0, "<<=", "3.18", "dst <<= (src & mask)"),
    ("RSH",  RSH,  0x70, 0, ">>=", "3.18", "dst >>= (src & mask)"),
    ("MOD",  MOD,  0x90, 0, "%=",  "3.18", "dst = (src != 0) ? (dst % src) : dst"),
    ("SMOD", SMOD, 0x90, 1, "s%=", "6.6",  "dst = (src == 0) ? dst : (src == -1 ? 0 : dst s% src)"),
    ("XOR",  XOR,  0xA0, 0, "^=",  "3.18", "dst ^= src"),
    ("MOV",  MOV,  0xB0, 0, "=",   "3.18", "dst = src"),
    ("ARSH", ARSH, 0xC0, 0, "s>>=", "3.18", "dst s>>= (src & mask)"),
]  # fmt: skip

# ------------------------------------------------------------------------------------------------ conditional jumps
_JMP: Final = [
    ("JEQ",  JEQ,  0x10, "==",  "3.18", "goto +off if dst == src"),
    ("JGT",  JGT,  0x20, ">",   "3.18", "goto +off if dst > src (unsigned)"),
    ("JGE",  JGE,  0x30, ">=",  "3.18", "goto +off if dst >= src (unsigned)"),
    ("JSET", JSET, 0x40, "&",   "3.18", "goto +off if dst & src"),
    ("JNE",  JNE,  0x50, "!=",  "3.18", "goto +off if dst != src"),
    ("JSGT", JSGT, 0x60, "s>",  "3.18", "goto +off if dst > src (signed)"),
    ("JSGE", JSGE, 0x70, "s>=", "3.18", "goto +off if dst >= src (signed)"),
    ("JLT",  JLT,  0xA0, "<",   "4.14", "goto +off if dst < src (unsigned)"),
    ("JLE",  JLE,  0xB0, "<=",  "4.14", "goto +off if dst <= src (unsigned)"),
    ("JSLT", JSLT, 0xC0, "s<",  "4.14", "goto +off if dst < src (signed)"),
    ("JSLE", JSLE, 0xD0, "s<=", "4.14", "goto +off if dst <= src (signed)"),
]  # fmt: skip

# ---------------------------------------------------------------------------------------------------- memory access
# suffix bits bytes type
_SIZES: Final = [("B", 0x10, 1, "u8"), ("H", 0x08, 2, "u16"), ("W", 0x00, 4, "u32"), ("DW", 0x18, 8, "u64")]

# name       fn       kernel text                                     LLVM text (64-bit; 32-bit replaces r by w)
_ATOMIC: Final = [
    ("ADD",       A_ADD,   "lock *({t} *)(r{{d}} {{m}}) += r{{s}}", "lock *({t} *)(r{{d}} {{m}}) += {r}{{s}}", "*(dst + off) += src"),
    ("OR",        A_OR,    "lock *({t} *)(r{{d}} {{m}}) |= r{{s}}", "lock *({t} *)(r{{d}} {{m}}) |= {r}{{s}}", "*(dst + off) |= src"),
    ("AND",       A_AND,   "lock *({t} *)(r{{d}} {{m}}) &= r{{s}}", "lock *({t} *)(r{{d}} {{m}}) &= {r}{{s}}", "*(dst + off) &= src"),
    ("XOR",       A_XOR,   "lock *({t} *)(r{{d}} {{m}}) ^= r{{s}}", "lock *({t} *)(r{{d}} {{m}}) ^= {r}{{s}}", "*(dst + off) ^= src"),
    ("FETCH_ADD", F_ADD,   "r{{s}} = atomic{n}_fetch_add(({t} *)(r{{d}} {{m}}), r{{s}})", "{r}{{s}} = atomic_fetch_add(({t} *)(r{{d}} {{m}}), {r}{{s}})", "src = *(dst + off), *(dst + off) += src, as one"),
    ("FETCH_OR",  F_OR,    "r{{s}} = atomic{n}_fetch_or(({t} *)(r{{d}} {{m}}), r{{s}})",  "{r}{{s}} = atomic_fetch_or(({t} *)(r{{d}} {{m}}), {r}{{s}})", "src = *(dst + off), *(dst + off) |= src, as one"),
    ("FETCH_AND", F_AND,   "r{{s}} = atomic{n}_fetch_and(({t} *)(r{{d}} {{m}}), r{{s}})", "{r}{{s}} = atomic_fetch_and(({t} *)(r{{d}} {{m}}), {r}{{s}})", "src = *(dst + off), *(dst + off) &= src, as one"),
    ("FETCH_XOR", F_XOR,   "r{{s}} = atomic{n}_fetch_xor(({t} *)(r{{d}} {{m}}), r{{s}})", "{r}{{s}} = atomic_fetch_xor(({t} *)(r{{d}} {{m}}), {r}{{s}})", "src = *(dst + off), *(dst + off) ^= src, as one"),
    ("XCHG",      XCHG,    "r{{s}} = atomic{n}_xchg(({t} *)(r{{d}} {{m}}), r{{s}})",      "{r}{{s}} = xchg{b}(r{{d}} {{m}}, {r}{{s}})", "src <-> *(dst + off)"),
    ("CMPXCHG",   CMPXCHG, "r0 = atomic{n}_cmpxchg(({t} *)(r{{d}} {{m}}), r0, r{{s}})",   "{r}0 = cmpxchg{b}(r{{d}} {{m}}, {r}0, {r}{{s}})", "if *(dst + off) == r0 then *(dst + off) = src; r0 = old *(dst + off)"),
]  # fmt: skip

# -------------------------------------------------------------------------------------------------- everything else
# name            code  kind        fn       selector      uses              kernel                          LLVM                             meaning                                        group       since
_REST: Final = [
    ("NEG32",       0x84, ALU32,      NEG,     ("", 0),      "dst",            "w{d} = -w{d}",                 "w{d} = -w{d}",                  "dst = -dst",                                    "base32",   "3.18"),
    ("NEG64",       0x87, ALU64,      NEG,     ("", 0),      "dst",            "r{d} = -r{d}",                 "r{d} = -r{d}",                  "dst = -dst",                                    "base64",   "3.18"),
    ("ADDR_CAST",   0xBF, ADDR_CAST,  MOV,     ("off", 1),   "dst src imm",    "r{d} = addr_space_cast(r{s}, {a}, {b})", "r{d} = addr_space_cast(r{s}, {a}, {b})", "dst = src seen from address space imm[31:16] as one of imm[15:0]", "linux", "6.9"),
    ("PERCPU_ADDR", 0xBF, PERCPU,     MOV,     ("off", -1),  "dst src",        "r{d} = &(void __percpu *)(r{s})", "r{d} = &(void __percpu *)(r{s})", "dst = src + base of this CPU's data",        "internal", "6.10"),
    ("ZEXT32",      0xBC, ZEXT32,     MOV,     ("imm", 1),   "dst src",        "w{d} = w{s}",                  "w{d} = w{s}",                   "clear the upper half of dst",                   "internal", "5.3"),
    ("JA",          0x05, JA,         0,       ("", 0),      "off",            "goto pc{j}",                   "goto {j}",                      "goto +off",                                     "base64",   "3.18"),
    ("JA32",        0x06, JA,         1,       ("", 0),      "imm",            "gotol pc{l}",                  "gotol {l}",                     "goto +imm",                                     "base32",   "6.6"),
    ("MAY_GOTO",    0xE5, MAY_GOTO,   0,       ("src", 0),   "off",            "may_goto pc{j}",               "may_goto {j}",                  "goto +off once the loop budget is used up",     "linux",    "6.9"),
    ("GOTOX",       0x0D, GOTOX,      0,       ("", 0),      "dst",            "gotox r{d}",                   "gotox r{d}",                    "goto the instruction whose address dst holds",  "linux",    "6.19"),
    ("CALL",        0x85, CALL,       0,       ("src", 0),   "imm",            "call {h}",                     "call {i}",                      "call helper number imm",                        "base32",   "3.18"),
    ("CALL_LOCAL",  0x85, CALL_LOCAL, 1,       ("src", 1),   "imm",            "call pc{l}",                   "call {i}",                      "call the function at pc + 1 + imm",             "base32",   "4.16"),
    ("CALL_KFUNC",  0x85, CALL_KFUNC, 2,       ("src", 2),   "off imm",        "call kfunc#{i}{m}",            "call {i}",                      "call the kernel function with BTF id imm",      "linux",    "5.13"),
    ("CALLX",       0x8D, CALLX,      0,       ("", 0),      "dst",            "callx r{d}",                   "callx r{d}",                    "call the function whose address dst holds",     "linux",    "LLVM 3.9"),
    ("EXIT",        0x95, EXIT,       0,       ("", 0),      "",               "exit",                         "exit",                          "return",                                        "base32",   "3.18"),
    ("NOSPEC",      0xC2, NOSPEC,     0,       ("", 0),      "",               "nospec",                       "nospec",                        "no speculation beyond this point",              "internal", "5.13"),
    ("LD_ABS_W",    0x20, LD_ABS,     4,       ("", 0),      "imm",            "r0 = *(u32 *)skb[{i}]",        "r0 = *(u32 *)skb[{i}]",         "r0 = packet[imm], host order, or leave with 0", "packet",   "3.18"),
    ("LD_ABS_H",    0x28, LD_ABS,     2,       ("", 0),      "imm",            "r0 = *(u16 *)skb[{i}]",        "r0 = *(u16 *)skb[{i}]",         "r0 = packet[imm], host order, or leave with 0", "packet",   "3.18"),
    ("LD_ABS_B",    0x30, LD_ABS,     1,       ("", 0),      "imm",            "r0 = *(u8 *)skb[{i}]",         "r0 = *(u8 *)skb[{i}]",          "r0 = packet[imm], host order, or leave with 0", "packet",   "3.18"),
    ("LD_IND_W",    0x40, LD_IND,     4,       ("", 0),      "src imm",        "r0 = *(u32 *)skb[r{s} + {i}]", "r0 = *(u32 *)skb[r{s}]",        "r0 = packet[src + imm], or leave with 0",       "packet",   "3.18"),
    ("LD_IND_H",    0x48, LD_IND,     2,       ("", 0),      "src imm",        "r0 = *(u16 *)skb[r{s} + {i}]", "r0 = *(u16 *)skb[r{s}]",        "r0 = packet[src + imm], or leave with 0",       "packet",   "3.18"),
    ("LD_IND_B",    0x50, LD_IND,     1,       ("", 0),      "src imm",        "r0 = *(u8 *)skb[r{s} + {i}]",  "r0 = *(u8 *)skb[r{s}]",         "r0 = packet[src + imm], or leave with 0",       "packet",   "3.18"),
    ("LDDW",        0x18, LDDW,       IMM,     ("src", 0),   "dst imm",        "r{d} = {u}",                   "r{d} = {u} ll",                 "dst = imm64",                                   "base64",   "3.18"),
    ("LDDW_MAP_FD", 0x18, LDDW,       MAP_FD,  ("src", 1),   "dst imm",        "r{d} = map[{i}]",              "ld_pseudo r{d}, 0x1, {u}",        "dst = the map numbered imm",                    "linux",    "3.18"),
    ("LDDW_MAP_VALUE", 0x18, LDDW,    MAP_VALUE, ("src", 2), "dst imm imm2",   "r{d} = map[{i}]{p}",           "ld_pseudo r{d}, 0x2, {u}",        "dst = address of the map's first value + imm2", "linux",    "5.2"),
    ("LDDW_BTF_ID", 0x18, LDDW,       BTF_ID,  ("src", 3),   "dst imm imm2",   "r{d} = btf_var[{i}]{p}",       "ld_pseudo r{d}, 0x3, {u}",        "dst = address of the kernel variable imm",      "linux",    "5.10"),
    ("LDDW_FUNC",   0x18, LDDW,       FUNC,    ("src", 4),   "dst imm",        "r{d} = func pc{l}",            "ld_pseudo r{d}, 0x4, {u}",        "dst = address of the function at pc + 1 + imm", "linux",    "5.13"),
    ("LDDW_MAP_IDX", 0x18, LDDW,      MAP_IDX, ("src", 5),   "dst imm",        "r{d} = map_idx[{i}]",          "ld_pseudo r{d}, 0x5, {u}",        "dst = the map at index imm of the fd array",    "linux",    "5.14"),
    ("LDDW_MAP_IDX_VALUE", 0x18, LDDW, MAP_IDX_VALUE, ("src", 6), "dst imm imm2", "r{d} = map_idx[{i}]{p}",    "ld_pseudo r{d}, 0x6, {u}",        "dst = first value of that map + imm2",          "linux",    "5.14"),
]  # fmt: skip


def _arithmetic() -> list[Op]:
    rows: list[Op] = []
    for name, fn, nibble, off, sign, since, meaning in _ALU:
        group = "divmul" if fn in (MUL, DIV, MOD, SDIV, SMOD) else "base"
        selector = ("off", off) if fn in (DIV, MOD, SDIV, SMOD) or fn == MOV else ("", 0)
        for kind, bits, cls, r in ((ALU32, 32, 0x04, "w"), (ALU64, 64, 0x07, "r")):
            for imm in (True, False):
                pick = ("", 0) if fn == MOV and imm else selector
                text = f"{r}{{d}} {sign} " + ("{i}" if imm else f"{r}{{s}}")
                said = meaning.replace("mask", str(bits - 1)).replace("src", "imm" if imm else "src")
                rows.append(
                    Op(f"{name}{bits}_{'K' if imm else 'X'}", cls | nibble | (0 if imm else 8), kind, fn, 0, imm, pick,
                       "dst imm" if imm else "dst src", text, text, said, f"{group}{bits}", since)
                )  # fmt: skip
    for bits, kind, cls, r in ((32, ALU32, 0x04, "w"), (64, ALU64, 0x07, "r")):
        for size in (8, 16, 32)[: 2 if kind == ALU32 else 3]:
            text = f"{r}{{d}} = (s{size}){r}{{s}}"
            rows.append(
                Op(f"MOVSX{size}_{bits}", cls | 0xB8, MOVSX, bits, size, False, ("off", size), "dst src", text, text,
                   f"dst = src[{size - 1}:0], sign-extended", f"base{bits}", "6.6")
            )  # fmt: skip
    for word, fn, code in (("le", LE, 0xD4), ("be", BE, 0xDC), ("bswap", BSWAP, 0xD7)):
        for size in (16, 32, 64):
            text = f"r{{d}} = {word}{size} r{{d}}"
            meaning = {
                "le": "dst = dst[{n}:0] in little-endian order", "be": "dst = dst[{n}:0] in big-endian order",
                "bswap": "dst = dst[{n}:0] with its bytes reversed",
            }[word].replace("{n}", str(size - 1))  # fmt: skip
            rows.append(
                Op(f"{word.upper()}{size}", code, END, fn, size, False, ("imm", size), "dst", text, text, meaning,
                   "base64" if size == 64 else "base32", "6.6" if fn == BSWAP else "3.18")
            )  # fmt: skip
    return rows


def _jumps() -> list[Op]:
    rows: list[Op] = []
    for name, fn, nibble, sign, since, meaning in _JMP:
        for kind, bits, cls, r in ((JMP, 64, 0x05, "r"), (JMP32, 32, 0x06, "w")):
            for imm in (True, False):
                second = "{x}" if imm else f"{r}{{s}}"
                said = meaning.replace("src", "imm") if imm else meaning
                rows.append(
                    Op(f"{name}{'' if bits == 64 else 32}_{'K' if imm else 'X'}", cls | nibble | (0 if imm else 8),
                       kind, fn, 0, imm, ("", 0), "dst off imm" if imm else "dst src off",
                       f"if {r}{{d}} {sign} {second} goto pc{{j}}", f"if {r}{{d}} {sign} {second} goto {{j}}",
                       said, f"base{bits}", "5.1" if bits == 32 else since)
                )  # fmt: skip
    return rows


def _memory() -> list[Op]:
    rows: list[Op] = []
    for suffix, bits, size, t in _SIZES:
        base = "base64" if size == 8 else "base32"
        w = "r" if size == 8 else "w"
        at = f"*({t} *)"
        rows += [
            Op(f"LDX{suffix}", 0x61 | bits, LDX, 0, size, False, ("", 0), "dst src off", f"r{{d}} = {at}(r{{s}} {{m}})",
               f"{w}{{d}} = {at}(r{{s}} {{m}})", f"dst = {at}(src + off)", base, "3.18"),
            Op(f"ST{suffix}", 0x62 | bits, ST, 0, size, True, ("", 0), "dst off imm", f"{at}(r{{d}} {{m}}) = {{i}}",
               f"{at}(r{{d}} {{m}}) = {{i}}", f"{at}(dst + off) = imm", base, "3.18"),
            Op(f"STX{suffix}", 0x63 | bits, STX, 0, size, False, ("", 0), "dst src off", f"{at}(r{{d}} {{m}}) = r{{s}}",
               f"{at}(r{{d}} {{m}}) = {w}{{s}}", f"{at}(dst + off) = src", base, "3.18"),
            Op(f"LOAD_ACQ_{suffix}", 0xC3 | bits, LOAD_ACQ, 0x100, size, False, ("imm", 0x100), "dst src off",
               f"r{{d}} = load_acquire(({t} *)(r{{s}} {{m}}))", f"{w}{{d}} = load_acquire(({t} *)(r{{s}} {{m}}))",
               f"dst = {at}(src + off), with acquire order", "linux", "6.15"),
            Op(f"STORE_REL_{suffix}", 0xC3 | bits, STORE_REL, 0x110, size, False, ("imm", 0x110), "dst src off",
               f"store_release(({t} *)(r{{d}} {{m}}), r{{s}})", f"store_release(({t} *)(r{{d}} {{m}}), {w}{{s}})",
               f"{at}(dst + off) = src, with release order", "linux", "6.15"),
        ]  # fmt: skip
        if size < 8:
            s = t.replace("u", "s")
            text = f"r{{d}} = *({s} *)(r{{s}} {{m}})"
            rows.append(
                Op(f"LDXS{suffix}", 0x81 | bits, LDXS, 0, size, False, ("", 0), "dst src off", text, text,
                   f"dst = *({s} *)(src + off), sign-extended", "base64", "6.6")
            )  # fmt: skip
        if size < 4:
            continue
        for name, fn, kernel, llvm, meaning in _ATOMIC:
            n, bits_name = ("64", "64") if size == 8 else ("", "32")
            b = "_64" if size == 8 else ("32_32")
            rows.append(
                Op(f"{name}_{suffix}", 0xC3 | bits, ATOMIC, fn, size, False, ("imm", fn), "dst src off",
                   kernel.format(t=t, n=n), llvm.format(t=t, r=w, b=b), meaning, f"atomic{bits_name}",
                   "3.18" if fn == A_ADD else "5.12")
            )  # fmt: skip
    return rows


def _rest() -> list[Op]:
    return [
        Op(name, code, kind, fn, {LD_ABS: fn, LD_IND: fn}.get(kind, 8 if kind == LDDW else 0),
           kind in (LD_ABS, LDDW), selector, uses, kernel, llvm, meaning, group, since)
        for name, code, kind, fn, selector, uses, kernel, llvm, meaning, group, since in _REST
    ]  # fmt: skip


OPS: Final[list[Op]] = _arithmetic() + _jumps() + _memory() + _rest()
OP: Final[dict[str, Op]] = {}
OP_BY_CODE: Final[list[list[Op]]] = [[] for _ in range(256)]
for _op in OPS:
    _op.id = len(OP)
    OP[_op.name] = _op
    OP_BY_CODE[_op.code].append(_op)

# What a byte that is no opcode decodes to, so that hostile programs can still be held, shown and refused.
UNKNOWN_OPS: Final[list[Op]] = [
    Op(f"UNKNOWN_{code:02X}", code, UNKNOWN, 0, 0, False, ("", 0), "", f"unknown opcode {code:02x}", "<unknown>",
       "no operation", "none", "")
    for code in range(256)
]  # fmt: skip
_UNKNOWN: Final = {op.name: op for op in UNKNOWN_OPS}


def named(name: str) -> Op:
    """The operation of that name: `OPS`, or one of `UNKNOWN_OPS`."""
    return OP[name] if name in OP else _UNKNOWN[name]
