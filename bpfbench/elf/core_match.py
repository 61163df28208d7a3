"""When a type of a program and a type of a kernel count as the same: the three relations of CO-RE.

|                  | fields are compatible | types are compatible   | types match                                   |
|------------------|-----------------------|------------------------|-----------------------------------------------|
| asked for        | a field's offset, …   | `type_exists`, kfuncs  | `type_matches`                                |
| structs, unions  | any two               | same kind              | each local member has a match (names suffice  |
|                  |                       |                        | behind a pointer)                             |
| enums            | same name or none     | any two                | each local value exists, same size            |
| ints             | any two               | any two                | same size and sign                            |
| pointers         | any two               | by what they lead to   | by what they lead to                          |
| arrays           | by element            | by element             | by element and length                         |

Names are compared without their flavor: `task_struct___old` is `task_struct`.

Source: tools/lib/bpf/relo_core.c (bpf_core_fields_are_compat, __bpf_core_types_are_compat, __bpf_core_types_match).
"""

from __future__ import annotations

from typing import Final

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import BtfType

DEPTH: Final = 32
_ENUMS: Final = (b.ENUM, b.ENUM64)
COMPOSITES: Final = (b.STRUCT, b.UNION)


def essential(name: str) -> str:
    """`name` without its flavor: what follows the last `___` that has no further underscore on either side.

    >>> essential("task_struct___v5"), essential("a____b"), essential("plain")
    ('task_struct', 'a____b', 'plain')
    """
    for i in range(len(name) - 5, -1, -1):
        if name[i] != "_" and name[i + 1 : i + 4] == "___" and name[i + 4] != "_":
            return name[: i + 1]
    return name


def same_kind(local: BtfType, target: BtfType) -> bool:
    return local.kind == target.kind or (local.kind in _ENUMS and target.kind in _ENUMS)


def fields_compatible(local: Btf, id: int, target: Btf, other: int) -> bool:
    for _ in range(DEPTH):
        mine, theirs = local.type(local.resolve(id)), target.type(target.resolve(other))
        if mine.kind in COMPOSITES and theirs.kind in COMPOSITES:
            return True
        if not same_kind(mine, theirs):
            return False
        if mine.kind in (b.PTR, b.FLOAT):
            return True
        if mine.kind in (b.FWD, *_ENUMS):
            names = essential(mine.name), essential(theirs.name)
            return not names[0] or not names[1] or names[0] == names[1]
        if mine.kind == b.INT:
            return mine.bit_offset == 0 and theirs.bit_offset == 0
        if mine.kind != b.ARRAY:
            return False
        id, other = mine.type, theirs.type
    return False


def types_compatible(local: Btf, id: int, target: Btf, other: int, level: int = DEPTH) -> bool:
    if not same_kind(local.type(id), target.type(other)):
        return False
    for _ in range(DEPTH):
        mine, theirs = local.type(local.resolve(id)), target.type(target.resolve(other))
        if not same_kind(mine, theirs):
            return False
        if mine.kind in (b.UNKN, b.STRUCT, b.UNION, b.FWD, *_ENUMS):
            return True
        if mine.kind == b.INT:
            return mine.bit_offset == 0 and theirs.bit_offset == 0
        if mine.kind == b.FUNC_PROTO:
            if len(mine.params) != len(theirs.params) or level <= 0:
                return False
            for p, q in zip(mine.params, theirs.params):
                if not types_compatible(local, local.resolve(p.type), target, target.resolve(q.type), level - 1):
                    return False
        elif mine.kind not in (b.PTR, b.ARRAY):
            return False
        id, other = mine.type, theirs.type
    return False


def types_match(local: Btf, id: int, target: Btf, other: int, behind: bool = False, level: int = DEPTH) -> bool:
    if level <= 0:
        return False
    for _ in range(DEPTH):
        mine, theirs = local.type(local.resolve(id)), target.type(target.resolve(other))
        if essential(mine.name) != essential(theirs.name):
            return False
        if mine.kind == b.FWD:
            return _forward_matches(mine, theirs, behind)
        if mine.kind in _ENUMS:
            return theirs.kind in _ENUMS and _enums_match(mine, theirs)
        if mine.kind in COMPOSITES:
            if behind:
                forward = theirs.kind == b.FWD and theirs.kflag == (mine.kind == b.UNION)
                return mine.kind == theirs.kind or forward
            return mine.kind == theirs.kind and _members_match(local, mine, target, theirs, level)
        if mine.kind != theirs.kind or mine.kind == b.UNKN:
            return mine.kind == theirs.kind
        if mine.kind == b.INT:
            return mine.size == theirs.size and mine.signed == theirs.signed
        if mine.kind == b.PTR:
            behind = True
        elif mine.kind == b.ARRAY:
            if mine.nelems != theirs.nelems:
                return False
        elif mine.kind == b.FUNC_PROTO:
            if len(mine.params) != len(theirs.params):
                return False
            for p, q in zip(mine.params, theirs.params):
                if not types_match(local, p.type, target, q.type, behind, level - 1):
                    return False
        else:
            return False
        id, other = mine.type, theirs.type
    return False


def _forward_matches(mine: BtfType, theirs: BtfType, behind: bool) -> bool:
    if mine.kind == theirs.kind:
        return mine.kflag == theirs.kflag
    return behind and theirs.kind == (b.UNION if mine.kflag else b.STRUCT)


def _enums_match(mine: BtfType, theirs: BtfType) -> bool:
    there = {essential(v.name) for v in theirs.values}
    return mine.size == theirs.size and all(essential(v.name) in there for v in mine.values)


def _members_match(local: Btf, mine: BtfType, target: Btf, theirs: BtfType, level: int) -> bool:
    for m in mine.members:
        name = essential(m.name)
        if not any(
            essential(n.name) == name and types_match(local, m.type, target, n.type, False, level - 1)
            for n in theirs.members
        ):
            return False
    return True
