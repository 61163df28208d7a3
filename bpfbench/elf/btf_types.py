"""The kinds of BTF types, as a table, and one type as a value.

Every kind is a record of 12 bytes (name, information word, size or type) followed by what the table says.

Kernel: include/uapi/linux/btf.h; Documentation/bpf/btf.rst section 2.
"""

from __future__ import annotations

from typing import Final, final

# Kinds, with the bytes each adds after its record: once, and per element (vlen).  "ref": size/type names a type.
UNKN: Final = 0
INT: Final = 1
PTR: Final = 2
ARRAY: Final = 3
STRUCT: Final = 4
UNION: Final = 5
ENUM: Final = 6
FWD: Final = 7
TYPEDEF: Final = 8
VOLATILE: Final = 9
CONST: Final = 10
RESTRICT: Final = 11
FUNC: Final = 12
FUNC_PROTO: Final = 13
VAR: Final = 14
DATASEC: Final = 15
FLOAT: Final = 16
DECL_TAG: Final = 17
TYPE_TAG: Final = 18
ENUM64: Final = 19

#                                 name         once each  ref
KINDS: Final[list[tuple[str, int, int, bool]]] = [
    ("void",       0, 0,  False),
    ("int",        4, 0,  False),
    ("ptr",        0, 0,  True),
    ("array",     12, 0,  False),
    ("struct",     0, 12, False),
    ("union",      0, 12, False),
    ("enum",       0, 8,  False),
    ("fwd",        0, 0,  False),
    ("typedef",    0, 0,  True),
    ("volatile",   0, 0,  True),
    ("const",      0, 0,  True),
    ("restrict",   0, 0,  True),
    ("func",       0, 0,  True),
    ("func_proto", 0, 8,  True),
    ("var",        4, 0,  True),
    ("datasec",    0, 12, False),
    ("float",      0, 0,  False),
    ("decl_tag",   4, 0,  True),
    ("type_tag",   0, 0,  True),
    ("enum64",     0, 12, False),
]  # fmt: skip

MODIFIERS: Final = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
INT_SIGNED: Final = 1
INT_CHAR: Final = 2
INT_BOOL: Final = 4
VAR_STATIC: Final = 0
VAR_GLOBAL: Final = 1
VAR_EXTERN: Final = 2
MAGIC: Final = 0xEB9F
HEADER_LEN: Final = 24
MAX_DEPTH: Final = 64          # longest chain of modifiers or nesting of arrays that is followed


@final
class Member:
    """A member of a struct or union: `offset` in bits; `bits` is the width of a bit-field, else 0."""

    __slots__ = ("name", "type", "offset", "bits", "name_off")

    def __init__(self, name: str, type: int, offset: int, bits: int = 0, name_off: int = -1) -> None:
        self.name = name
        self.type = type
        self.offset = offset
        self.bits = bits
        self.name_off = name_off


@final
class Param:
    """A parameter of a function; the last one of a variadic function has no name and type 0."""

    __slots__ = ("name", "type", "name_off")

    def __init__(self, name: str, type: int, name_off: int = -1) -> None:
        self.name = name
        self.type = type
        self.name_off = name_off


@final
class Enumerator:
    """A named value of an enum or enum64."""

    __slots__ = ("name", "value", "name_off")

    def __init__(self, name: str, value: int, name_off: int = -1) -> None:
        self.name = name
        self.value = value
        self.name_off = name_off


@final
class SecVar:
    """Where a variable (or extern function) `type` lies in its section: byte `offset` and `size`."""

    __slots__ = ("type", "offset", "size")

    def __init__(self, type: int, offset: int, size: int) -> None:
        self.type = type
        self.offset = offset
        self.size = size


@final
class BtfType:
    """One type.  Which fields count depends on `kind`:

    | kind | fields |
    |---|---|
    | int | size (bytes), encoding (INT_SIGNED, INT_CHAR, INT_BOOL), bit_offset, bits |
    | ptr typedef volatile const restrict type_tag | type |
    | array | type (element), index_type, nelems |
    | struct union | size, members; kflag: members carry bit-field widths |
    | enum enum64 | size, values; kflag: signed |
    | fwd | kflag: a union |
    | func | type (its func_proto), linkage (0 static, 1 global, 2 extern) |
    | func_proto | type (what it returns), params |
    | var | type, linkage (VAR_*) |
    | datasec | size, variables |
    | float | size |
    | decl_tag | type (what is tagged), component (member or parameter, -1: the whole) |
    """

    __slots__ = (
        "kind", "name", "type", "size", "kflag", "encoding", "bit_offset", "bits", "index_type", "nelems", "linkage",
        "component", "members", "params", "values", "variables", "name_off",
    )  # fmt: skip

    def __init__(self, kind: int, name: str = "", type: int = 0, size: int = 0, kflag: bool = False) -> None:
        self.kind = kind
        self.name = name
        self.type = type
        self.size = size
        self.kflag = kflag
        self.encoding = 0
        self.bit_offset = 0
        self.bits = 0
        self.index_type = 0
        self.nelems = 0
        self.linkage = 0
        self.component = -1
        self.members: list[Member] = []
        self.params: list[Param] = []
        self.values: list[Enumerator] = []
        self.variables: list[SecVar] = []
        self.name_off = -1

    def __repr__(self) -> str:
        return f"<{KINDS[self.kind][0]} {self.name if self.name.isprintable() and self.name else '(anon)'}>"

    @property
    def signed(self) -> bool:
        """Whether an int or enum is signed."""
        return self.encoding & INT_SIGNED != 0 if self.kind == INT else self.kflag
