"""The debug file of an image: everything a debugger wants, separate from the code it describes.

The code in memory stays as the JIT made it; what belongs to it lies in a file of its own, as `objcopy
--only-keep-debug` leaves one, and the two are matched by the *build id*, a hash of the code.

    image    48 89 e5 …                      in the kernel, or in this process
                 | SHA-1
    x.debug  .text (no bytes, only the address)  .symtab  .debug_*  .note.gnu.build-id

`describe` takes the result of `bb.jit` (or of an engine that compiled a rewritten program) with the program it came
from; lines are those of the C source, or, for a program without them, of its own listing (`Described.listing`).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final, final

from bpfbench.debug.dwarf import DebugFunction, Dwarf, LineRow, Variable
from bpfbench.debug.elf_image import (
    ET_EXEC,
    SHF_ALLOC,
    SHF_EXEC,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_PROGBITS,
    SHT_STRTAB,
    SHT_SYMTAB,
    STT_FUNC,
    Section,
    Strings,
    Symbol,
    order,
    symbol_table,
    write_elf,
)  # fmt: skip
from bpfbench.debug.targets import DebugTarget, debug_target
from bpfbench.debug.variables import CVariable, native_expression
from bpfbench.jit.code import Code
from bpfbench.jit.layout import Step
from bpfbench.program.program import Program

_NAME_CHARACTERS: Final = "_."


@final
class Described:
    """Debug information for one image at one address.

    `functions` and `rows` in address order, `listing` the text that the rows refer to when the program has no C lines
    (file `listing_name`), else "".
    """

    __slots__ = ("target", "code", "address", "functions", "rows", "name", "listing_name", "listing")

    def __init__(
        self, target: DebugTarget, code: bytes, address: int, functions: list[DebugFunction], rows: list[LineRow],
        name: str, listing_name: str, listing: str,
    ) -> None:  # fmt: skip
        self.target = target
        self.code = code
        self.address = address
        self.functions = functions
        self.rows = rows
        self.name = name
        self.listing_name = listing_name
        self.listing = listing

    @property
    def build_id(self) -> str:
        """Forty hex digits that name the code."""
        return hashlib.sha1(self.code).hexdigest()

    def elf(self, with_code: bool = False, folder: str = ".") -> bytes:
        """The debug file; `with_code` includes the instructions (for tools that have no process to read them from).

        `folder` is where relative source files are looked for.
        """
        t = self.target
        files = Dwarf(t, self.functions, self.rows, self.rows[0].file if self.rows else self.name, folder)
        text = Section(".text", SHT_PROGBITS if with_code else SHT_NOBITS, self.code if with_code else b"",
                       SHF_ALLOC | SHF_EXEC, self.address, len(self.code), align=16)  # fmt: skip
        sections = [text, Section(".note.gnu.build-id", SHT_NOTE, self._note(), align=4)]
        sections += [Section(name, SHT_PROGBITS, content) for name, content in files.sections().items()]
        strings = Strings()
        symbols = [Symbol(f.name, STT_FUNC, ".text", f.address, f.length) for f in self.functions]
        table = symbol_table(t, symbols, sections, strings)
        sections.append(Section(".symtab", SHT_SYMTAB, table, link=".strtab", info=1, align=8 if t.bits == 64 else 4,
                                entry=24 if t.bits == 64 else 16))  # fmt: skip
        sections.append(Section(".strtab", SHT_STRTAB, strings.content))
        return write_elf(t, ET_EXEC, sections, [])

    def _note(self) -> bytes:
        digest = bytes.fromhex(self.build_id)
        return struct.pack(order(self.target) + "III", 4, len(digest), 3) + b"GNU\0" + digest

    def line_at(self, address: int) -> LineRow | None:
        """The row that an address belongs to."""
        found = [row for row in self.rows if row.address <= address]
        inside = self.address <= address < self.address + len(self.code)
        return max(found, key=lambda row: row.address) if found and inside else None

    def __repr__(self) -> str:
        return (f"Described({self.name}, {self.target.name}: {len(self.functions)} functions, {len(self.rows)} lines, "
                f"build id {self.build_id[:12]})")  # fmt: skip


def describe(
    code: Code, program: Program, address: int = 0, origin: Sequence[int] | None = None, image: bytes | None = None,
    variables: Sequence[CVariable] = (),
) -> Described:
    """Debug information for `code`, which was compiled from `program` and lies at `address`.

    `origin[slot]` is the slot of `program` that a slot of the compiled (rewritten) program came from, by default the
    same; `image` the bytes with relocations applied; `variables` what `c_variables` read from the object file.

    >>> import bpfbench as bb
    >>> prog = bb.assemble("r0 = 7\\nexit", name="seven")
    >>> [f.name for f in describe(bb.jit(prog), prog, 0x1000).functions]
    ['seven']
    """
    target = debug_target(code.target)
    listing_name = f"{_symbol(program.name)}.bpf"
    at_slot, listing = _lines(program, listing_name)
    rows: list[LineRow] = []
    functions: list[DebugFunction] = []
    for region in code.functions:
        first = _origin(region.function.start, origin)
        file, line, _ = at_slot[min(first, len(at_slot) - 1)]
        name = _function_name(program, region.function.index, first)
        functions.append(DebugFunction(name, address + region.start, region.length, file, line, _frame(code,
                         region.start, region.start + region.length, region.layout.steps)))  # fmt: skip
        functions[-1].variables = _variables(target, code, region.start, region.length, address, first, origin,
                                             [v for v in variables if v.function == name])  # fmt: skip
        rows += _rows(code, region.start, region.start + region.length, address, at_slot, origin, (file, line))
    return Described(target, image if image is not None else code.bytes, address, functions, rows, program.name,
                     "" if program.lines else listing_name, listing)  # fmt: skip


def _origin(slot: int, origin: Sequence[int] | None) -> int:
    return slot if origin is None else origin[min(slot, len(origin) - 1)]


def _lines(program: Program, listing_name: str) -> tuple[list[tuple[str, int, int]], str]:
    """(file, line, column) per slot, and the listing where the program has no C lines."""
    if not program.lines:
        rows = str(program.listing()).splitlines()
        number = {int(row.split(":", 1)[0], 16): at + 1 for at, row in enumerate(rows) if at}
        places = []
        current = 1
        for slot in range(len(program.insns)):
            current = number.get(slot, current)
            places.append((listing_name, current, 0))
        return places, "\n".join(rows) + "\n"
    first = program.lines[min(program.lines)]
    places, here = [], (first.file, first.line, first.column)
    for slot in range(len(program.insns)):
        line = program.lines.get(slot)
        here = (line.file, line.line, line.column) if line is not None else here
        places.append(here)
    return places, ""


def _rows(
    code: Code, start: int, end: int, address: int, at_slot: list[tuple[str, int, int]], origin: Sequence[int] | None,
    first: tuple[str, int],
) -> list[LineRow]:  # fmt: skip
    """A row for the prologue, and one where the code of an eBPF instruction with another line begins."""
    rows = [LineRow(address + start, first[0], first[1], 0)]
    body = True
    last: tuple[str, int, int] | None = None
    for span in code.spans:
        if not start <= span.start < end or span.pc < 0 or span.start == span.end:
            continue
        here = at_slot[_origin(span.pc, origin)]
        if here != last:
            rows.append(LineRow(address + span.start, *here, body))
        last, body = here, False
    return rows


def _variables(
    target: DebugTarget, code: Code, start: int, length: int, address: int, first: int, origin: Sequence[int] | None,
    variables: list[CVariable],
) -> list[Variable]:  # fmt: skip
    """The C variables of one function, with ranges of slots turned into ranges of addresses."""
    begins = [(_origin(span.pc, origin), span.start) for span in code.spans
              if span.pc >= 0 and start <= span.start < start + length]  # fmt: skip

    def native(slot: int) -> int:
        return address + min((at for pc, at in begins if pc >= first + slot), default=start + length)

    found = []
    for variable in variables:
        ranges = [(native(h.start), native(h.end), native_expression(target, h)) for h in variable.held]
        ranges = [r for r in ranges if r[0] < r[1]]
        if ranges:
            found.append(Variable(variable.name, variable.parameter, variable.type, ranges))
    return found


def _frame(code: Code, start: int, end: int, steps: list[Step]) -> list[Step]:
    """The prologue's steps, and on x86-64 those of each `leave` … `ret`, which the layout does not list."""
    found = list(steps)
    if code.target != "x86_64":
        return found
    insns = [placed for placed in code.placed if start <= placed.addr < end]
    for at, placed in enumerate(insns):
        if placed.row.name == "leave":
            after = placed.addr + len(placed.raw) - start
            found += [Step(after, "remember", "", 0), Step(after, "cfa", "rsp", 8), Step(after, "restored", "rbp", 0)]
            ends = next((i.addr + len(i.raw) for i in insns[at + 1 :] if i.row.name.startswith(("ret", "jmp"))), end)
            found.append(Step(ends - start, "restore", "", 0))
    return found


def _function_name(program: Program, index: int, start: int) -> str:
    named = {slot: name for name, slot in sorted(program.symbols.items(), reverse=True)}
    if index == 0:
        return _symbol(program.name)
    return _symbol(named.get(start, f"{program.name}_func{index}"))


def _symbol(name: str) -> str:
    """A name that debuggers and symbol tables take."""
    return "".join(c if c.isascii() and (c.isalnum() or c in _NAME_CHARACTERS) else "_" for c in name) or "prog"
