"""BTF as C text: declarations that a compiler takes.

A type can be written once everything it contains by value has been written; what it only points to needs no more than
a forward declaration.  So the types are walked depth first along "contains", and `struct x;` stands in for "points to".
Declarators are built from the inside out, as C has it:  `int (*name[4])(void)`.

Source: tools/lib/bpf/btf_dump.c for the problem (not the solution); C11 6.7.6.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import BtfType, Member
from bpfbench.errors import BtfError

_TAGS: Final = {b.STRUCT: "struct", b.UNION: "union", b.ENUM: "enum", b.ENUM64: "enum"}
_QUALIFIERS: Final = {b.CONST: "const", b.VOLATILE: "volatile", b.RESTRICT: "restrict"}
_INTS: Final = {
    (1, True): "signed char", (1, False): "unsigned char", (2, True): "short", (2, False): "unsigned short",
    (4, True): "int", (4, False): "unsigned int", (8, True): "long", (8, False): "unsigned long",
    (16, True): "__int128", (16, False): "unsigned __int128",
}  # fmt: skip
_PLAIN: Final = frozenset(
    "char short int long signed unsigned float double _Bool bool __int128 _Float16 _Complex".split()
)
MAX_DEPTH: Final = 200
LONG_GAP: Final = 1 << 14          # bits; longer gaps become an array


def declare(btf: Btf, id: int, name: str = "") -> str:
    """The C declaration of `name` with type `id` (of the type alone, without a name).

    >>> btf = Btf()
    >>> t = b.BtfType(b.INT, "int", size=4)
    >>> p = b.BtfType(b.PTR, type=btf.add(t))
    >>> declare(btf, btf.add(p), "x")
    'int *x'
    """
    return _Writer(btf).declaration(id, name, 0)


def dump_c(btf: Btf, ids: Iterable[int] | None = None) -> str:
    """Declarations of the types `ids` (all, if not given) and of all they need, in an order that compiles."""
    writer = _Writer(btf)
    for id in ids if ids is not None else btf:
        writer.need(id)
    return "\n".join(writer.out) + ("\n" if writer.out else "")


@final
class _Writer:
    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.out: list[str] = []
        self.done: set[int] = set()            # written, or being written
        self.forward: set[str] = set()
        self.names: dict[str, int] = {}        # what a name in C was given to
        self.given: dict[int, str] = {}

    # -- order ------------------------------------------------------------------------------------------------------

    def need(self, start: int) -> None:
        """Write `start` after everything it contains; an explicit stack, since types nest deeply."""
        stack = [(start, iter(self.parts(start)))] if self._enter(start) else []
        while stack:
            id, parts = stack[-1]
            for part in parts:
                if self._enter(part):
                    stack.append((part, iter(self.parts(part))))
                    break
            else:
                stack.pop()
                self.write(id)

    def _enter(self, id: int) -> bool:
        if id in self.done or id == 0:
            return False
        self.done.add(id)
        return True

    def parts(self, id: int) -> list[int]:
        """The types that have to be written before `id`."""
        t = self.btf.type(id)
        if t.kind in (b.STRUCT, b.UNION):
            return [p for m in t.members for p in self._reached(m.type)]
        if t.kind == b.TYPEDEF:
            return self._reached(t.type, True)
        if t.kind in (b.VAR, b.FUNC):
            return self._reached(t.type)
        if t.kind in (b.FUNC_PROTO, b.PTR, b.ARRAY, *b.MODIFIERS):
            return self._reached(id)
        return []

    def _reached(self, id: int, pointed: bool = False) -> list[int]:
        """What a declaration with type `id` needs first; `pointed`: the mere name of a struct will do."""
        found: list[int] = []
        pending, seen = [(id, pointed)], set()
        while pending:
            at, pointed = pending.pop()
            if (at, pointed) in seen or at == 0:
                continue
            seen.add((at, pointed))
            t = self.btf.type(at)
            if t.kind in (b.STRUCT, b.UNION, b.FWD) and t.name and (pointed or t.kind == b.FWD):
                self._forward(at, t)
            elif t.kind in (b.STRUCT, b.UNION) and not t.name:
                pending += [(m.type, False) for m in t.members]
            elif t.kind == b.TYPEDEF:
                found.append(at)
                pending += [] if pointed else [(t.type, False)]
            elif t.kind in _TAGS or t.kind == b.FLOAT or t.kind == b.INT:
                found.append(at)
            elif t.kind == b.PTR:
                pending.append((t.type, True))
            elif t.kind == b.ARRAY:
                pending.append((t.type, False))
            elif t.kind == b.FUNC_PROTO:
                pending += [(t.type, True)] + [(p.type, True) for p in t.params]
            elif t.kind in b.MODIFIERS:
                pending.append((t.type, pointed))
        return found

    def _forward(self, id: int, t: BtfType) -> None:
        tag = _TAGS.get(t.kind) or ("union" if t.kflag else "struct")
        text = f"{tag} {self.name(id, t)};"
        if text not in self.forward:
            self.forward.add(text)
            self.out.append(text)

    # -- writing ----------------------------------------------------------------------------------------------------

    def name(self, id: int, t: BtfType) -> str:
        """The name of a type in C: its own, with a flavor (`___2`) when another type has it already."""
        if id in self.given or not t.name:
            return self.given.get(id, "")
        space = "" if t.kind == b.TYPEDEF else "tag "
        name, number = t.name, 1
        while self.names.setdefault(space + name, id) != id and not self._same_tag(space + name, t):
            number += 1
            name = f"{t.name}___{number}"
        self.given[id] = name
        return name

    def _same_tag(self, name: str, t: BtfType) -> bool:
        """A forward declaration and its struct share a name."""
        other = self.btf.type(self.names[name])
        return b.FWD in (other.kind, t.kind) and {other.kind, t.kind} <= {b.FWD, b.STRUCT, b.UNION}

    def write(self, id: int) -> None:
        t = self.btf.type(id)
        if t.kind in (b.STRUCT, b.UNION) and t.name:
            self.out.append(self.composite(id, t, "", 0) + ";")
        elif t.kind in (b.ENUM, b.ENUM64):
            self.out.append(self.enumeration(id, t, "") + ";")
        elif t.kind == b.TYPEDEF and t.name != "__builtin_va_list":
            self.out.append(f"typedef {self.declaration(t.type, self.name(id, t), 0)};")

    def enumeration(self, id: int, t: BtfType, indent: str) -> str:
        head = f"enum {self.name(id, t)}".rstrip()
        if not t.values:
            return head
        lines = [f"{indent}\t{self._unique(v.name)} = {_constant(v.value, t)}," for v in t.values]
        return f"{head} {{\n" + "\n".join(lines) + f"\n{indent}}}" + (" __attribute__((packed))" if t.size < 4 else "")

    def _unique(self, name: str) -> str:
        known, number = name, 1
        while "value " + known in self.names:
            number += 1
            known = f"{name}___{number}"
        self.names["value " + known] = 0
        return known

    def composite(self, id: int, t: BtfType, indent: str, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise BtfError(f"BTF types nest deeper than {MAX_DEPTH}", self.btf.where)
        lines, inner, at = [], indent + "\t", 0
        for m in t.members:
            if t.kind == b.STRUCT:
                lines += self.padding(at, self.natural(at, m, self.packed(t)), m.offset, inner)
                at = m.offset + (m.bits or 8 * self._size(m.type))
            width = f" : {m.bits}" if m.bits else ""
            lines.append(f"{inner}{self.declaration(m.type, m.name, depth + 1, inner)}{width};")
        if t.kind == b.STRUCT:
            align = 8 if self.packed(t) else 8 * max([1] + [self._align(m.type) for m in t.members])
            lines += self.padding(at, -(-at // align) * align, 8 * t.size, inner)
        head = f"{_TAGS[t.kind]} {self.name(id, t)}".rstrip()
        body = f"{head} {{\n" + "\n".join(lines) + f"\n{indent}}}" if lines else f"{head} {{\n{indent}}}"
        return body + (" __attribute__((packed))" if self.packed(t) else "")

    def natural(self, at: int, m: Member, packed: bool) -> int:
        """Where a compiler puts the next member if it may use bits from `at` on."""
        size = 8 * self._size(m.type)
        if m.bits:
            fits = at % size + m.bits <= size if size else True
            return at if fits or packed else -(-at // size) * size
        align = 8 if packed else 8 * self._align(m.type)
        return -(-at // align) * align

    def padding(self, at: int, natural: int, offset: int, indent: str) -> list[str]:
        """Nameless bit-fields from bit `at` to `offset`, where the compiler would not leave that gap by itself."""
        lines: list[str] = []
        while natural != offset and at < offset:
            if offset - at >= LONG_GAP and at % 8 == 0:
                return [*lines, f"{indent}char padding_{at}[{(offset - at) // 8}];"]
            whole = at % 64 == 0 and offset - at >= 64
            step = 64 if whole else min(8 - at % 8, offset - at)
            lines.append(f"{indent}{'long' if whole else 'char'} : {step};")
            at += step
        return lines

    def packed(self, t: BtfType) -> bool:
        """Whether natural alignment would lay the members out differently."""
        if t.kind == b.UNION:
            return any(t.size % self._align(m.type) for m in t.members)
        return any(m.bits == 0 and m.offset % (8 * self._align(m.type)) for m in t.members) or (
            any(t.size % self._align(m.type) for m in t.members)
        )

    def _size(self, id: int) -> int:
        try:
            return self.btf.size_of(id)
        except BtfError:
            return 0

    def _align(self, id: int) -> int:
        try:
            return self.btf.align_of(id)
        except BtfError:
            return 1

    def declaration(self, id: int, inside: str, depth: int, indent: str = "") -> str:
        """`inside` declared with type `id`: pointers and arrays wrap it, the base type goes in front."""
        held = ""                              # qualifiers of what comes next: an array hands them to its elements
        for _ in range(MAX_DEPTH):
            t = self.btf.type(id)
            if t.kind == b.PTR:
                inside = f"*{held}{inside}"
                held = ""
                if self.btf.type(self._bare(t.type)).kind in (b.ARRAY, b.FUNC_PROTO):
                    inside = f"({inside})"
            elif t.kind == b.ARRAY:
                inside = f"{inside}[{t.nelems}]"
            elif t.kind == b.FUNC_PROTO:
                inside = f"{inside}({self.parameters(t, depth)})"
            elif t.kind in _QUALIFIERS:
                held += f"{_QUALIFIERS[t.kind]} "
            elif t.kind != b.TYPE_TAG:
                return f"{held}{self.base(id, depth, indent)} {inside}".rstrip()
            id = t.type
        raise BtfError(f"BTF declaration of more than {MAX_DEPTH} parts", self.btf.where)

    def _bare(self, id: int) -> int:
        for _ in range(MAX_DEPTH):
            t = self.btf.type(id)
            if t.kind != b.TYPE_TAG and t.kind not in _QUALIFIERS:
                return id
            id = t.type
        raise BtfError(f"chain of more than {MAX_DEPTH} BTF qualifiers", self.btf.where)

    def parameters(self, t: BtfType, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise BtfError(f"BTF types nest deeper than {MAX_DEPTH}", self.btf.where)
        parts = [self.declaration(p.type, p.name, depth + 1) if p.type or p.name else "..." for p in t.params]
        return ", ".join(parts) or "void"

    def base(self, id: int, depth: int, indent: str) -> str:
        """A type that is no pointer, array or function."""
        t = self.btf.type(id)
        if t.kind in (b.STRUCT, b.UNION):
            return f"{_TAGS[t.kind]} {self.name(id, t)}" if t.name else self.composite(id, t, indent, depth + 1)
        if t.kind in (b.ENUM, b.ENUM64):
            return f"enum {self.name(id, t)}" if t.name else self.enumeration(id, t, indent)
        if t.kind == b.FWD:
            return f"{'union' if t.kflag else 'struct'} {self.name(id, t)}"
        if t.kind == b.INT:
            return t.name if set(t.name.split()) <= _PLAIN and t.name else _INTS.get((t.size, t.signed), "int")
        if t.kind == b.TYPEDEF:
            return self.name(id, t)
        if t.kind == b.FLOAT:
            return t.name or "float"
        return "void"


def _constant(value: int, t: BtfType) -> str:
    if t.kind == b.ENUM64 and not t.kflag:
        return f"{value & (1 << 64) - 1}ULL"
    if t.kind == b.ENUM64 and value == -(1 << 63):
        return "(-9223372036854775807LL - 1)"
    return f"{value}LL" if t.kind == b.ENUM64 else str(value) if value < 1 << 31 else f"{value}U"
