"""C variables of JITed code: the compiler's DWARF, carried from eBPF registers to machine registers.

A compiler that targets eBPF says where each C variable is: in an eBPF register, on the eBPF stack, or a constant, each
for a range of instructions.  Where the JIT keeps eBPF registers, and which bytes it made of which instructions, is
known too, so each such statement can be translated:

    clang     x: insns 0-1 in r1, insn 2 in r6
    JIT       r1 = rdi, r6 = rbx; insn 0 at 0x14, insn 1 at 0x17, insn 2 at 0x1a
    debugger  x: 0x14-0x1a in rdi, 0x1a-0x1d in rbx

Translated are scalars, enumerations and pointers; what else there is (structures, spread values) is left out.

Reading DWARF is pyelftools' work.  DWARF 5, sections 2.5 and 2.6.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final, final

from elftools.common.exceptions import DWARFError, ELFError
from elftools.dwarf.dwarf_expr import DWARFExprParser
from elftools.dwarf.locationlists import LocationEntry, LocationExpr, LocationParser
from elftools.elf.elffile import ELFFile

from bpfbench.debug.dwarf import OP_BREG0, OP_BREGX, location, sleb
from bpfbench.debug.targets import DebugTarget
from bpfbench.errors import DebugError

SLOT: Final = 8
POINTER: Final = ("void *", 0, 8)  # a type is (name, DWARF encoding, bytes); encoding 0 is a pointer
_VARIABLES: Final = ("DW_TAG_variable", "DW_TAG_formal_parameter")
_STRIPPED: Final = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type")
_STACK_VALUE, _DEREF, _CONSTS, _PLUS = 0x9F, 0x06, 0x11, 0x22

TypeName = tuple[str, int, int]


@final
class Held:
    """Where a variable is from slot `start` to slot `end` of its function: `kind` "register" (eBPF register `number`),
    "memory" (at eBPF register `number` + `offset`), "sum" (that address itself is the value) or "constant"
    (`offset`)."""

    __slots__ = ("start", "end", "kind", "number", "offset")

    def __init__(self, start: int, end: int, kind: str, number: int, offset: int) -> None:
        self.start = start
        self.end = end
        self.kind = kind
        self.number = number
        self.offset = offset

    def __repr__(self) -> str:
        where = {"register": f"r{self.number}", "memory": f"[r{self.number}{self.offset:+d}]",
                 "sum": f"r{self.number}{self.offset:+d}", "constant": str(self.offset)}[self.kind]  # fmt: skip
        return f"Held({self.start}-{self.end}: {where})"


@final
class CVariable:
    """A variable or parameter of a C function, its type, and where it is when."""

    __slots__ = ("function", "name", "parameter", "type", "held")

    def __init__(self, function: str, name: str, parameter: bool, type: TypeName, held: list[Held]) -> None:
        self.function = function
        self.name = name
        self.parameter = parameter
        self.type = type
        self.held = held

    def __repr__(self) -> str:
        return f"CVariable({self.function}: {self.type[0]} {self.name}, {self.held})"


def c_variables(raw: bytes) -> list[CVariable]:
    """The variables that an eBPF object file describes; none without DWARF.  Raises DebugError on malformed DWARF."""
    try:
        elf = ELFFile(io.BytesIO(raw))
        if not elf.has_dwarf_info():
            return []
        return list(_Reader(elf).variables())
    except (ELFError, DWARFError, KeyError, AttributeError, ValueError, IndexError, AssertionError) as e:
        raise DebugError(f"the object's DWARF cannot be read: {e}") from None


@final
class _Reader:
    """Walks the debugging entries of one object."""

    __slots__ = ("dwarf", "parser", "expressions")

    def __init__(self, elf: ELFFile) -> None:
        self.dwarf: Any = elf.get_dwarf_info()
        self.parser: Any = LocationParser(self.dwarf.location_lists())
        self.expressions: Any = DWARFExprParser(self.dwarf.structs)

    def variables(self) -> Iterator[CVariable]:
        for unit in self.dwarf.iter_CUs():
            self.expressions = DWARFExprParser(unit.structs)
            for die in unit.iter_DIEs():
                if die.tag == "DW_TAG_subprogram" and "DW_AT_low_pc" in die.attributes:
                    yield from self._function(unit, die)

    def _function(self, unit: Any, die: Any) -> Iterator[CVariable]:
        low = die.attributes["DW_AT_low_pc"].value
        size = die.attributes["DW_AT_high_pc"].value
        name = _name(die)
        for child in _inside(die):
            if child.tag not in _VARIABLES or "DW_AT_location" not in child.attributes:
                continue
            kind = self._type(child)
            held = list(self._held(unit, child, low, size)) if kind is not None else []
            if kind is not None and held and _name(child):
                yield CVariable(name, _name(child), child.tag == "DW_TAG_formal_parameter", kind, held)

    def _held(self, unit: Any, die: Any, low: int, size: int) -> Iterator[Held]:
        found = self.parser.parse_from_attribute(die.attributes["DW_AT_location"], unit["version"], die)
        if isinstance(found, LocationExpr):
            yield from self._one(found.loc_expr, 0, size)
            return
        base = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        start = base.value if base is not None else 0
        for entry in found:
            if isinstance(entry, LocationEntry):
                shift = 0 if entry.is_absolute else start
                yield from self._one(entry.loc_expr, entry.begin_offset + shift - low, entry.end_offset + shift - low)
            elif hasattr(entry, "base_address"):
                start = entry.base_address

    def _one(self, expression: Any, begin: int, end: int) -> Iterator[Held]:
        """The expression in our terms, if it is one of those that are translated."""
        operations = [(op.op_name, list(op.args)) for op in self.expressions.parse_expr(expression)]
        if not operations or not 0 <= begin < end:
            return
        (first, args), rest = operations[0], [name for name, _ in operations[1:]]
        first_slot, last_slot = begin // SLOT, -(-end // SLOT)
        number = int(first[len("DW_OP_reg") :]) if first.startswith("DW_OP_reg") and first[9:].isdigit() else -1
        if number >= 0 and not rest:
            yield Held(first_slot, last_slot, "register", number, 0)
        elif first == "DW_OP_fbreg" and not rest:
            yield Held(first_slot, last_slot, "memory", 10, args[0])
        elif first.startswith("DW_OP_breg") and first[10:].isdigit() and rest in ([], ["DW_OP_stack_value"]):
            yield Held(first_slot, last_slot, "sum" if rest else "memory", int(first[10:]), args[0])
        elif rest == ["DW_OP_stack_value"] and first.startswith(("DW_OP_const", "DW_OP_lit")):
            value = args[0] if args else int(first[len("DW_OP_lit") :])
            yield Held(first_slot, last_slot, "constant", 0, value)

    def _type(self, die: Any) -> TypeName | None:
        """The scalar type of a variable; None for structures, arrays and what has no type."""
        for _ in range(16):
            if "DW_AT_type" not in die.attributes:
                return None
            die = die.get_DIE_from_attribute("DW_AT_type")
            if die.tag == "DW_TAG_pointer_type":
                return POINTER
            if die.tag == "DW_TAG_enumeration_type":
                return _name(die) or "enum", 7, die.attributes["DW_AT_byte_size"].value
            if die.tag == "DW_TAG_base_type":
                sizes = die.attributes
                return _name(die), sizes["DW_AT_encoding"].value, sizes["DW_AT_byte_size"].value
            if die.tag not in _STRIPPED:
                return None
        return None


def _inside(die: Any) -> Iterator[Any]:
    """The entries in a function, those of blocks included, those of inlined functions not."""
    for child in die.iter_children():
        yield child
        if child.tag == "DW_TAG_lexical_block":
            yield from _inside(child)


def _name(die: Any) -> str:
    attribute = die.attributes.get("DW_AT_name")
    return attribute.value.decode("utf-8", "replace") if attribute is not None else ""


def native_expression(target: DebugTarget, held: Held) -> bytes:
    """A location expression for the machine: where the variable is while `held` holds."""
    if held.kind == "constant":
        return bytes([_CONSTS]) + sleb(held.offset) + bytes([_STACK_VALUE])
    place = target.bpf[held.number]
    if held.kind == "register":
        return location(place)
    kind, first, second = place
    if kind == "reg":
        address = (bytes([OP_BREG0 + first]) if first < 32 else bytes([OP_BREGX, first])) + sleb(held.offset)
    elif kind == "memory":  # the eBPF register itself is in memory; its low word is the address
        address = location(place) + bytes([_DEREF, _CONSTS]) + sleb(held.offset) + bytes([_PLUS])
    else:
        address = bytes([OP_BREG0 + second]) + sleb(held.offset)
    return address + (bytes([_STACK_VALUE]) if held.kind == "sum" else b"")
