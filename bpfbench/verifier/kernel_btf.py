"""The kernel's own types: where calls of kernel functions and kernel variables get their meaning from.

A call of a kernel function names it by the number of a type in the kernel's BTF, so a program with such calls means
nothing without that BTF.  Who verifies names it; where nobody does and the profile is the release that runs here, it is
the running kernel's.

      bb.verify(prog, kernel_btf=…)   a `Btf`, its bytes, or the path of a file that holds them
      (none named)                    /sys/kernel/btf/vmlinux, when this machine runs the kernel of the profile

Source: kernel/bpf/verifier.c `find_kfunc_desc_btf`, `check_pseudo_btf_id`; kernel/bpf/btf.c `btf_struct_walk`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from bpfbench.elf.btf import Btf, read_btf
from bpfbench.elf.btf_types import ARRAY, DATASEC, DECL_TAG, PTR, STRUCT, UNION, VAR
from bpfbench.errors import BtfError
from bpfbench.program.program import Program

CALL: Final = 0x85
WIDE_LOAD: Final = 0x18
RUNNING: Final = Path("/sys/kernel/btf/vmlinux")
BtfGiven = Btf | bytes | str | os.PathLike[str] | None
_opened: dict[str, Btf] = {}            # by path: a kernel has 150,000 types, reading them once is enough


def needs_btf(prog: Program) -> bool:
    """Does the program name a kernel type?"""
    raw = prog.raw                      # the wire fields: calls that are not well formed count, too
    for at in range(0, len(raw) - 7, 8):
        code = raw[at]
        if (code == CALL and raw[at + 1] >> 4 == 2 and raw[at + 4:at + 8] != bytes(4)) or \
                (code == WIDE_LOAD and raw[at + 1] >> 4 == 3):
            return True
    return False


def open_btf(given: BtfGiven, version: tuple[int, int]) -> Btf | None:
    """The types named, or those of the running kernel when it is of that version; None when there are none.

    Raises BtfError when what was named cannot be read.
    """
    if isinstance(given, Btf):
        return given
    if isinstance(given, bytes):
        return read_btf(given)
    if given is not None:
        return _read(Path(given))
    release = os.uname().release.split("-")[0].split(".")
    if release[:2] != [str(version[0]), str(version[1])] or not RUNNING.is_file():
        return None
    return _read(RUNNING)


def _read(path: Path) -> Btf:
    key = str(path)
    if key not in _opened:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BtfError(f"cannot read the kernel's types from {path}: {error.strerror}") from None
        _opened[key] = read_btf(raw, file=key)
    return _opened[key]


# Questions ----------------------------------------------------------------------------------------------------------


def tagged(btf: Btf, id: int, tag: str) -> bool:
    """Does a declaration tag mark the type as a whole?"""
    return any(btf.type(at).type == id and btf.type(at).component == -1 for at in btf.names().get(tag, ())
               if btf.kind_of(at) == DECL_TAG)


def contains(btf: Btf, struct: str, off: int, wanted: str, strict: bool) -> bool:
    """Is there a structure `wanted` at `off` of structure `struct`? (`btf_struct_ids_match`)"""
    id = btf.find(struct, STRUCT) or btf.find(struct, UNION)
    for _ in range(32):
        if id is None:
            return False
        t = btf.type(id)
        if off == 0 and t.name == wanted:
            return True
        if strict or t.kind not in (STRUCT, UNION):
            return False
        inner = None
        for m in t.members:
            at = m.offset // 8
            member = btf.resolve(m.type)
            if btf.kind_of(member) in (STRUCT, UNION) and at <= off < at + max(btf.size_of(member), 1):
                inner, off = member, off - at
                break
        id = inner
    return False


def scalars_only(btf: Btf, id: int, depth: int = 0) -> bool:
    """A number, or a structure of nothing but numbers and arrays of them (`__btf_type_is_scalar_struct`)."""
    t = btf.type(btf.resolve(id))
    if t.kind not in (STRUCT, UNION):
        return t.kind not in (PTR, ARRAY)
    if t.kind == UNION or depth >= 4:
        return False
    for m in t.members:
        id = btf.resolve(m.type)
        while btf.kind_of(id) == ARRAY:
            id = btf.resolve(btf.type(id).type)
        if btf.kind_of(id) == PTR or not scalars_only(btf, id, depth + 1):
            return False
    return True


def per_cpu(btf: Btf, id: int) -> bool:
    """Is the variable one of those that every CPU has its own of?"""
    for at in btf.names().get(".data..percpu", ()):
        t = btf.type(at)
        if t.kind == DATASEC and any(v.type == id for v in t.variables):
            return True
    return False


def variable_type(btf: Btf, id: int) -> int:
    """The type of a variable, without typedefs and qualifiers; 0 when it is no variable."""
    t = btf.type(id)
    return btf.resolve(t.type) if t.kind == VAR else 0
