"""64-bit eBPF registers on a 32-bit machine: register pairs, some of them in memory.

A pair is a high and a low word.  Each word is a machine register (0, 1, …) or, where there are not enough of those, a
slot of the frame's scratch area (a negative offset from the frame register).  Every operation is then

    fetch    bring words that live in memory into a temporary pair
    operate  low word first, high word with the carry
    put      write the result back to where the eBPF register lives

A machine says how to move words (`load_word` … `constant`) and how to operate on them; where words live, and the moves
of the eBPF machine that follow from it, are here.

Sources: slide 43 ("must use register pair to model eBPF register"); arch/arm/net/bpf_jit_32.c (arm_bpf_get_reg64,
arm_bpf_put_reg64, emit_a32_mov_r64).
"""

from __future__ import annotations

from typing import ClassVar, final

from mypy_extensions import mypyc_attr

from bpfbench.jit.target import Target


@final
class Pair:
    """Where the two halves of a 64-bit value live: a register number, or a negative offset in the scratch area.

    >>> Pair(1, 0).stacked, Pair(-4, -8).stacked
    (False, True)
    """

    __slots__ = ("hi", "lo")

    def __init__(self, hi: int, lo: int) -> None:
        self.hi = hi
        self.lo = lo

    @property
    def stacked(self) -> bool:
        return self.lo < 0

    def __repr__(self) -> str:
        return f"Pair(hi={self.hi}, lo={self.lo})"


@mypyc_attr(allow_interpreted_subclasses=True)
class PairTarget(Target):
    """A target whose eBPF registers are pairs.

    `pairs`  where each eBPF register lives      `temp1`, `temp2`  pairs of machine registers free for use
    """

    pairs: ClassVar[list[Pair]]
    temp1: ClassVar[Pair]
    temp2: ClassVar[Pair]

    # ----------------------------------------------------------------------------------------- what the machine says
    def load_word(self, reg: int, slot: int) -> None:
        """reg = the scratch word at `slot`."""
        raise NotImplementedError

    def store_word(self, reg: int, slot: int) -> None:
        raise NotImplementedError

    def load_words(self, regs: Pair, slots: Pair) -> None:
        """Both words at once."""
        raise NotImplementedError

    def store_words(self, regs: Pair, slots: Pair) -> None:
        raise NotImplementedError

    def copy_word(self, rd: int, rs: int) -> None:
        """rd = rs, machine registers."""
        raise NotImplementedError

    def constant(self, rd: int, value: int) -> None:
        """rd = a 32-bit number."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------ fetch and put
    def word(self, at: int, temp: int) -> int:
        """The register that holds the word at `at`: itself, or `temp` after a load."""
        if at >= 0:
            return at
        self.load_word(temp, at)
        return temp

    def words(self, pair: Pair, temp: Pair) -> Pair:
        """The registers that hold `pair`: itself, or `temp` after a load."""
        if not pair.stacked:
            return pair
        self.load_words(temp, pair)
        return temp

    def put_word(self, at: int, reg: int) -> None:
        """Write `reg` to where the word at `at` lives."""
        if at < 0:
            self.store_word(reg, at)
        elif at != reg:
            self.copy_word(at, reg)

    def put_words(self, pair: Pair, regs: Pair) -> None:
        if pair.stacked:
            self.store_words(regs, pair)
            return
        if pair.lo != regs.lo:
            self.copy_word(pair.lo, regs.lo)
        if pair.hi != regs.hi:
            self.copy_word(pair.hi, regs.hi)

    def set_word(self, at: int, value: int) -> None:
        """The word at `at` = a number."""
        if at < 0:
            self.constant(self.temp1.lo, value)
            self.store_word(self.temp1.lo, at)
        else:
            self.constant(at, value)

    def set_words(self, pair: Pair, value: int) -> None:
        """`pair` = a 64-bit number."""
        regs = self.temp1 if pair.stacked else pair
        self.constant(regs.lo, value & 0xFFFF_FFFF)
        self.constant(regs.hi, value >> 32 & 0xFFFF_FFFF)
        self.put_words(pair, regs)

    def set_signed(self, pair: Pair, imm: int, wide: bool) -> None:
        """`pair` = a 32-bit immediate, its sign in the upper word if `wide`, else 0."""
        self.set_words(pair, imm & 0xFFFF_FFFF_FFFF_FFFF if wide else imm & 0xFFFF_FFFF)

    def clear_high(self, pair: Pair) -> None:
        """The upper word of a 32-bit result, unless the program has an instruction for that."""
        if not self.unit.zext_inserted:
            self.set_word(pair.hi, 0)

    def copy_words(self, dst: Pair, src: Pair) -> None:
        """dst = src, by way of a temporary pair if both live in memory."""
        if src.stacked:
            regs = self.temp1 if dst.stacked else dst
            self.load_words(regs, src)
            if dst.stacked:
                self.store_words(regs, dst)
        elif dst.stacked:
            self.store_words(src, dst)
        else:
            self.copy_word(dst.hi, src.hi)
            self.copy_word(dst.lo, src.lo)

    # ----------------------------------------------------------------------------------------------------------- moves
    def mov_reg(self, wide: bool, dst: int, src: int) -> None:
        to, source = self.pairs[dst], self.pairs[src]
        if wide:
            self.copy_words(to, source)
            return
        self.put_word(to.lo, self.word(source.lo, self.temp1.hi))
        self.clear_high(to)

    def mov_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.set_signed(self.pairs[dst], imm, wide)

    def mov_wide(self, dst: int, value: int) -> None:
        self.set_words(self.pairs[dst], value)

    def zext(self, dst: int, src: int) -> None:
        if dst != src:
            self.put_word(self.pairs[dst].lo, self.word(self.pairs[src].lo, self.temp1.hi))
        self.set_word(self.pairs[dst].hi, 0)

    # ------------------------------------------------------------------------------------------------------ arithmetic
    def alu_words(self, fn: int, wide: bool, dst: Pair, src: Pair) -> None:
        """dst = dst fn src, any operation but division and 64-bit multiplication and shifts."""
        raise NotImplementedError

    def alu_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.alu_words(fn, wide, self.pairs[dst], self.pairs[src])

    def alu_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        self.set_signed(self.temp2, imm, wide)
        self.alu_words(fn, wide, self.pairs[dst], self.temp2)
