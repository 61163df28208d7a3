"""Rows of the machines' manuals, and constants built from pieces (stage 18)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if, inside
from bpfbench.course.exercises.support import first_difference, program
from bpfbench.jit.a64_arithmetic import A64Arithmetic
from bpfbench.jit.compile import compile_program
from bpfbench.machine.a64 import ROWS, R
from bpfbench.machine.pattern import Encoding, Pattern
from bpfbench.machine.rv64 import RV64
from bpfbench.machine.x64 import NAMES64, X64
from bpfbench.machine.x86 import Form


def native(text: str, target: str, kernel: str = "linux-6.12", fault: str = "") -> list[str]:
    """The code generated for a program, a line per instruction: address, bytes, text."""
    code = compile_program(program(text), target, kernel, fault=fault)
    return [f"{p.addr:4x}  {p.raw.hex():24} {p.row.text(p.operands, code.machine.kinds, p.addr)}" for p in code.placed]


def forget(rows: list[Encoding]) -> None:
    """Empty the memory of encodings, before and after a student's function encodes."""
    for row in rows:
        row.cache.clear()


# Rows of the RISC-V manual -------------------------------------------------------------------------------------------

SIGNED: Final = {"sd": "imm", "beq": "imm", "jal": "imm"}
_SD, _BEQ, _JAL = RV64.row("sd"), RV64.row("beq"), RV64.row("jal")
MEANT: Final = ("bits", "mask", "value", "lows", "highs", "placed", "limits", "signed", "size")


def _patterns(answer: Any) -> dict[str, Pattern]:
    """The student's rows, read."""
    if not callable(answer):
        raise Failed(f"the answer must be a function that gives the rows, not {type(answer).__name__}")
    table = answer()
    if not isinstance(table, dict) or not all(isinstance(table.get(name), str) for name in SIGNED):
        raise Failed(f"rows() returns a dict with a text for each of {', '.join(SIGNED)}, this is {table!r}"[:200])
    return {name: Pattern(name, table[name], RV64.row(name).syntax, signed) for name, signed in SIGNED.items()}


@contextmanager
def _meaning(patterns: dict[str, Pattern]) -> Iterator[None]:
    """For the length of a `with`, the rows of the machine mean what these patterns say."""
    kept = {name: {slot: getattr(RV64.row(name), slot) for slot in MEANT} for name in patterns}
    forget(RV64.rows)
    try:
        for name, pattern in patterns.items():
            for slot in MEANT:
                setattr(RV64.row(name), slot, getattr(pattern, slot))
        yield
    finally:
        for name, slots in kept.items():
            for slot, held in slots.items():
                setattr(RV64.row(name), slot, held)
        forget(RV64.rows)


def _rows_attempt(answer: Any, case: Any) -> Plain:
    patterns = _patterns(answer)
    if "program" not in case:
        pattern = patterns[case["row"]]
        return f"{pattern.word(case['operands']):032b}"
    with _meaning(patterns):
        return native(case["program"], "riscv64")


def _rows_expected(case: Any) -> Plain:
    if "program" in case:
        return native(case["program"], "riscv64")
    return f"{int.from_bytes(RV64.row(case['row']).encode(case['operands']), 'little'):032b}"


def _row_was(name: str, bits: str) -> Callable[[Any, Plain, Plain], bool]:
    """Explains wrong words of one row by a wrong pattern."""
    pattern = Pattern(name, bits, RV64.row(name).syntax, SIGNED[name])

    def explains(case: Any, wanted: Plain, got: Plain) -> bool:
        return bool(case["row"] == name and got == f"{pattern.word(case['operands']):032b}")

    return explains


def _far_program(random: Random) -> str:
    """A long jump over instructions, branches in both directions, and stores that have no short form."""
    many = "\n".join(["r7 += 1000"] * random.randrange(20, 60))
    return (f"r6 = r1\n*(u64 *)(r10 -{8 * random.randrange(1, 30)}) = r6\nr7 = {random.randrange(1, 500)}\n"
            f"again: if r7 == r6 goto out\n{many}\n*(u64 *)(r10 -{8 * random.randrange(1, 30)}) = r7\n"
            f"if r7 == {random.randrange(1, 99)} goto again\ngoto out\n{many}\nout: r0 = 0\nexit")  # fmt: skip


def row_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for name, reach in (("sd", 11), ("beq", 12), ("jal", 20)):
        for _ in range(4):
            imm = random.randrange(-1 << reach, 1 << reach) & (-1 if name == "sd" else -2)
            made.append({"row": name, "operands": [random.randrange(32), *([imm] if name != "beq" else []),
                                                   *([random.randrange(32)] if name != "jal" else []),
                                                   *([imm] if name == "beq" else [])]})  # fmt: skip
    return made + [{"program": _far_program(random)} for _ in range(2)]


def draw_row(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    names = RV64.row(case["row"]).names
    marks = "".join(" " if w == g else "^" for w, g in zip(wanted, got, strict=True))
    what = ", ".join(f"{name} = {value}" for name, value in zip(names, case["operands"], strict=True))
    return f"  {what}\n  expected  {wanted}\n  got       {got}\n            {marks}"


# ModRM and SIB -------------------------------------------------------------------------------------------------------


def _tail(answer: Any, field: int, base: int, disp: int) -> bytes:
    found = answer(field, base, disp)
    if isinstance(found, (list, tuple)):
        found = bytes(found)
    if not isinstance(found, (bytes, bytearray)):
        raise Failed(f"memory_operand returns bytes, this is {found!r}"[:200])
    return bytes(found)


def _address_step(answer: Any) -> Any:
    def step(self: Any, out: bytearray, field: int, rm: int, base: int, index: int, operands: list[int]) -> None:
        if not self.displacement:
            out.append(0xC0 | field << 3 | rm & 7)
        elif self.displacement == "disp" and "index" not in self.slot:
            out += _tail(answer, field, base, operands[self.slot["disp"]])
        else:
            raise Failed(f"no program of this exercise needs {self.name}")

    return step


def _modrm_attempt(answer: Any, case: Any) -> Plain:
    if "program" not in case:
        return _tail(answer, case["reg"] & 7, case["base"], case["disp"]).hex(" ") if callable(answer) else answer
    forget(X64.rows)
    try:
        step = _address_step(answer) if callable(answer) else answer
        return inside("bpfbench.machine.x86.Form.address", step, lambda: native(case["program"], "x86_64"))
    finally:
        forget(X64.rows)


def _engine_operand(field: int, base: int, disp: int) -> bytes:
    out = bytearray()
    load = X64.row("load8")
    assert isinstance(load, Form)
    load.address(out, field, 0, base, 0, [0, base, disp])
    return bytes(out)


def _modrm_expected(case: Any) -> Plain:
    if "program" in case:
        return native(case["program"], "x86_64")
    return _engine_operand(case["reg"] & 7, case["base"], case["disp"]).hex(" ")


def _operand(sib: tuple[int, ...] = (4, 12), low: int = -128, high: int = 127, swapped: bool = False,
             always32: bool = False, none_for_0: bool = False) -> Any:  # fmt: skip
    """memory_operand with one thing wrong."""

    def mistaken(field: int, base: int, disp: int) -> bytes:
        short = low <= disp <= high and not always32
        mode = 0 if none_for_0 and not disp else 1 if short else 2
        first, second = (base & 7, field) if swapped else (field, base & 7)
        out = bytes([mode << 6 | first << 3 | second]) + (b"\x24" if base in sib else b"")
        size = (0, 1, 4)[mode]
        return out + (disp & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    return mistaken


def modrm_cases(random: Random) -> list[Any]:
    made: list[Any] = [{"reg": random.randrange(16), "base": base, "disp": disp} for base, disp in (
        (7, random.randrange(1, 100)), (5, -random.randrange(1, 128)), (4, 8), (12, random.randrange(200, 9999)),
        (13, 0), (3, 0), (6, 127), (6, 128), (7, -128), (15, -129), (12, -8), (random.randrange(16), -4096))]  # fmt: skip
    text = ("r6 = *(u64 *)(r1 +{})\nr7 = *(u32 *)(r1 +{})\n*(u64 *)(r10 -{}) = r6\n*(u32 *)(r10 -{}) = r7\n"
            "r2 = *(u64 *)(r7 +{})\nr3 = *(u8 *)(r8 -{})\nr0 = 0\nexit")  # fmt: skip
    for _ in range(2):
        made.append({"program": text.format(*(random.randrange(1, 400) for _ in range(6)))})
    return made


def draw_modrm(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    lines = [f"  [{NAMES64[case['base']]} {case['disp']:+d}], register field {case['reg'] & 7}"]
    for said, text in (("expected", wanted), ("got     ", got)):
        raw = bytes.fromhex(text)
        parts = f"mod {raw[0] >> 6:02b} reg {raw[0] >> 3 & 7:03b} rm {raw[0] & 7:03b}" if raw else "nothing"
        lines.append(f"  {said}  {text:24} {parts}{', then ' + raw[1:].hex(' ') if raw[1:] else ''}")
    return "\n".join(lines)


# A 64-bit constant on AArch64 ----------------------------------------------------------------------------------------

NAMES: Final = ("movz", "movn", "movk")
U64: Final = (1 << 64) - 1


def _pieces(answer: Any, value: int) -> list[list[Any]]:
    found = answer(value)
    try:
        rows: list[list[Any]] = [[str(name), int(part), int(shift)] for name, part, shift in found]
    except (TypeError, ValueError):
        raise Failed(f"build returns a list of (name, 16 bits, shift), this is {found!r}"[:200]) from None
    for name, part, shift in rows:
        if name not in NAMES or not 0 <= part < 1 << 16 or shift not in (0, 16, 32, 48):
            raise Failed(f"there is no instruction {name} with {part} and shift {shift}")
    return rows


def _constant_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "program" not in case:
        return _pieces(answer, int(case["value"], 16))

    def emit_imm64(self: Any, reg: int, value: int) -> None:
        if value >> 32 == 0:
            self.emit_imm(False, reg, value)
            return
        for name, part, shift in _pieces(answer, value):
            self.emit(R[name + ("s64" if shift else "64")], reg, part, *([shift] if shift else []))

    forget(ROWS)
    return inside("bpfbench.jit.a64_arithmetic.A64Arithmetic.emit_imm64", emit_imm64,
                  lambda: native(case["program"], "aarch64"))


class _Paper:
    """Just enough of a target for the engine to write a constant on."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []

    def emit(self, row: Encoding, *operands: int) -> None:
        self.rows.append([row.name[:4], operands[1], operands[2] if len(operands) > 2 else 0])

    def emit_movk(self, reg: int, part: int, shift: int) -> None:
        self.rows.append(["movk", part, shift])


def _engine_pieces(value: int) -> list[list[Any]]:
    paper: Any = _Paper()
    A64Arithmetic.emit_imm64(paper, 0, value)
    return list(paper.rows)


def _constant_expected(case: Any) -> Plain:
    return native(case["program"], "aarch64") if "program" in case else _engine_pieces(int(case["value"], 16))


def _built(inverse: bool | None = None, all_four: bool = False, upward: bool = False, plain_first: bool = False,
           ties: bool = False) -> Any:  # fmt: skip
    """build with one thing wrong."""

    def mistaken(value: int) -> list[list[Any]]:
        blocks = [(value >> s & 0xFFFF, s) for s in (0, 16, 32, 48)]
        more = sum(b == 0xFFFF for b, _ in blocks) - sum(b == 0 for b, _ in blocks)
        flip = inverse if inverse is not None else more >= 0 if ties else more > 0
        rest = 0xFFFF if flip else 0
        needed = [(b, s) for b, s in blocks if b != rest or all_four] or [blocks[0]]
        if not upward:
            needed = needed[::-1]
        first, shift = needed[0]
        start = first if plain_first else first ^ rest
        return [["movn" if flip else "movz", start, shift], *(["movk", b, s] for b, s in needed[1:])]

    return mistaken


def constant_value(random: Random) -> int:
    """A constant above 32 bits whose 16-bit blocks are often all zeros or all ones."""
    while True:
        blocks = [random.choice((0, 0xFFFF, random.randrange(1, 0xFFFF))) for _ in range(4)]
        value = sum(b << 16 * i for i, b in enumerate(blocks))
        if value >> 32 and value != U64:
            return value


def constant_cases(random: Random) -> list[Any]:
    fixed = [random.randrange(1, 0xFFFF) << 32, U64 ^ random.randrange(1, 0xFFFF) << 16, 0xFFFF << 48 | 0x1234 << 16]
    values = fixed + [constant_value(random) for _ in range(8)]
    made: list[Any] = [{"value": f"{value:#018x}"} for value in values]
    for _ in range(2):
        loads = [f"r{i} = {constant_value(random):#x} ll" for i in range(1, 5)]
        made.append({"program": "\n".join([*loads, f"r5 = {random.randrange(1, 1 << 31)} ll", "r0 = 0", "exit"])})
    return made


def _meant(rows: Plain) -> int:
    """What the instructions leave in the register."""
    value = 0
    for name, part, shift in rows:
        value = part << shift if name == "movz" else U64 ^ part << shift if name == "movn" else (
            value & ~(0xFFFF << shift) | part << shift)  # fmt: skip
    return value


def _too_long(case: Any, wanted: Plain, got: Plain) -> bool:
    return _meant(got) == int(case["value"], 16) and len(got) > len(wanted)


def draw_constant(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    lines = [f"  wanted in the register    {case['value']}"]
    for said, rows in (("expected", wanted), ("got", got)):
        for i, (name, part, shift) in enumerate(rows):
            text = f"{name} {part:#x}" + (f", lsl #{shift}" if shift else "")
            lines.append(f"  {said if not i else '':9} {text:24} {_meant(rows[: i + 1]):#018x}")
    return "\n".join(lines)


_HERE: Final = "bpfbench.course.exercises.machines."
_SEALED: Final = tuple(_HERE + n for n in ("_engine_operand", "_operand", "_engine_pieces", "_built", "_row_was"))

EXERCISES: Final = [
    Exercise("riscv-rows", "rows", "Three rows of the RISC-V manual", 2, 4, "18 code generation", "36",
             public=row_cases(Random(30)), more=row_cases, attempt=_rows_attempt, expected=_rows_expected,
             draw=draw_row,
             mistakes=(("the distance of jal is scattered: bit 20, then 10 to 1, then 11, then 19 to 12",
                        _row_was("jal", "imm[20:1] rd:5 1101111")),
                       ("bit 11 of a branch's distance is the lowest bit of the lower piece, not in the upper one",
                        _row_was("beq", "imm[12:6] rs2:5 rs1:5 000 imm[5:1] 1100011")),
                       ("rs2, what is stored, stands above rs1, where it is stored",
                        _row_was("sd", "imm[11:5] rs1:5 rs2:5 011 imm[4:0] 0100011")),
                       ("these are the bits of sw: a store of 8 bytes has 011 there",
                        _row_was("sd", "imm[11:5] rs2:5 rs1:5 010 imm[4:0] 0100011"))),
             seals=("bpfbench.machine.rv64._base", *_SEALED,
                    *(f"{_HERE}{row}.{slot}" for row in ("_SD", "_BEQ", "_JAL")
                      for slot in ("bits", "mask", "value", "placed", "cache")))),
    Exercise("x64-modrm", "memory_operand", "ModRM, SIB and a displacement", 2, 4, "18 code generation", "36",
             public=modrm_cases(Random(31)), more=modrm_cases, attempt=_modrm_attempt, expected=_modrm_expected,
             draw=draw_modrm,
             mistakes=(("register number 4 in the low field means that a SIB byte follows: rsp (and r12) need one",
                        as_if(_modrm_attempt, _operand(sib=()))),
                       ("r12 has the low bits of rsp, so it needs the SIB byte, too",
                        as_if(_modrm_attempt, _operand(sib=(4,)))),
                       ("the base is in the low three bits, the register field above it",
                        as_if(_modrm_attempt, _operand(swapped=True))),
                       ("a displacement of 8 bits is signed: -128 to 127",
                        as_if(_modrm_attempt, _operand(low=0, high=255))),
                       ("128 does not fit 8 signed bits", as_if(_modrm_attempt, _operand(high=128))),
                       ("-128 fits 8 signed bits", as_if(_modrm_attempt, _operand(low=-127))),
                       ("8 bits are enough for most displacements: mod 01",
                        as_if(_modrm_attempt, _operand(always32=True))),
                       ("Linux writes a displacement of 8 bits even if it is 0 (and for rbp and r13 it has to)",
                        as_if(_modrm_attempt, _operand(none_for_0=True)))),
             seals=("bpfbench.machine.x86.Form.address", *_SEALED)),
    Exercise("a64-constant", "build", "A 64-bit constant from 16-bit pieces", 3, 5, "18 code generation", "36",
             public=constant_cases(Random(32)), more=constant_cases, attempt=_constant_attempt,
             expected=_constant_expected, draw=draw_constant,
             mistakes=(("movn writes the complement of its 16 bits: give it the inverted piece",
                        as_if(_constant_attempt, _built(plain_first=True))),
                       ("from the highest piece that is needed down, not from the lowest up",
                        as_if(_constant_attempt, _built(upward=True))),
                       ("as many blocks of ones as of zeros: Linux then starts from zeros",
                        as_if(_constant_attempt, _built(ties=True))),
                       ("the value is right, and takes more instructions than it needs: start from ones where that "
                        "leaves fewer pieces", as_if(_constant_attempt, _built(inverse=False))),
                       ("the value is right, and takes more instructions than it needs: leave out the pieces that the "
                        "first instruction has already set", _too_long)),
             seals=("bpfbench.jit.a64_arithmetic.A64Arithmetic.emit_imm64", *_SEALED)),
]  # fmt: skip
