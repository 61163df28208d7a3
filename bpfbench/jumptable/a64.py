"""A64 instruction words, decoded just far enough to follow values and control flow.

A general disassembler answers "what is printed"; recovery asks three other questions, millions of times: *which
registers does this word write*, *where can control go next*, and, for some forty forms that build addresses, *what is
computed*.  `decode` answers them from the top-level groups of the architecture manual and keeps every answer in a
cache keyed by the word, since text repeats itself (about 12 % of the words of a program are distinct).

    31     28    25  24                    5 4     0
    +------+--------+-----------------------+-------+      group = bits 28..25
    |      | group  |                       |  Rd   |      100x data, immediate    101x branches, system
    +------+--------+-----------------------+-------+      x1x0 loads and stores   x101 data, register   x111 FP, SIMD

Displacements are kept relative, so a decoded word is independent of its address.  Source: Arm Architecture Reference
Manual for A-profile, chapter C4 "A64 instruction set encoding".
"""

from __future__ import annotations

from typing import Final, final

# Operations that recovery understands; everything else is OTHER with a correct `writes` mask.
OTHER: Final = 0
ADR: Final = 1  # rd = pc + imm
ADRP: Final = 2  # rd = page(pc) + imm
ADDI: Final = 3  # rd = rn + imm                    (also subtraction: imm < 0)
ADDR: Final = 4  # rd = rn + (rm << shift)          ext = LSL
ADDX: Final = 5  # rd = rn + (extend(rm) << shift)
SUBR: Final = 6  # rd = rn - (rm << shift)
SUBX: Final = 7  # rd = rn - (extend(rm) << shift)
MOVI: Final = 8  # rd = imm                         (movz, movn, orr from zr)
MOVK: Final = 9  # rd = rd with 16 bits at `shift` replaced by imm
MOVR: Final = 10  # rd = rm
ANDI: Final = 11  # rd = rn & imm
UBFM: Final = 12  # rd = unsigned bit field; imm = immr, shift = imms
SBFM: Final = 13
LOAD: Final = 14  # rd = memory; size in bytes, signed, mode
STORE: Final = 15
LOADP: Final = 16  # rd, rm = memory
STOREP: Final = 17
LDLIT: Final = 18  # rd = memory[pc + imm]
CSEL: Final = 19  # rd = cond ? rn : rm              (imm: 0 csel, 1 csinc, 2 csinv, 3 csneg)
CCMP: Final = 20  # flags = cond ? rn - (rm | imm) : shift (nzcv); ext = 1 when the operand is an immediate
FMOVFG: Final = 21  # rd (x) = rn (d)
FMOVGF: Final = 22  # rd (d) = rn (x)
B: Final = 23
BL: Final = 24
BCOND: Final = 25
CBZ: Final = 26  # ext = 1 for cbnz
TBZ: Final = 27  # ext = 1 for tbnz; shift = bit number
BR: Final = 28
BLR: Final = 29
RET: Final = 30
TRAP: Final = 31  # brk, udf, hlt: control does not come back
BTI: Final = 32  # a landing pad: imm bit 0 = accepts calls, bit 1 = accepts jumps
NOP: Final = 33
BRAUTH: Final = 34  # braa, brab, retaa and friends; ext = 1 for returns
BLRAUTH: Final = 35
SVC: Final = 36
ANDR: Final = 37  # rd = rn & rm
OUTLINED: Final = 38  # a call of a straight leaf (the machine outliner's): writes what the leaf writes

OP_NAMES: Final[tuple[str, ...]] = (
    "other",
    "adr",
    "adrp",
    "addi",
    "add",
    "addx",
    "sub",
    "subx",
    "movi",
    "movk",
    "mov",
    "andi",
    "ubfm",
    "sbfm",
    "load",
    "store",
    "loadp",
    "storep",
    "ldrlit",
    "csel",
    "ccmp",
    "fmov",
    "fmov",
    "b",
    "bl",
    "bcond",
    "cbz",
    "tbz",
    "br",
    "blr",
    "ret",
    "trap",
    "bti",
    "nop",
    "brauth",
    "blrauth",
    "svc",
    "and",
    "outlined",
)

# Addressing modes of LOAD/STORE.
OFFSET: Final = 0  # [rn, #imm]
INDEX: Final = 1  # [rn, rm, ext #shift]
PRE: Final = 2  # [rn, #imm]!
POST: Final = 3  # [rn], #imm

# Extensions, numbered as the `option` field numbers them; LSL stands for "shifted register".
UXTB: Final = 0
UXTH: Final = 1
UXTW: Final = 2
UXTX: Final = 3
SXTB: Final = 4
SXTH: Final = 5
SXTW: Final = 6
SXTX: Final = 7
LSL: Final = 8
EXT_NAMES: Final[tuple[str, ...]] = ("uxtb", "uxth", "uxtw", "uxtx", "sxtb", "sxth", "sxtw", "sxtx", "lsl")

COND_NAMES: Final[tuple[str, ...]] = (
    "eq",
    "ne",
    "hs",
    "lo",
    "mi",
    "pl",
    "vs",
    "vc",
    "hi",
    "ls",
    "ge",
    "lt",
    "gt",
    "le",
    "al",
    "nv",
)

# Bits of `writes`: x0..x30, sp, then d0..d31, then the flags.
SP: Final = 31
ZR: Final = 31
FLAGS: Final = 64
FLAGS_BIT: Final = 1 << 64
CALL_CLOBBERS: Final = 0x4007FFFF | (0xFFFF00FF << 32) | FLAGS_BIT  # x0..x18, x30; d0..d7, d16..d31; flags

TERMINATORS: Final = frozenset((B, BCOND, CBZ, TBZ, BR, RET, TRAP, BRAUTH))
CONDITIONAL: Final = frozenset((BCOND, CBZ, TBZ))
DIRECT: Final = frozenset((B, BCOND, CBZ, TBZ))
CALLS: Final = frozenset((BL, BLR, BLRAUTH))


@final
class Insn:
    """One decoded word.  `wide` is true for 64-bit operation; fields without meaning for `op` are 0.

    >>> i = decode(0x38686922)                      # ldrb w2, [x9, x8]
    >>> OP_NAMES[i.op], i.size, i.rd, i.rn, i.rm, i.mode == INDEX
    ('load', 1, 2, 9, 8, True)
    """

    __slots__ = (
        "op",
        "word",
        "rd",
        "rn",
        "rm",
        "imm",
        "shift",
        "ext",
        "cond",
        "size",
        "signed",
        "mode",
        "wide",
        "vector",
        "writes",
    )

    def __init__(
        self,
        op: int,
        word: int,
        writes: int,
        rd: int = 0,
        rn: int = 0,
        rm: int = 0,
        imm: int = 0,
        shift: int = 0,
        ext: int = LSL,
        cond: int = 14,
        size: int = 0,
        signed: bool = False,
        mode: int = 0,
        wide: bool = True,
        vector: bool = False,
    ) -> None:
        self.op = op
        self.word = word
        self.writes = writes
        self.rd = rd
        self.rn = rn
        self.rm = rm
        self.imm = imm
        self.shift = shift
        self.ext = ext
        self.cond = cond
        self.size = size
        self.signed = signed
        self.mode = mode
        self.wide = wide
        self.vector = vector

    def __repr__(self) -> str:
        return f"<{OP_NAMES[self.op]} {self.word:08x}>"


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def gp(reg: int) -> int:
    """Mask of a general register where 31 names zr."""
    return 0 if reg == 31 else 1 << reg


def bitmask_immediate(n: int, immr: int, imms: int, wide: bool) -> int | None:
    """Value of a logical immediate (`DecodeBitMasks` of the manual); None for reserved encodings.

    >>> hex(bitmask_immediate(1, 0, 7, True))
    '0xff'
    """
    length = ((n << 6) | (~imms & 0x3F)).bit_length() - 1
    if length < 1:
        return None
    esize = 1 << length
    levels = esize - 1
    s, r = imms & levels, immr & levels
    if s == levels:
        return None
    pattern = (1 << (s + 1)) - 1
    pattern = ((pattern >> r) | (pattern << (esize - r))) & ((1 << esize) - 1)
    value, width = 0, 64 if wide else 32
    for at in range(0, width, esize):
        value |= pattern << at
    return value & ((1 << width) - 1)


def _immediate(w: int) -> Insn:
    rd, rn, wide = w & 31, (w >> 5) & 31, bool(w >> 31)
    op = (w >> 23) & 7
    if op <= 1:
        imm = _signed(((w >> 5) & 0x7FFFF) << 2 | ((w >> 29) & 3), 21)
        return Insn(ADRP if wide else ADR, w, gp(rd), rd, imm=imm << 12 if wide else imm)
    if op == 2:  # add, sub
        imm = ((w >> 10) & 0xFFF) << (12 if w & (1 << 22) else 0)
        flags = bool(w & (1 << 29))
        writes = (gp(rd) | FLAGS_BIT) if flags else 1 << rd
        return Insn(ADDI, w, writes, rd, rn, imm=-imm if w & (1 << 30) else imm, wide=wide, signed=flags)
    if op == 4:  # and, orr, eor, ands
        opc = (w >> 29) & 3
        imm_or_none = bitmask_immediate((w >> 22) & 1, (w >> 16) & 63, (w >> 10) & 63, wide)
        if imm_or_none is None or (not wide and w & (1 << 22)):
            return Insn(OTHER, w, 0)
        if opc == 0:
            return Insn(ANDI, w, 1 << rd, rd, rn, imm=imm_or_none, wide=wide)
        if opc == 3:
            return Insn(ANDI, w, gp(rd) | FLAGS_BIT, rd, rn, imm=imm_or_none, wide=wide)
        if opc == 1 and rn == ZR:
            return Insn(MOVI, w, 1 << rd, rd, imm=imm_or_none, wide=wide)
        return Insn(OTHER, w, 1 << rd, rd, rn)
    if op == 5:  # movn, movz, movk
        opc, shift, imm16 = (w >> 29) & 3, ((w >> 21) & 3) * 16, (w >> 5) & 0xFFFF
        if opc == 3:
            return Insn(MOVK, w, gp(rd), rd, imm=imm16, shift=shift, wide=wide)
        imm = imm16 << shift
        if opc == 0:
            imm = ~imm & (0xFFFFFFFFFFFFFFFF if wide else 0xFFFFFFFF)
        return Insn(MOVI, w, gp(rd), rd, imm=imm, wide=wide)
    if op == 6 and (w >> 29) & 3 != 1:
        opc = (w >> 29) & 3
        if opc == 3:
            return Insn(OTHER, w, 0)
        return Insn(UBFM if opc == 2 else SBFM, w, gp(rd), rd, rn, imm=(w >> 16) & 63, shift=(w >> 10) & 63, wide=wide)
    return Insn(OTHER, w, gp(rd), rd, rn)


def _branch(w: int) -> Insn:
    top = w >> 24
    if top & 0x7C == 0x14:  # b, bl
        imm = _signed(w & 0x3FFFFFF, 26) << 2
        if w >> 31:
            return Insn(BL, w, CALL_CLOBBERS, imm=imm)
        return Insn(B, w, 0, imm=imm)
    if top & 0x7E == 0x34:
        return Insn(CBZ, w, 0, w & 31, imm=_signed((w >> 5) & 0x7FFFF, 19) << 2, ext=top & 1, wide=bool(w >> 31))
    if top & 0x7E == 0x36:
        bit = (w >> 31) << 5 | (w >> 19) & 31
        return Insn(TBZ, w, 0, w & 31, imm=_signed((w >> 5) & 0x3FFF, 14) << 2, ext=top & 1, shift=bit)
    if top == 0x54:
        return Insn(BCOND, w, 0, cond=w & 15, imm=_signed((w >> 5) & 0x7FFFF, 19) << 2)
    if top in (0xD6, 0xD7):
        return _branch_register(w)
    if top == 0xD4:
        if w & 0xE0001F == 1:
            return Insn(SVC, w, 1)
        return Insn(TRAP, w, 0)
    if w & 0xFFFFF01F == 0xD503201F:  # hints
        hint = (w >> 5) & 127
        if hint == 0:
            return Insn(NOP, w, 0)
        if hint & ~6 == 32:
            return Insn(BTI, w, 0, imm=(hint >> 1) & 3)
        if hint in (25, 27):  # paciasp, pacibsp are landing pads for calls
            return Insn(BTI, w, 1 << 30, imm=1)
        return Insn(
            OTHER, w, 1 << 30 if hint in (24, 26, 28, 29, 30, 31, 7) else 1 << 17 if hint in (8, 10, 12, 14) else 0
        )
    if w & 0xFFF00000 == 0xD5300000 or w & 0xFFF80000 == 0xD5280000:  # mrs, sysl
        return Insn(OTHER, w, gp(w & 31), w & 31)
    if w & 0xFFF00000 == 0xD5100000:  # msr: may write the flags
        return Insn(OTHER, w, FLAGS_BIT)
    return Insn(OTHER, w, 0)


def _branch_register(w: int) -> Insn:
    rn, opc, auth = (w >> 5) & 31, (w >> 21) & 15, (w >> 10) & 63
    if auth == 0 and w & 31 == 0 and (w >> 16) & 31 == 31:
        if opc == 0:
            return Insn(BR, w, 0, rn=rn)
        if opc == 1:
            return Insn(BLR, w, CALL_CLOBBERS, rn=rn)
        if opc == 2:
            return Insn(RET, w, 0, rn=rn)
        if opc in (4, 5):
            return Insn(TRAP, w, 0)  # eret, drps
    if auth in (2, 3) and (w >> 16) & 31 == 31:
        if opc & 7 == 1:
            return Insn(BLRAUTH, w, CALL_CLOBBERS, rn=rn)
        return Insn(BRAUTH, w, 0, rn=rn, ext=1 if opc & 7 in (2, 4) else 0)
    return Insn(OTHER, w, 0)


def _memory(w: int) -> Insn:
    rt, rn, size = w & 31, (w >> 5) & 31, w >> 30
    kind, vector = (w >> 28) & 3, bool(w & (1 << 26))
    load = bool(w & (1 << 22))
    base = 32 if vector else 0

    def reg(r: int) -> int:
        return (1 << (32 + r)) if vector else gp(r)

    if kind == 0:
        if vector:  # structure loads: up to four registers
            writes = 0
            if load:
                for k in range(4):
                    writes |= 1 << (32 + (rt + k) % 32)
            return Insn(OTHER, w, writes | ((1 << rn) if w & (1 << 23) else 0))
        if w & 0x3F000000 != 0x08000000:
            return Insn(OTHER, w, gp(rt))
        rs, ordered, pair = (w >> 16) & 31, bool(w & (1 << 23)), bool(w & (1 << 21))
        if ordered and pair:
            return Insn(OTHER, w, gp(rs))  # cas
        if not ordered and pair and size < 2:
            return Insn(OTHER, w, gp(rs) | (1 << ((rs + 1) & 31)))  # casp
        writes = (gp(rt) | (gp((w >> 10) & 31) if pair else 0)) if load else (0 if ordered else gp(rs))
        return Insn(OTHER, w, writes)
    if kind == 1:
        if w & (1 << 24):  # ldapur, tags
            return Insn(OTHER, w, gp(rt) | ((1 << rn) if w & (1 << 10) else 0))
        imm = _signed((w >> 5) & 0x7FFFF, 19) << 2
        if vector:
            return Insn(LDLIT, w, reg(rt), rt, imm=imm, size=4 << min(size, 2), vector=True)
        if size == 3:
            return Insn(NOP, w, 0)  # prefetch
        return Insn(LDLIT, w, gp(rt), rt, imm=imm, size=8 if size == 1 else 4, signed=size == 2, wide=size != 0)
    if kind == 2:
        scale = (4 << size) if vector else (8 if size & 2 else 4)
        imm = _signed((w >> 15) & 0x7F, 7) * scale
        mode = (POST, OFFSET, PRE)[max(0, ((w >> 23) & 3) - 1)] if (w >> 23) & 3 else OFFSET
        writes = (1 << rn) if mode != OFFSET else 0
        if load:
            writes |= reg(rt) | reg((w >> 10) & 31)
        return Insn(
            LOADP if load else STOREP,
            w,
            writes,
            rt,
            rn,
            (w >> 10) & 31,
            imm,
            size=scale,
            signed=size == 1 and not vector,
            mode=mode,
            wide=bool(size & 2),
            vector=vector,
        )
    return _single(w, rt, rn, size, vector, reg(rt), base)


def _single(w: int, rt: int, rn: int, size: int, vector: bool, writes: int, base: int) -> Insn:
    opc = (w >> 22) & 3
    if vector:
        width, load, signed, wide = (16 if opc & 2 else 1 << size), bool(opc & 1), False, True
    else:
        if size == 3 and opc == 2:
            return Insn(NOP, w, 0)  # prefetch
        width, load, signed = 1 << size, opc != 0, opc >= 2
        wide = opc == 2 or size == 3
    op = LOAD if load else STORE
    if not load:
        writes = 0
    if w & (1 << 24):
        imm = ((w >> 10) & 0xFFF) * width
        return Insn(op, w, writes, rt, rn, imm=imm, size=width, signed=signed, wide=wide, vector=vector)
    sub = (w >> 10) & 3
    if not w & (1 << 21):
        imm = _signed((w >> 12) & 0x1FF, 9)
        mode = (OFFSET, POST, OFFSET, PRE)[sub]
        if mode != OFFSET:
            writes |= 1 << rn
        return Insn(op, w, writes, rt, rn, imm=imm, size=width, signed=signed, mode=mode, wide=wide, vector=vector)
    if sub == 2:
        shift = (width.bit_length() - 1) if w & (1 << 12) else 0
        return Insn(
            op,
            w,
            writes,
            rt,
            rn,
            (w >> 16) & 31,
            shift=shift,
            ext=(w >> 13) & 7,
            size=width,
            signed=signed,
            mode=INDEX,
            wide=wide,
            vector=vector,
        )
    if sub == 0:
        return Insn(OTHER, w, gp(rt))  # atomics
    return Insn(OTHER, w, gp(rt) | ((1 << rn) if w & (1 << 11) else 0))  # ldraa, ldrab


def _register(w: int) -> Insn:
    rd, rn, rm, wide = w & 31, (w >> 5) & 31, (w >> 16) & 31, bool(w >> 31)
    if not w & (1 << 28):
        if w & (1 << 24):  # add, sub
            flags, minus = bool(w & (1 << 29)), bool(w & (1 << 30))
            if w & (1 << 21):
                writes = (gp(rd) | FLAGS_BIT) if flags else 1 << rd
                return Insn(
                    SUBX if minus else ADDX,
                    w,
                    writes,
                    rd,
                    rn,
                    rm,
                    shift=(w >> 10) & 7,
                    ext=(w >> 13) & 7,
                    wide=wide,
                    signed=flags,
                )
            writes = gp(rd) | (FLAGS_BIT if flags else 0)
            if (w >> 22) & 3:
                return Insn(OTHER, w, writes, rd, rn, rm)
            return Insn(SUBR if minus else ADDR, w, writes, rd, rn, rm, shift=(w >> 10) & 63, wide=wide, signed=flags)
        opc, shift, negate = (w >> 29) & 3, (w >> 10) & 63, bool(w & (1 << 21))
        if opc == 1 and rn == ZR and not negate and shift == 0 and (w >> 22) & 3 == 0:
            return Insn(MOVR, w, gp(rd), rd, rm=rm, wide=wide)
        if opc == 0 and not negate and shift == 0:
            return Insn(ANDR, w, gp(rd), rd, rn, rm, wide=wide)
        return Insn(OTHER, w, gp(rd) | (FLAGS_BIT if opc == 3 else 0), rd, rn, rm)
    group = (w >> 21) & 15
    if group == 2:
        imm_form = 1 if w & (1 << 11) else 0
        if w & (1 << 30):
            return Insn(
                CCMP, w, FLAGS_BIT, rn=rn, rm=rm, imm=rm, shift=w & 15, ext=imm_form, cond=(w >> 12) & 15, wide=wide
            )
        return Insn(OTHER, w, FLAGS_BIT)
    if group == 4:
        variant = (w >> 29) & 2 | (w >> 10) & 1
        return Insn(CSEL, w, gp(rd), rd, rn, rm, imm=variant, cond=(w >> 12) & 15, wide=wide)
    if group == 0:
        return Insn(OTHER, w, (gp(rd) if not w & 0x3C00 else 0) | (FLAGS_BIT if w & (1 << 29) else 0))
    return Insn(OTHER, w, gp(rd), rd, rn, rm)


def _vector(w: int) -> Insn:
    rd, rn = w & 31, (w >> 5) & 31
    if w & 0x5F200000 == 0x1E200000:  # scalar floating point
        if w & 0xFC00 == 0:  # conversions to and from general registers
            opcode = (w >> 16) & 7
            if w & 0x7FFFFC00 in (0x1E670000 | 0x0, 0x1E270000) or w & 0xFFFFFC00 == 0x9E670000:
                return Insn(FMOVGF, w, 1 << (32 + rd), rd, rn, wide=bool(w >> 31))
            if w & 0xFFFFFC00 in (0x9E660000, 0x1E260000):
                return Insn(FMOVFG, w, gp(rd), rd, rn, wide=bool(w >> 31))
            if opcode in (2, 3) or (opcode == 7 and w & 0xFFFFFC00 != 0x9EAF0000) or w & 0xFFFFFC00 == 0x9EAF0000:
                return Insn(OTHER, w, 1 << (32 + rd))
            return Insn(OTHER, w, gp(rd))
        if w & 0x3C00 == 0x2000 or w & 0xC00 == 0x400:  # fcmp, fccmp
            return Insn(OTHER, w, FLAGS_BIT)
        return Insn(OTHER, w, 1 << (32 + rd))
    if w & 0x5F200000 == 0x1E000000:  # fixed-point conversions
        to_gp = (w >> 16) & 7 in (0, 1)
        return Insn(OTHER, w, gp(rd) if to_gp else 1 << (32 + rd))
    if w & 0x9FE08400 == 0x0E000400 and (w >> 11) & 15 in (5, 7) and not w & (1 << 29):  # smov, umov
        return Insn(OTHER, w, gp(rd))
    return Insn(OTHER, w, 1 << (32 + rd))


_cache: dict[int, Insn] = {}


def decode(word: int) -> Insn:
    """The decoded form of a 32-bit word; never fails: an unallocated word is OTHER or TRAP.

    >>> OP_NAMES[decode(0xd61f0120).op], decode(0xd61f0120).rn
    ('br', 9)
    """
    found = _cache.get(word)
    if found is not None:
        return found
    group = (word >> 25) & 15
    if group & 14 == 8:
        insn = _immediate(word)
    elif group & 14 == 10:
        insn = _branch(word)
    elif group & 5 == 4:
        insn = _memory(word)
    elif group & 7 == 5:
        insn = _register(word)
    elif group & 7 == 7:
        insn = _vector(word)
    elif group == 2:  # SVE may write either file
        insn = Insn(OTHER, word, gp(word & 31) | 1 << (32 + (word & 31)) | FLAGS_BIT)
    elif word < 0x10000:
        insn = Insn(TRAP, word, 0)  # udf
    else:
        insn = Insn(OTHER, word, 0)
    if len(_cache) > 4_000_000:
        _cache.clear()
    _cache[word] = insn
    return insn
