"""Writing instructions of the micro-engine: text in, words out, and the names of registers.

Every eBPF register is a pair of general registers, low half in number 2r and upper half in 2r+1, kept alike in both
banks so that two operands can always be read at once:

    R3 = gprA_6 / gprB_6 (bits 31..0)   gprA_7 / gprB_7 (bits 63..32)

`gprX_n` as a destination means both banks.  Source: `emit_alu` and its neighbours in the driver's bpf/jit.c.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, final

from bpfbench.jit import nfp_link
from bpfbench.machine import nfp, nfp_assembler, nfp_operands
from bpfbench.machine.nfp_assembler import HALF_WORD, immed

U32: Final = 0xFFFFFFFF
PACKET_LENGTH: Final = "gprB_22"
STACK: Final = "gprA_22"
TEMP_A: Final = "gprA_21"       # also the return address of a bpf-to-bpf call
TEMP_B: Final = "gprB_21"
SWAP: Final = "ctx_swap[sig1]"
BOTH_BANKS: Final = "gprX_"
NAMES_A: Final = [f"gprA_{register}" for register in range(32)]
NAMES_B: Final = [f"gprB_{register}" for register in range(32)]
NAMES_BOTH: Final = [f"gprX_{register}" for register in range(32)]
CONSTANTS: Final = [f"{value:#x}" for value in range(256)]
IN_BANK_A: Final[dict[str, str]] = dict(zip(NAMES_BOTH, NAMES_A))
ADDRESS: Final = nfp.FORMAT["br"].fields["addr"]        # where every branch has it
ADDRESS_BITS: Final[int] = ADDRESS.put(nfp.CODE_STORE - 1)
NOP: Final[int] = nfp_assembler.assemble("nop")
REMEMBERED: Final = 1 << 14     # distinct texts


@lru_cache(maxsize=REMEMBERED)
def encode(text: str) -> int:
    """The word of an instruction, written to both banks where the text says so."""
    if BOTH_BANKS in text:
        text = text.replace(BOTH_BANKS, "gprA_", 1) + ", gpr_wrboth"
    return nfp_assembler.assemble(text)


def forget() -> None:
    """Assemble everything anew, as in a new process."""
    encode.cache_clear()
    nfp_operands.forget()


def a(register: int) -> str:
    return NAMES_A[register]


def b(register: int) -> str:
    return NAMES_B[register]


def both(register: int) -> str:
    return NAMES_BOTH[register]


def banks(dst: str) -> tuple[str, bool]:
    """The register that the word names as its destination, and whether the other bank is written too."""
    in_a = IN_BANK_A.get(dst)
    return (dst, False) if in_a is None else (in_a, True)


def xfer(number: int) -> str:
    return f"$xfer_{number}"


def set_target(word: int, target: int) -> int:
    """A branch with another destination."""
    return word & ~ADDRESS_BITS | ADDRESS.put(target)


@final
class Label:
    """A place in the code, known once `Writer.bind` has been called."""

    __slots__ = ("at", "uses")

    def __init__(self) -> None:
        self.at = -1
        self.uses: list[int] = []


@final
class Writer:
    """The words so far; every method appends."""

    __slots__ = ("words",)

    def __init__(self) -> None:
        self.words: list[int] = []

    @property
    def here(self) -> int:
        return len(self.words)

    def emit(self, text: str, kind: int = nfp_link.NONE) -> None:
        self.words.append(kind << nfp_link.TYPE_SHIFT | encode(text))

    def alu(self, dst: str, left: str, op: str, right: str) -> None:
        """The form of most instructions, so it goes without text."""
        register, both_banks = banks(dst)
        self.words.append(nfp_assembler.alu(register, left, op, right, both_banks))

    def mov(self, dst: str, src: str) -> None:
        self.alu(dst, "--", "B", src)

    def shift(self, dst: str, left: str, op: str, right: str, amount: str) -> None:
        self.emit(f"alu_shf[{dst}, {left}, {op}, {right}, {amount}]")

    def double(self, dst: str, high: str, low: str, amount: str) -> None:
        self.emit(f"dbl_shf[{dst}, {high}, {low}, {amount}]")

    def field(self, dst: str, mask: int, src: str, shift: int = 0, clear: bool = False, rotate: int = 0) -> None:
        """Bytes of `mask` from `src` moved by `shift` bits, to the right when positive."""
        moved = f", >>rot{rotate}" if rotate else f", >>{shift}" if shift > 0 else f", <<{-shift}" if shift else ""
        name = "ld_field_w_clr" if clear else "ld_field"
        if dst.startswith(BOTH_BANKS) and src.startswith("gprA_"):  # the destination is a source too: bank B then
            self.emit(f"{name}[gprB_{dst[5:]}, {mask:04b}, {src}{moved}], gpr_wrboth")
        else:
            self.emit(f"{name}[{dst}, {mask:04b}, {src}{moved}]")

    def nops(self, count: int) -> None:
        for _ in range(count):
            self.words.append(NOP)

    # ---------------------------------------------------------------------------------------------------- constants
    def const(self, dst: str, value: int) -> None:
        """A constant of 32 bits in one instruction where 16 bits of it or of its complement suffice, else in two."""
        value &= U32
        register, both_banks = banks(dst)
        for invert in (0, U32):
            field = value ^ invert
            for shift in (0, 8, 16):
                if field & ~(0xFFFF << shift) & U32 == 0:
                    self.words.append(immed(register, field >> shift, shift, invert != 0, both_banks=both_banks))
                    return
        self.words.append(immed(register, value & 0xFFFF, both_banks=both_banks))
        self.words.append(immed(register, value >> 16, 16, width=HALF_WORD, both_banks=both_banks))

    def operand(self, value: int, temp: str = TEMP_B, limit: int = 255) -> str:
        """A constant as an operand: inline when small, else loaded into `temp`."""
        value &= U32
        if value <= limit:
            return CONSTANTS[value]
        self.const(temp, value)
        return temp

    def short(self, value: int, temp: str = TEMP_B) -> str:
        """The same for an operand field of eight bits."""
        return self.operand(value, temp, 127)

    def amount_of(self, register: str, sign: str = "0x0") -> None:
        """The next indirect shift takes its amount from `register`, an arithmetic one its sign from `sign`."""
        self.alu("--", register, "OR", sign)

    # -------------------------------------------------------------------------------------------------- control flow
    def branch(self, condition: str, label: Label, defer: int = 0, operands: str = "") -> None:
        label.uses.append(self.here)
        slots = f", defer[{defer}]" if defer else ""
        self.emit(f"{condition}[{operands}.{max(label.at, 0)}]{slots}", nfp_link.BR_REL)

    def bind(self, label: Label) -> None:
        label.at = self.here
        for at in label.uses:
            self.words[at] = set_target(self.words[at], label.at)

    def leave(self, kind: int, condition: str = "br", defer: int = 0, helper: int = 0) -> None:
        """A branch that only the linker can resolve."""
        slots = f", defer[{defer}]" if defer else ""
        self.emit(f"{condition}[.{nfp_link.PLACEHOLDER + helper}]{slots}", kind)

    # ------------------------------------------------------------------------------------------------ memory commands
    def command(
        self, name: str, base: str, off: str, count: int, first: int = 0, length: int = 0, tail: str = SWAP
    ) -> None:
        """`count` units from transfer register `first`; with `length` the count is overridden, as it exceeds 3 bits."""
        override = f", {tail}" if tail else ""
        if length:
            override = ", indirect_ref" + override
        self.emit(f"mem[{name}, {xfer(first)}, {base}, {off}, {((count - 1) & 7) + 1}]{override}")

    def override(self, length: int) -> None:
        """The next command moves `length` units."""
        self.const("--", 0x80 | (length - 1) << 8)


def words(size: int) -> int:
    """Transfer registers for that many bytes."""
    return (size + 3) // 4


def map_address(w: Writer, register: int, off: str) -> tuple[str, str]:
    """(low, high) of the pointer to a map value in a pair, plus an offset."""
    if off == "0x0":
        return a(register), b(register + 1)
    w.alu(TEMP_A, a(register), "+", off)
    w.alu(TEMP_B, b(register + 1), "+carry", "0x0")
    return TEMP_A, TEMP_B
