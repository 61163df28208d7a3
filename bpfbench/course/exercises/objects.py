"""Object files: what the references of instructions mean (stage 04)."""

from __future__ import annotations

import struct
from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.support import first_difference
from bpfbench.course.plug import plugged
from bpfbench.elf import load
from bpfbench.elf.elf import Symbol
from bpfbench.elf.relocs import R_BPF_64_32, R_BPF_64_64
from bpfbench.elf.writer import Writer
from bpfbench.isa.text import format_insn

CALL, WIDE = 0x85, 0x18
MAP: Final = struct.pack("<IIIII", 1, 4, 8, 16, 0)
EXIT: Final = struct.pack("<BBhi", 0x95, 0, 0, 0)

# References ----------------------------------------------------------------------------------------------------------


def _place(answer: Any, insn: str, imm: int, symbol: dict[str, Any]) -> int:
    found = answer(insn, imm, dict(symbol))
    if type(found) is not int:
        raise Failed(f"refers returns a number, this is {found!r}"[:200])
    if not -1 << 31 <= found < 1 << 31:
        raise Failed(f"{found} is in no section")
    return found


def _symbols_step(answer: Any) -> Any:
    """References, resolved by the answer, are written anew as distances from the start of the section."""

    def step(self: Any) -> None:
        for piece in self.tables.pieces:
            for slot, (symbol, kind) in list(piece.relocations.items()):
                code, _, _, imm = struct.unpack_from("<BBhi", piece.code, 8 * slot)
                section = self.elf.sections[symbol.section].name
                said = {"kind": symbol.type, "value": symbol.value, "section": section}
                at = _place(answer, "call" if code == CALL else "load", imm, said)
                struct.pack_into("<i", piece.code, 8 * slot + 4, at - 1 if code == CALL else at)
                new = Symbol(symbol.index, section, 0, 0, "LOCAL", "SECTION", "DEFAULT", symbol.section)
                piece.relocations[slot] = new, kind

    return step


def _refers_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "symbol" in case:
        return _place(answer, case["insn"], case["imm"], case["symbol"])
    with plugged("bpfbench.elf.loader.Loader._kernel_symbols", _symbols_step(answer)):
        return linked(case)


def linked(case: Any) -> list[str]:
    """The program that an object becomes, with the names of its maps."""
    prog = load(an_object(Random(case["number"])), name="object.o").programs["main"]
    names = [f"map[{i}] is {spec.name}" for i, spec in enumerate(prog.maps)]
    return [format_insn(insn) for insn in prog.insns if insn is not None] + names


def _refers(first: int = 1, in_bytes: bool = False, addend: bool = True, load_slots: bool = False) -> Any:
    """refers with one thing wrong; without options, the reference."""

    def found(insn: str, imm: int, symbol: dict[str, Any]) -> int:
        value = int(symbol["value"])
        if insn == "call":
            return (value if in_bytes else value // 8) + (imm + first if addend else 0)
        return value + (0 if not addend else 8 * imm if load_slots else imm)

    return found


def _refers_expected(case: Any) -> Plain:
    return linked(case) if "symbol" not in case else _place(_refers(), case["insn"], case["imm"], case["symbol"])


def reference(random: Random, insn: str, section: str, size: int, step: int) -> dict[str, Any]:
    """A reference to a place in a section: by the symbol of the thing, or by the section and a distance."""
    at = random.randrange(0, size // step) * step
    by_section = random.random() < 0.5
    value = 0 if by_section else at
    if insn == "call":
        imm = at // 8 - 1 if by_section else -1
    else:
        imm = at if by_section else 0
        if section == ".rodata" and not by_section and at:
            value, imm = at - step, step                             # an element of an array
    kind = "SECTION" if by_section else "FUNC" if insn == "call" else "OBJECT"
    return {"insn": insn, "imm": imm, "symbol": {"kind": kind, "value": value, "section": section}}


def an_object(random: Random) -> bytes:
    """An object with a program that calls functions of .text, and names maps and data."""
    writer = Writer()
    functions, maps = random.randrange(2, 5), random.randrange(2, 5)
    rows = [reference(random, "call", ".text", 16 * functions, 16) for _ in range(3)]
    rows += [reference(random, "load", "maps", 20 * maps, 20) for _ in range(3)]
    rows += [reference(random, "load", ".rodata", 64, 4) for _ in range(3)]
    random.shuffle(rows)
    code, at = b"", []
    for number, row in enumerate(rows):
        at.append(len(code))
        if row["insn"] == "call":
            code += struct.pack("<BBhi", CALL, 0x10, 0, row["imm"])
        else:
            code += struct.pack("<BBhiBBhi", WIDE, number % 6 + 1, 0, row["imm"], 0, 0, 0, 0)
    text = b"".join(struct.pack("<BBhi", 0xB7, 0, 0, number) + EXIT for number in range(functions))
    sections = {"xdp": writer.section("xdp", code + EXIT, flags=6), ".text": writer.section(".text", text, flags=6),
                "maps": writer.section("maps", MAP * maps, flags=3),
                ".rodata": writer.section(".rodata", random.randbytes(64), flags=2)}  # fmt: skip
    writer.symbol("main", sections["xdp"], 0, len(code) + 8, "GLOBAL", "FUNC")
    named = {(".text", 16 * i): writer.symbol(f"function{i}", sections[".text"], 16 * i, 16, "GLOBAL", "FUNC")
             for i in range(functions)}  # fmt: skip
    named |= {("maps", 20 * i): writer.symbol(f"map{i}", sections["maps"], 20 * i, 20, "GLOBAL", "OBJECT")
              for i in range(maps)}  # fmt: skip
    whole = {name: writer.symbol("", sections[name], 0, 0, "LOCAL", "SECTION") for name in (".text", "maps", ".rodata")}
    for row, offset in zip(rows, at, strict=True):
        symbol = row["symbol"]
        name, value = symbol["section"], symbol["value"]
        if symbol["kind"] == "SECTION":
            number = whole[name]
        else:
            if (name, value) not in named:
                named[name, value] = writer.symbol(f"data{value}", sections[name], value, 4, "GLOBAL", "OBJECT")
            number = named[name, value]
        writer.relocation(sections["xdp"], offset, number, R_BPF_64_32 if row["insn"] == "call" else R_BPF_64_64)
    return writer.to_bytes()


def refers_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for insn, section, size, step in (("call", ".text", 400, 8), ("load", "maps", 200, 20), ("load", ".rodata", 256, 4)):
        made += [reference(random, insn, section, size, step) for _ in range(4)]
    return made + [{"number": random.randrange(10000)} for _ in range(3)]


def draw_refers(case: Any, wanted: Plain, got: Plain) -> str:
    if "symbol" not in case:
        return first_difference(wanted, got)
    symbol = case["symbol"]
    unit = "slot" if case["insn"] == "call" else "byte"
    return (f"  {case['insn']} with imm {case['imm']}, symbol at byte {symbol['value']} of {symbol['section']} "
            f"({symbol['kind']})\n  expected {unit} {wanted} of {symbol['section']}, got {got}")  # fmt: skip


_HERE: Final = "bpfbench.course.exercises.objects."

EXERCISES: Final = [
    Exercise("object-references", "refers", "What a relocation refers to", 1, 3, "04 from C to eBPF", "37",
             public=refers_cases(Random(42)), more=refers_cases, attempt=_refers_attempt, expected=_refers_expected,
             draw=draw_refers,
             mistakes=(("what stands in a call counts from the next instruction: add 1",
                        as_if(_refers_attempt, _refers(first=0))),
                       ("a symbol's value is in bytes, a call counts slots of 8 bytes",
                        as_if(_refers_attempt, _refers(in_bytes=True))),
                       ("what stands in the field already is a part of it (REL, not RELA): add imm",
                        as_if(_refers_attempt, _refers(addend=False))),
                       ("the imm of a load is in bytes", as_if(_refers_attempt, _refers(load_slots=True)))),
             seals=(_HERE + "_refers",)),
]  # fmt: skip
