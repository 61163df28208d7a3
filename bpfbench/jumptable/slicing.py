"""Point 2 of the post: what a branch register holds, as a formula, whatever instructions computed it.

Compilers order and spell the snippet in dozens of ways (70 ordered templates in 106 builds, and the list keeps
growing), so no template is matched.  The register is *evaluated* backwards into a linear form

    value = const + c1 * atom1 + c2 * atom2 ...        atom: Entry | Index | Memory | Extended | Opaque

in which an `Entry` is a load of a table entry at a constant address plus a scaled register.  All shapes then are one
shape, `base + scale * Entry`:

    clang    B + 4 * u8/u16 [T + i]        gcc     B + 4 * s8/s16/s32 [T + i]        Go      0 + 1 * u64 [T + i]
    clang    B + 1 * s32    [T + i]        LLVM 8  T + 1 * s32 [T + i]               codecs  T - 1 * u16 [T + i]

Roles are found by data flow, never by register name: gcc likes to put T and then B into one register.
"""

from __future__ import annotations

from typing import Final, final

from . import a64
from .cfg import ENTRY, SLOT, Cfg, is_stack, slot, straight_line
from .image import Image
from .values import MASK32, MASK64, Entry, Index, Memory, Opaque, Value, extend, seen_from, sum_of

DEPTH: Final = 40
STEPS: Final = 4000


@final
class Slicer:
    """Evaluates locations of one Cfg; `value(loc, addr)` is what `loc` holds just before `addr` executes."""

    def __init__(self, image: Image, cfg: Cfg) -> None:
        self.image = image
        self.cfg = cfg
        self._memo: dict[tuple[int, int], Value] = {}
        self._steps = 0
        self.outer: tuple[Slicer, int, int] | None = None  # for an outlined leaf: who calls it, and where

    def value(self, loc: int, addr: int, depth: int = 0) -> Value:
        key = (loc, addr)
        found = self._memo.get(key)
        if found is not None:
            return found
        if depth == 0:
            self._steps = 0
        self._steps += 1
        if depth > DEPTH or self._steps > STEPS:
            return Value(0, ((Opaque(loc, addr, "deep"), 1),))
        self._memo[key] = Value(0, ((Opaque(loc, addr, "cycle"), 1),))  # a value that depends on itself
        result = self._evaluate(loc, addr, depth)
        self._memo[key] = result
        return result

    def _evaluate(self, loc: int, addr: int, depth: int) -> Value:
        sites = self.cfg.reaching(loc, addr)
        real = [s for s in sites if s == ENTRY or self.cfg.insn(s).op not in a64.CALLS]
        if not real:
            return Value(0, ((Opaque(loc, addr, "call" if sites else "entry"), 1),))
        # What a call leaves in a caller-saved register is never read: such a path is a call that does not return.
        if loc == 0 and len(real) < len(sites):
            return Value(0, ((Opaque(loc, addr, "joined"), 1),))
        if real == [ENTRY] and self.outer is not None:
            slicer, site, level = self.outer
            return slicer.value(loc, site, level)
        if real == [ENTRY]:
            return Value(0, ((Opaque(loc, addr, "entry"), 1),))
        values = [self._result(s, loc, depth) if s != ENTRY else None for s in real]
        first = values[0]
        if len(values) == 1 and first is not None:
            return first
        known = [v for v in values if v is not None]
        if len(known) == len(values) and all(v.key == known[0].key for v in known):
            return self._merge(known)
        # A loop-carried copy of itself adds nothing, and no caller passes the address of a table.
        others = [v for v in known if not self._is_cycle(v)]
        if (
            others
            and all(v.key == others[0].key for v in others)
            and (len(known) == len(values) or others[0].constant is not None)
        ):
            return self._merge(others)
        return Value(0, ((Opaque(loc, addr, "joined" if others or len(known) < len(values) else "cycle"), 1),))

    def alternatives(self, loc: int, addr: int) -> list[Value | None]:
        """What each definition that reaches `addr` puts into `loc`; None for what the function was entered with."""
        return [
            None
            if s == ENTRY
            else self._result(s, loc, 1)
            if self.cfg.insn(s).op not in a64.CALLS
            else Value(0, ((Opaque(loc, s, "call"), 1),))
            for s in self.cfg.reaching(loc, addr)
        ]

    def _is_cycle(self, value: Value) -> bool:
        atom = value.single
        return isinstance(atom, Opaque) and atom.why == "cycle"

    def _merge(self, values: list[Value]) -> Value:
        """Equal values; their entries may be loaded in several places, which are all kept."""
        first = values[0]
        found = first.entry()
        if found is None:
            return first
        loads: dict[int, tuple[int, Index]] = {}
        for v in values:
            other = v.entry()
            for load in other[0].loads if other else ():
                loads[load[0]] = load
        entry = Entry(found[0].size, found[0].signed, found[0].table, tuple(loads[k] for k in sorted(loads)))
        return Value(first.const, tuple((entry if isinstance(a, Entry) else a, c) for a, c in first.terms))

    def operand(self, reg: int, site: int, depth: int) -> Value:
        """A general register as the instruction at `site` reads it; 31 is zr."""
        return Value(0) if reg == a64.ZR else self.value(reg, site, depth + 1)

    def _addend(self, reg: int, site: int, ext: int, shift: int, depth: int) -> Value:
        """An operand of an addition: a formula if it holds an entry or an address, else an Index."""
        v = self.operand(reg, site, depth)
        if ext < a64.LSL and ext not in (a64.UXTX, a64.SXTX):
            v = extend(v, 8 << (ext & 3), ext >= a64.SXTB)
        if (
            v.terms
            and v.entry() is None
            and v.const == 0
            and not (len(v.terms) == 1 and isinstance(v.terms[0][0], Index) and v.terms[0][1] != 1)
        ):
            v = Value(0, ((Index(reg, site, ext if ext != a64.UXTX else a64.LSL), 1),))
        return sum_of(Value(0), v, 1 << shift)

    def _result(self, site: int, loc: int, depth: int) -> Value:
        """What the instruction at `site` puts into `loc`."""
        insn = self.cfg.insn(site)
        op = insn.op
        if loc >= SLOT:
            return self._stored(site, insn, loc, depth)
        if op == a64.ADR:
            return Value(site + insn.imm)
        if op == a64.ADRP:
            return Value((site & ~0xFFF) + insn.imm)
        if op == a64.MOVI:
            return Value(insn.imm)
        if op == a64.MOVR:
            v = self.operand(insn.rm, site, depth)
            return v if insn.wide else extend(v, 32, False)
        if op == a64.ADDI:
            return self._add_immediate(site, insn, loc, depth)
        if op in (a64.ADDR, a64.ADDX, a64.SUBR, a64.SUBX):
            return self._add_register(site, insn, depth)
        if op in (a64.UBFM, a64.SBFM):
            return self._bit_field(site, insn, loc, depth)
        if op == a64.MOVK:
            old = self.operand(insn.rd, site, depth).constant
            if old is not None:
                return Value(old & ~(0xFFFF << insn.shift) | insn.imm << insn.shift)
        elif op == a64.LOAD and not insn.vector:
            return self._load(site, insn, loc, depth)
        elif op == a64.LOAD and is_stack(insn):
            return self.value(slot(insn.rn, insn.imm), site, depth + 1)
        elif op == a64.LOADP and is_stack(insn):
            second = loc == insn.rm + (32 if insn.vector else 0)
            return self._slot(slot(insn.rn, insn.imm + (insn.size if second else 0)), site, insn, depth)
        elif op == a64.LDLIT and not insn.vector:
            return self._at(site + insn.imm, site, insn)
        elif op == a64.OUTLINED and loc != 30:
            return self._in_leaf(site, insn, loc, depth)
        elif op == a64.FMOVFG:
            return self.value(32 + insn.rn, site, depth + 1)
        elif op == a64.FMOVGF:
            return self.operand(insn.rn, site, depth)
        elif op == a64.LOADP:
            return Value(0, ((Memory(insn.rn, insn.imm, site, None, 0), 1),))
        return Value(0, ((Opaque(loc, site, "computed"), 1),))

    def _in_leaf(self, site: int, insn: a64.Insn, loc: int, depth: int) -> Value:
        """The value of `loc` after a call of an outlined leaf: the leaf's code, entered with the caller's values."""
        window = straight_line(self.image, site + insn.imm + 4 * len(self.cfg.leaves[site]), len(self.cfg.leaves[site]))
        inner = Slicer(self.image, window)
        inner.outer = (self, site, depth + 1)
        return seen_from(inner.value(loc, window.end - 4, depth + 1), site, window)

    def _stored(self, site: int, insn: a64.Insn, loc: int, depth: int) -> Value:
        if insn.op not in (a64.STORE, a64.STOREP):
            return Value(0, ((Opaque(loc, site, "computed"), 1),))  # sp or x29 changed
        second = loc != slot(insn.rn, insn.imm)
        reg = insn.rm if second else insn.rd
        return self.value(32 + reg, site, depth + 1) if insn.vector else self.operand(reg, site, depth)

    def _add_immediate(self, site: int, insn: a64.Insn, loc: int, depth: int) -> Value:
        if insn.rn == a64.SP and not insn.signed:
            return Value(0, ((Opaque(loc, site, "computed"), 1),))
        v = self.operand(insn.rn, site, depth)
        if insn.imm == 0 and insn.wide:
            return v
        if not v.terms or v.const:  # an address plus an offset; a rebased index stays opaque
            v = Value(v.const + insn.imm, v.terms)
            return v if insn.wide else extend(v, 32, False)
        return Value(0, ((Opaque(loc, site, "computed"), 1),))

    def _add_register(self, site: int, insn: a64.Insn, depth: int) -> Value:
        minus = insn.op in (a64.SUBR, a64.SUBX)
        if insn.op in (a64.ADDX, a64.SUBX) and insn.rn == a64.SP:
            return Value(0, ((Opaque(insn.rd, site, "computed"), 1),))
        a = self._addend(insn.rn, site, a64.LSL, 0, depth)
        b = self._addend(insn.rm, site, insn.ext, insn.shift, depth)
        v = sum_of(a, b, -1 if minus else 1)
        return v if insn.wide else extend(v, 32, False)

    def _bit_field(self, site: int, insn: a64.Insn, loc: int, depth: int) -> Value:
        width = 64 if insn.wide else 32
        signed = insn.op == a64.SBFM
        r, s = insn.imm, insn.shift
        v = self.operand(insn.rn, site, depth)
        if r == 0:  # uxtb, sxth, sxtw ...
            v = extend(v, s + 1, signed)
        elif s < r:  # lsl, ubfiz, sbfiz
            if s + 1 + width - r < width:
                v = extend(v, s + 1, signed)
            if v.terms and v.entry() is None and v.const == 0:
                ext = (
                    {8: a64.UXTB, 16: a64.UXTH, 32: a64.UXTW}.get(s + 1, a64.LSL)
                    if not signed
                    else ({8: a64.SXTB, 16: a64.SXTH, 32: a64.SXTW}.get(s + 1, a64.LSL))
                )
                v = Value(0, ((Index(insn.rn, site, ext), 1),))
            v = sum_of(Value(0), v, 1 << (width - r))
        elif not v.terms:
            v = Value((v.const & MASK64) >> r & ((1 << (s - r + 1)) - 1))
        else:
            return Value(0, ((Opaque(loc, site, "computed"), 1),))
        return v if insn.wide else extend(v, 32, False)

    # -- loads ----------------------------------------------------------------------------------------------------

    def _slot(self, where: int, site: int, insn: a64.Insn, depth: int) -> Value:
        v = self.value(where, site, depth + 1)
        return v if insn.size == 8 else extend(v, 8 * insn.size, insn.signed)

    def _at(self, address: int, site: int, insn: a64.Insn) -> Value:
        """A load from a constant address: its contents if they cannot change."""
        if insn.size == 8 and self.image.constant(address) and address not in self.image.imports:
            p = self.image.pointer(address)
            if p is not None:
                return Value(p)
        elif insn.size in (2, 4) and self.image.constant(address):
            raw = self.image.read(address, insn.size)
            if raw is not None:
                n = int.from_bytes(raw, "little" if self.image.order == "<" else "big", signed=insn.signed)
                return Value(n & (MASK64 if insn.wide else MASK32))
        return Value(0, ((Memory(31, 0, site, address, 0), 1),))

    def _load(self, site: int, insn: a64.Insn, loc: int, depth: int) -> Value:
        if insn.mode in (a64.PRE, a64.POST):
            if loc != insn.rd:
                return Value(0, ((Opaque(loc, site, "computed"), 1),))
            return Value(0, ((Memory(insn.rn, insn.imm if insn.mode == a64.PRE else 0, site, None, 0), 1),))
        if is_stack(insn):
            return self._slot(slot(insn.rn, insn.imm), site, insn, depth)
        base = self.operand(insn.rn, site, depth) if insn.rn != a64.SP else Value(0, ((Opaque(31, site, "entry"), 1),))
        if insn.mode == a64.OFFSET:
            return self._load_offset(site, insn, base)
        stride = 1 << insn.shift
        found: Value | None = None
        if base.constant is not None:
            ext = insn.ext if insn.ext in (a64.UXTW, a64.SXTW) else a64.LSL
            found = self._entry(site, insn, base.const, Index(insn.rm, site, ext), stride)
        else:
            other = self.operand(insn.rm, site, depth)
            if other.constant is not None and insn.shift == 0 and insn.rm != a64.ZR:
                found = self._entry(site, insn, other.const, Index(insn.rn, site, a64.LSL), 1)
            if found is None and insn.shift == 0 and insn.size > 1:
                found = self._scaled_index(site, insn, other, base, depth)
        if found is not None:
            return found
        return Value(0, ((Memory(insn.rn, 0, site, None, stride), 1),))

    def _scaled_index(self, site: int, insn: a64.Insn, other: Value, base: Value, depth: int) -> Value | None:
        """`[T, Xj]` with Xj already scaled, or the two the other way round."""
        for a, b in ((base, other), (other, base)):
            if a.constant is not None and len(b.terms) == 1 and b.const == 0:
                atom, c = b.terms[0]
                if isinstance(atom, Index):
                    return self._entry(site, insn, a.const, atom, c)
        return None

    def _load_offset(self, site: int, insn: a64.Insn, base: Value) -> Value:
        if base.constant is not None:
            return self._at(base.const + insn.imm & MASK64, site, insn)
        if base.const and len(base.terms) == 1 and isinstance(base.terms[0][0], Index):
            atom, c = base.terms[0]
            assert isinstance(atom, Index)
            found = self._entry(site, insn, base.const + insn.imm, atom, c)
            if found is not None:
                return found
        stride = next((c for a, c in base.terms if isinstance(a, Index)), 0)
        return Value(0, ((Memory(insn.rn, insn.imm, site, None, stride), 1),))

    def _entry(self, site: int, insn: a64.Insn, table: int, index: Index, stride: int) -> Value | None:
        table &= MASK64
        if stride != insn.size or self.image.segment(table) is None:
            return None
        v = Value(0, ((Entry(insn.size, insn.signed, table, ((site, index),)), 1),))
        return v if insn.wide or not insn.signed else extend(v, 32, False)
