"""Formats: a slot of eBPF, operands of the NFP, numbers of DWARF (stages 03, 20, 24)."""

from __future__ import annotations

import struct
from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if, inside
from bpfbench.course.exercises.offload import firmware
from bpfbench.course.exercises.support import first_difference, numbers, program
from bpfbench.course.plug import plugged
from bpfbench.debug.debugfile import describe
from bpfbench.debug.dwarf import Dwarf
from bpfbench.debug.dwarf import sleb as _sleb
from bpfbench.debug.dwarf import uleb as _uleb
from bpfbench.errors import MachineError
from bpfbench.isa.codec import decode
from bpfbench.isa.text import format_insn
from bpfbench.jit import nfp_emit
from bpfbench.jit.compile import compile_program
from bpfbench.machine.nfp_operands import Operand, operand, place

# A slot of eight bytes -----------------------------------------------------------------------------------------------

FIELDS: Final = 5


def _slot(answer: Any, raw: bytes, big: bool) -> list[int]:
    found = numbers(answer(raw, big), "what fields returns")
    if len(found) != FIELDS:
        raise Failed(f"fields returns (op, dst, src, off, imm), this is {found!r}"[:200])
    return found


def _wire_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "slot" in case:
        return _slot(answer, bytes.fromhex(case["slot"]), case["big"])

    def split(raw: bytes, at: int, big: bool) -> tuple[int, int, int, int]:
        op, dst, src, off, imm = _slot(answer, raw[at : at + 8], big)
        return op, (dst << 4 | src if big else src << 4 | dst), off, imm

    return inside("bpfbench.isa.codec._fields", split, lambda: decoded(case))


def decoded(case: Any) -> list[str]:
    insns = decode(bytes.fromhex(case["bytes"].replace(" ", "")), case["big"], strict=False)
    return [f"{format_insn(insn)}{' (' + insn.flaw + ')' if insn.flaw else ''}" for insn in insns if insn is not None]


def _wire(swapped: bool = False, unsigned: bool = False, one_order: bool = False, same_byte: bool = False) -> Any:
    """fields with one thing wrong; without options, the reference."""

    def found(raw: bytes, big: bool) -> list[int]:
        order = ">" if big and not one_order else "<"
        op, regs, off, imm = struct.unpack(f"{order}BB{'HI' if unsigned else 'hi'}", raw)
        low, high = regs & 15, regs >> 4
        dst, src = (high, low) if (big and not same_byte) != swapped else (low, high)
        return [op, dst, src, off, imm]

    return found


def wire_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for big in (False, True, False, True, False, True):
        made.append({"big": big, "slot": struct.pack(
            f"{'>' if big else '<'}BBhi", random.randrange(256), random.randrange(11) << 4 | random.randrange(11),
            random.randrange(-0x8000, 0x8000), random.randrange(-1 << 31, 1 << 31)).hex(" ")})  # fmt: skip
    text = (f"r6 = r1\nr2 = *(u32 *)(r6 +{random.randrange(4, 60)})\nr3 = {-random.randrange(1, 99999)}\n"
            f"*(u64 *)(r10 -{8 * random.randrange(1, 9)}) = r3\nif r2 > {random.randrange(5, 500)} goto +1\nr2 *= r3\n"
            f"r4 = {random.randrange(1 << 33, 1 << 60):#x} ll\nr0 = 0\nexit")  # fmt: skip
    raw = program(text).raw
    return [*made, {"big": False, "bytes": raw.hex(" ", 8)}]


def draw_wire(case: Any, wanted: Plain, got: Plain) -> str:
    if "slot" not in case:
        return first_difference(wanted, got)
    rows = [f"  {name:4} expected {w:<12} got {g}{'' if w == g else '   <-'}"
            for name, w, g in zip(("op", "dst", "src", "off", "imm"), wanted, got, strict=True)]
    return "\n".join([f"  {case['slot']}, {'big' if case['big'] else 'little'} endian", *rows])


# Operands of the NFP -------------------------------------------------------------------------------------------------


REFUSED: Final = "refused"
ASKED: Final = ("A", "B", "xfer", "const", "none")     # local memory has fields of its own
TEN_BITS: Final = 1 << 10


def _operands(answer: Any, left: str, right: str) -> list[int] | None:
    found = answer(left, right)
    if found == REFUSED:
        return None
    row = numbers(found, "what operands returns")
    if len(row) != 3:
        raise Failed(f"operands returns (field A, field B, swap) or 'refused', this is {found!r}"[:200])
    return row


def _place_step(answer: Any) -> Any:
    """The engine's operands with the bits that the answer gives them; those it is not asked about keep their own."""

    def step(left: Operand, right: Operand) -> tuple[Operand, Operand, bool]:
        row = _operands(answer, *(source.text if source.kind in ASKED else "--" for source in (left, right)))
        if row is None or row[2] not in (0, 1) or not all(0 <= bits < TEN_BITS for bits in row[:2]):
            raise MachineError(f"{left.text} and {right.text} cannot be read by one instruction")
        first, second = [source if source.kind not in ASKED else Operand(source.text, source.kind, bits)
                         for source, bits in zip((right, left) if row[2] else (left, right), row)]  # fmt: skip
        return first, second, bool(row[2])

    return step


def _operands_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "program" not in case:
        return _operands(answer, case["left"], case["right"]) or REFUSED
    nfp_emit.forget()
    try:
        return inside("bpfbench.machine.nfp_operands.place", _place_step(answer), lambda: firmware(case["program"]))
    finally:
        nfp_emit.forget()


def _engine_operands(left: str, right: str) -> list[int] | None:
    try:
        a, b, swap = place(operand(left), operand(right))
    except MachineError:
        return None
    return [a.bits, b.bits, int(swap)]


def _operands_expected(case: Any) -> Plain:
    return firmware(case["program"]) if "program" in case else _engine_operands(case["left"], case["right"]) or REFUSED


def _placed(swaps: bool = True, half: bool = False, marked: bool = True, refuses: bool = True,
            bit: bool = True) -> Any:  # fmt: skip
    """operands with one thing wrong."""

    def field(text: str) -> int:
        if text == "--":
            return 0
        if text.startswith("$xfer_"):
            return 0x180 | int(text[6:])
        return int(text[5:]) if text.startswith("gpr") else int(text, 0) | (0x300 if marked else 0)

    def mistaken(left: str, right: str) -> list[int] | str:
        kinds = [text[:4] if text.startswith("gpr") else text[:2] for text in (left, right)]
        kinds = ["const" if kind[0].isdigit() else kind for kind in kinds]
        if refuses and kinds[0] == kinds[1] != "--":
            return REFUSED
        swap = swaps and (kinds[0] == "gprB" or kinds[1] == "gprA" and not half)
        first, second = (right, left) if swap else (left, right)
        return [field(first), field(second), int(swap and bit)]

    return mistaken


def operand_cases(random: Random) -> list[Any]:
    def some(kind: str) -> str:
        return {"A": f"gprA_{random.randrange(32)}", "B": f"gprB_{random.randrange(32)}", "-": "--",
                "x": f"$xfer_{random.randrange(32)}", "c": hex(random.randrange(256))}[kind]  # fmt: skip

    pairs = ("AB", "BA", "Ac", "cA", "Bc", "cB", "AA", "BB", "xA", "Bx", "-B", "-A", "cc", "xx")
    made: list[Any] = [{"left": some(pair[0]), "right": some(pair[1])} for pair in pairs]
    names = random.sample(("r2", "r3", "r4", "r5"), 4)
    text = "\n".join([f"{name} = {random.randrange(1, 99)}" for name in names]
                     + [f"{names[i]} {random.choice(('+=', '-=', '^='))} {names[i + 1]}" for i in range(3)])
    return [*made, {"program": f"{text}\nr0 = {names[0]}\nr0 &= 1\nexit"}]


def draw_operands(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    lines = [f"  alu[dst, {case['left']}, op, {case['right']}]"]
    for said, row in (("expected", wanted), ("got", got)):
        text = row if row == REFUSED else f"A {row[0]:#05x}  B {row[1]:#05x}  swap {row[2]}"
        lines.append(f"  {said:9} {text}")
    return "\n".join(lines)


# Numbers of DWARF ----------------------------------------------------------------------------------------------------


def _encoded(answer: Any, value: int, signed: bool) -> bytes:
    found = answer(value, signed)
    if isinstance(found, (list, tuple)):
        found = bytes(found)
    if not isinstance(found, (bytes, bytearray)):
        raise Failed(f"leb128 returns bytes, this is {found!r}"[:200])
    if len(found) > 20:
        raise Failed(f"{len(found)} bytes for {value}: does it ever stop?")
    return bytes(found)


def sections(text: str) -> list[str]:
    """The debug information that is written for a program's code, 16 bytes a line."""
    prog = program(text)
    made = describe(compile_program(prog, "x86_64", "linux-6.12"), prog, 0x1000)
    parts = Dwarf(made.target, made.functions, made.rows, "prog", "").sections()
    return [f"{name:14} {at:4x}  {raw[at : at + 16].hex(' ')}" for name, raw in parts.items()
            for at in range(0, len(raw), 16)]  # fmt: skip


def _leb_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "program" not in case:
        return _encoded(answer, case["value"], case["signed"]).hex(" ")
    with plugged("bpfbench.debug.dwarf.uleb", lambda value: _encoded(answer, value, False)):
        with plugged("bpfbench.debug.dwarf.sleb", lambda value: _encoded(answer, value, True)):
            return sections(case["program"])


def _leb_expected(case: Any) -> Plain:
    if "program" in case:
        return sections(case["program"])
    return (_sleb if case["signed"] else _uleb)(case["value"]).hex(" ")


def _leb(early: bool = False, eighth: bool = False, upward: bool = False) -> Any:
    """leb128 with one thing wrong."""

    def mistaken(value: int, signed: bool) -> bytes:
        out: list[int] = []
        while True:
            byte, value = value & 0x7F, value >> 7
            sign = byte >> 6
            if signed and not early:
                done = value == -sign
            else:
                done = value in (0, -1) if signed else value == 0
            out.append(byte if done or eighth else byte | 0x80)
            if done or len(out) > 30:
                return bytes(out[::-1] if upward else out)

    return mistaken


def leb_cases(random: Random) -> list[Any]:
    values = [0, 1, 127, 128, random.randrange(200, 16_000), random.randrange(1 << 20, 1 << 40)]
    made: list[Any] = [{"value": value, "signed": False} for value in values]
    signed = [0, 63, 64, -1, -64, -65, random.randrange(-1 << 30, -200), random.randrange(64, 127)]
    made += [{"value": value, "signed": True} for value in signed]
    lines = [f"r{random.randrange(2, 6)} = {random.randrange(1 << 20)}" for _ in range(random.randrange(5, 30))]
    return [*made, {"program": "\n".join([*lines, "*(u64 *)(r10 -8) = 1", "r0 = 0", "exit"])}]


def draw_leb(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    lines = [f"  {case['value']}, {'signed' if case['signed'] else 'unsigned'}"]
    for said, text in (("expected", wanted), ("got", got)):
        lines.append(f"  {said:9} " + "  ".join(f"{byte >> 7}.{byte & 127:07b}" for byte in bytes.fromhex(text)))
    return "\n".join(lines)


_HERE: Final = "bpfbench.course.exercises.formats."
_SEALED: Final = tuple(_HERE + n for n in ("_wire", "_engine_operands", "_placed", "_leb", "_uleb", "_sleb"))

EXERCISES: Final = [
    Exercise("wire-format", "fields", "Eight bytes", 1, 2, "03 the eBPF machine and its encoding", "14",
             public=wire_cases(Random(45)), more=wire_cases, attempt=_wire_attempt,
             expected=lambda case: decoded(case) if "slot" not in case else _wire_attempt(_wire(), case), draw=draw_wire,
             mistakes=(("the destination is in the low half of the byte (on big endian in the high half)",
                        as_if(_wire_attempt, _wire(swapped=True))),
                       ("off and imm are signed", as_if(_wire_attempt, _wire(unsigned=True))),
                       ("on big endian the bytes of off and imm are the other way round",
                        as_if(_wire_attempt, _wire(one_order=True))),
                       ("on big endian the halves of the registers' byte change places",
                        as_if(_wire_attempt, _wire(same_byte=True)))),
             seals=("bpfbench.isa.codec._fields", *_SEALED)),
    Exercise("nfp-operands", "operands", "One register of each bank", 2, 4, "20 the NFP machine", "41-43",
             public=operand_cases(Random(46)), more=operand_cases, attempt=_operands_attempt,
             expected=_operands_expected, draw=draw_operands,
             mistakes=(("a register of bank B on the left has to be read through field B: swap",
                        as_if(_operands_attempt, _placed(swaps=False))),
                       ("a register of bank A on the right needs the swap, too, whatever is on the left",
                        as_if(_operands_attempt, _placed(half=True))),
                       ("the swap bit tells the machine that the operands have changed places",
                        as_if(_operands_attempt, _placed(bit=False))),
                       ("a constant is marked by 0x300", as_if(_operands_attempt, _placed(marked=False))),
                       ("two operands of the same kind cannot be read at once",
                        as_if(_operands_attempt, _placed(refuses=False)))),
             seals=("bpfbench.machine.nfp_operands.place", *_SEALED)),
    Exercise("dwarf-numbers", "leb128", "Numbers of any length", 2, 3, "24 debugging JITed code", "61",
             public=leb_cases(Random(47)), more=leb_cases, attempt=_leb_attempt, expected=_leb_expected, draw=draw_leb,
             mistakes=(("the last byte's bit 6 is the sign: 64 needs a second byte, or it would be read as -64",
                        as_if(_leb_attempt, _leb(early=True))),
                       ("bit 7 of every byte but the last says that more follow",
                        as_if(_leb_attempt, _leb(eighth=True))),
                       ("the lowest seven bits come first", as_if(_leb_attempt, _leb(upward=True)))),
             seals=("bpfbench.debug.dwarf.uleb", "bpfbench.debug.dwarf.sleb", *_SEALED)),
]  # fmt: skip
