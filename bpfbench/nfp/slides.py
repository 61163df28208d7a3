"""The examples of slides 43, 45, 46 and 52-59: their text, letter by letter, and what bpfbench makes of it.

`SLIDES[number]` holds the text.  The functions below produce it again from the machinery that it describes:

    43      lines of NFP code         `machine_lines`   the assembler and back;  `frame_program` generates them
    45-47   cal_align4                `copy_program`    in a program that the verifier takes, scheduled and in order
    52-54   cal, as pseudo code       `pseudo`          registers r2n and r2n+1 for register n, with and without halves
    56-59   the define-use chains     `chains_table`    definitions, uses, and the waves in which halves die

Two habits of the slides: they write `(r2 + 28)` where the kernel writes `(r2 +28)`, and the last operand of a memory
command is the number of words less one, as it is encoded, where the NFP's disassembler prints the number.
"""

from __future__ import annotations

import re
from typing import Final, final

from bpfbench.errors import NotSupported, Where
from bpfbench.isa import ops
from bpfbench.isa.text import format_insn
from bpfbench.machine.nfp_assembler import assemble
from bpfbench.machine.nfp_text import disassemble
from bpfbench.nfp.defuse import reads, writes
from bpfbench.nfp.notes import Note, Step, steps_of
from bpfbench.nfp.width32 import Width
from bpfbench.program.program import Program, from_assembly


@final
class Slide:
    """The parts of a slide, "" for what it does not have: C, BPF, what a JIT makes of it."""

    __slots__ = ("number", "title", "c", "bpf", "native")

    def __init__(self, number: int, title: str, c: str = "", bpf: str = "", native: str = "") -> None:
        self.number = number
        self.title = title
        self.c = c.strip("\n")
        self.bpf = bpf.strip("\n")
        self.native = native.strip("\n")

    def __str__(self) -> str:
        return "\n\n".join(part for part in (f"slide {self.number}: {self.title}", self.c, self.bpf, self.native) if part)

    def __repr__(self) -> str:
        return f"Slide({self.number}, {self.title!r})"


OFFSETS_IN_ORDER: Final = (28, 24, 20, 16, 12, 8, 4, 0)
OFFSETS_SCHEDULED: Final = (28, 24, 16, 12, 20, 4, 0, 8)


def copy_lines(offsets: tuple[int, ...]) -> str:
    return "\n".join(f"r3 = *(u32 *)(r2 + {at})\n*(u32 *)(r1 + {at}) = r3" for at in offsets)


CAL_ALIGN4: Final = """
void
cal_align4(int *a, int *b)
{
memcpy(a, b, 32);

}
"""
CAL: Final = """
void cal(unsigned int *a,
unsigned int *b,
unsigned int *c)

{
unsigned int sum = *a + *b;

*c = sum;
}
"""
CAL_64: Final = """
r1 = *(u32 *)(r1 + 0)
r2 = *(u32 *)(r2 + 0)
r2 += r1
*(u32 *)(r3 + 0) = r2
exit
"""
CAL_32: Final = """
w1 = *(u32 *)(r1 + 0)
w2 = *(u32 *)(r2 + 0)
w2 += w1
*(u32 *)(r3 + 0) = w2
exit
"""
BULK: Final = """
mem[read32_swap, $xfer_0, gprA_2, 0xc, 7]
alu[$xfer_0, --, B, $xfer_0]
...
mem[write32_swap, $xfer_0, gprA_5, 0xc, 7]
"""

_ALL: Final = (
    Slide(43, "one instruction becomes another", bpf="""
r3 += 1
if r0 < r1 goto L1
r4 = *(u8 *)(r2 - 8)
goto L2
""", native="""
alu[*l$index0[2], --, B, gprB_5]
immed[gprA_4, 0x99], gpr_wrboth
ld_field[*l$index0, 1000, gprB_4, <<24]
alu[gprA_6, gprA_6, +, 0xc], gpr_wrboth
"""),
    Slide(45, "memcpy, expanded and put together again", CAL_ALIGN4, copy_lines(OFFSETS_IN_ORDER), BULK),
    Slide(46, "the copy as LLVM schedules it", bpf=copy_lines(OFFSETS_SCHEDULED)),
    Slide(47, "the copy in order, and r3 afterwards", bpf=copy_lines(OFFSETS_IN_ORDER)),
    Slide(52, "sub-registers, on a machine that has them", CAL, CAL_64, """
ld4u r1, [r1, 0]
ld4u r2, [r2, 0]
addu r2, r2, r1
st4 [r3, 0], r2
ret
"""),
    Slide(53, "the price of pairs", CAL, CAL_64, """
ld4 r2, [r2, 0]
mov r3, 0
ld4 r4, [r4, 0]
mov r5, 0
add r4, r4, r2
addc r5, r5, r3
st4 [r6, 0], r4
ret
"""),
    Slide(54, "solution 1: 32-bit instructions", CAL, CAL_32, """
ld4 r2, [r2, 0]
ld4 r4, [r4, 0]
add r4, r4, r2
st4 [r6, 0], r4
ret
"""),
    Slide(56, "solution 2: define-use chains", bpf=CAL_64),
    Slide(57, "solution 2: seeds, then backwards", bpf=CAL_64),
    Slide(58, "solution 2: the sum", bpf=CAL_64),
    Slide(59, "solution 2: what the sum is made of", bpf=CAL_64),
)  # fmt: skip
SLIDES: Final = {slide.number: slide for slide in _ALL}


# --------------------------------------------------------------------------------------------------------- BPF and back
def cal() -> Program:
    """The function of slides 52-59; its pointers come from nowhere, so that no verifier takes it."""
    return from_assembly(CAL_64, type="xdp", name="cal")


def cal_alu32() -> Program:
    """The same with 32-bit instructions: a load into w1 is the load into r1, which clears the rest anyway."""
    text = re.sub(r"^w(\d) = \*", r"r\1 = *", CAL_32, flags=re.MULTILINE)
    return from_assembly(re.sub(r"\) = w", ") = r", text), type="xdp", name="cal")


def written(program: Program, sub_registers: bool = False) -> str:
    """The program as the slides write it; `sub_registers` with w for what loads and stores of four bytes move.

    >>> written(cal()) == SLIDES[53].bpf, written(cal_alu32(), True) == SLIDES[54].bpf
    (True, True)
    """
    lines = []
    for insn in program.insns:
        if insn is None:
            continue
        line = re.sub(r"\((r\d+) ([+-])(\d+)\)", r"(\1 \2 \3)", format_insn(insn))
        if sub_registers and insn.kind == ops.LDX:
            line = "w" + line[1:]
        if sub_registers and insn.kind == ops.STX:
            line = re.sub(r"= r(\d+)$", r"= w\1", line)
        lines.append(line)
    return "\n".join(lines)


SETUP: Final = """
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
r2 = r6
r2 += 128
if r2 > r7 goto out
r2 = r6
r1 = r6
r1 += 64
"""


def copy_program(offsets: tuple[int, ...] = OFFSETS_IN_ORDER, live: bool = False) -> Program:
    """`cal_align4` on a packet: from its start (r2) to byte 64 (r1); with `live` r3 is read afterwards (slide 47)."""
    after = "*(u32 *)(r1 + 60) = r3\n" if live else ""
    return from_assembly(f"{SETUP}{copy_lines(offsets)}\n{after}out: r0 = 2\nexit", type="xdp", name="cal_align4")


def frame_program() -> Program:
    """A program whose code holds the four lines of slide 43 in their order: a frame of twelve bytes, r2 and r3."""
    return from_assembly("""
        r2 = 7
        r3 = 1
        *(u32 *)(r10 - 12) = r2
        *(u64 *)(r10 - 8) = r2
        r2 = 153
        *(u8 *)(r10 - 9) = r2
        r3 += 12
        r4 = *(u64 *)(r10 - 8)
        r4 >>= 1
        r0 = 2
        exit
    """, type="xdp", name="slide_43")  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ NFP lines
def as_encoded(line: str) -> str:
    """The disassembler's text in the slides' notation.

    >>> as_encoded("mem[read32_swap, $xfer_0, gprA_2, 0xc, 8], ctx_swap[sig1]")
    'mem[read32_swap, $xfer_0, gprA_2, 0xc, 7]'
    """
    if not line.startswith("mem["):
        return line
    return re.sub(r"(\d+)\].*$", lambda m: f"{int(m[1]) - 1}]", line)


def machine_lines(number: int) -> list[tuple[int, str]]:
    """The NFP lines of a slide as words, with what the disassembler says of them, again as the slide writes it."""
    found = []
    for line in SLIDES[number].native.splitlines():
        if "[" in line:
            text = re.sub(r"(\d+)\]$", lambda m: f"{int(m[1]) + 1}], ctx_swap[sig1]", line) if line[:4] == "mem[" else line
            word = assemble(text)
            found.append((word, as_encoded(disassemble(word))))
    return found


# ---------------------------------------------------------------------------------------------------------- pseudo code
NAMES: Final = {ops.ADD: ("add", "addc"), ops.SUB: ("sub", "subc"), ops.AND: ("and", "and"), ops.OR: ("or", "or"),
                ops.XOR: ("xor", "xor")}  # fmt: skip


def list_of(program: Program) -> list[Step]:
    return steps_of(program.insns, [Note() for _ in program.insns])


def pseudo(steps: list[Step], pairs: bool = True) -> str:
    """The slides' pseudo code: register n is r2n with r2n+1 above it; without `pairs` one register of 64 bits.

    >>> pseudo(list_of(cal())) == SLIDES[53].native, pseudo(list_of(cal()), pairs=False) == SLIDES[52].native
    (True, True)
    """
    return "\n".join(line for s in steps if not s.removed for line in (_pair(s) if pairs else [_single(s)]))


def _pair(s: Step) -> list[str]:
    insn, kind = s.insn, s.insn.kind
    d, r = 2 * insn.dst, 2 * insn.src
    if kind == ops.LDX:
        above = [f"mov r{d + 1}, 0"] if s.zext and s.wide else []
        return [f"ld{s.width} r{d}, [r{r}, {insn.off}]", *above]
    if kind == ops.STX:
        return [f"st{s.width} [r{d}, {insn.off}], r{r}"]
    if kind in (ops.ALU64, ops.ALU32) and insn.op.fn in NAMES and not insn.op.imm:
        low, high = NAMES[insn.op.fn]
        lines = [f"{low} r{d}, r{d}, r{r}"]
        if kind == ops.ALU64 and s.wide:
            lines.append(f"{high} r{d + 1}, r{d + 1}, r{r + 1}")
        elif kind == ops.ALU32 and s.zext and s.wide:
            lines.append(f"mov r{d + 1}, 0")
        return lines
    if kind == ops.EXIT:
        return ["ret"]
    raise NotSupported("pseudo code for this instruction", Where(pc=s.pc))


def _single(s: Step) -> str:
    insn, kind = s.insn, s.insn.kind
    if kind == ops.LDX:
        return f"ld{s.width}u r{insn.dst}, [r{insn.src}, {insn.off}]"
    if kind == ops.STX:
        return f"st{s.width} [r{insn.dst}, {insn.off}], r{insn.src}"
    if kind == ops.ALU64 and insn.op.fn in NAMES and not insn.op.imm:
        return f"{NAMES[insn.op.fn][0]}u r{insn.dst}, r{insn.dst}, r{insn.src}"
    if kind == ops.EXIT:
        return "ret"
    raise NotSupported("pseudo code for this instruction", Where(pc=s.pc))


# ------------------------------------------------------------------------------------------------------ define-use chains
def chains_table(steps: list[Step]) -> list[tuple[str, str, str, int]]:
    """The picture of slides 56-59: per instruction what it defines and uses, and the wave in which the upper half of
    its definition dies: 0 when a use needs it, or when nothing is defined.

    >>> for row in chains_table(list_of(cal())): print(row)
    ('r1', 'r1', '', 2)
    ('r2', 'r2', '', 2)
    ('r2', 'r2', 'r1', 1)
    ('', 'r3', 'r2', 0)
    ('', 'r0', '', 0)
    """
    wave_of = {place[0]: number for number, wave in enumerate(Width(steps).waves(), 1) for place in wave}
    rows = []
    for at, s in enumerate(steps):
        defined = "".join(f"r{register}" for register in writes(s)[:1])
        used = [f"r{register}" for register in reads(s)] + ["", ""]
        rows.append((defined, used[0], used[1], wave_of.get(at, 0) if defined else 0))
    return rows
