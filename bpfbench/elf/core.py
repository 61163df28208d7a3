"""CO-RE: making an instruction fit the layout of the kernel it will run on.

A relocation says: "this offset (size, existence, …) belongs to the field `access` of the program's type".  The access
string is a path, e.g. "0:1:3": element 0 of the pointer, member 1, array index (or member) 3.  The path is walked in
the program's types, member names are noted, and the same names are walked in every type of the kernel that has the
same name; all must agree.

    program's task_struct         kernel's task_struct              instruction
      0:  0:5  "mm"  off 40  ---->  "mm" somewhere: off 2336  ---->  r1 = *(u64 *)(r1 + 2336)

What cannot be found makes the instruction a call of a helper that does not exist (number 0xbad2310): harmless where a
check made it unreachable, and refused by the verifier elsewhere.  Questions ("does it exist?") are answered 0.

Types of kernel modules (split BTF) are looked up only when the given BTF has them.

Source: tools/lib/bpf/relo_core.c; include/uapi/linux/bpf.h (bpf_core_relo_kind).
"""

from __future__ import annotations

import functools
import os
import struct
from pathlib import Path
from typing import Final, final

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf, read_btf
from bpfbench.elf.btf_ext import CoreRelocation
from bpfbench.elf.core_match import COMPOSITES, essential, fields_compatible, same_kind, types_compatible, types_match
from bpfbench.elf.elf import ElfFile
from bpfbench.errors import BtfError, UsageError, Where

#   number  kind              about
KINDS: Final[list[tuple[int, str, str]]] = [
    (0,  "byte_off",        "field"),
    (1,  "byte_sz",         "field"),
    (2,  "field_exists",    "field"),
    (3,  "signed",          "field"),
    (4,  "lshift_u64",      "field"),
    (5,  "rshift_u64",      "field"),
    (6,  "local_type_id",   "type"),
    (7,  "target_type_id",  "type"),
    (8,  "type_exists",     "type"),
    (9,  "type_size",       "type"),
    (10, "enumval_exists",  "enum value"),
    (11, "enumval_value",   "enum value"),
    (12, "type_matches",    "type"),
]  # fmt: skip
BYTE_OFF, BYTE_SIZE, FIELD_EXISTS, SIGNED, LSHIFT, RSHIFT, TYPE_LOCAL, TYPE_TARGET, TYPE_EXISTS, TYPE_SIZE = range(10)
ENUM_EXISTS, ENUM_VALUE, TYPE_MATCHES = 10, 11, 12
KERNEL_BTF: Final = "/sys/kernel/btf/vmlinux"
POISON: Final = 0xBAD2310
MAX_PATH: Final = 64


@final
class Target:
    """The BTF of the kernel that objects are made to fit: given, or that of the running kernel; opened when needed."""

    __slots__ = ("_source", "_btf")

    def __init__(self, source: Btf | str | Path | bytes | None = None) -> None:
        self._source = source
        self._btf: Btf | None = source if isinstance(source, Btf) else None

    @property
    def available(self) -> bool:
        return self._source is not None or os.access(KERNEL_BTF, os.R_OK)

    @property
    def btf(self) -> Btf:
        if self._btf is None:
            if isinstance(self._source, (bytes, bytearray)):
                self._btf = _parse(bytes(self._source), "<bytes>")
            else:
                self._btf = _open(str(self._source or KERNEL_BTF))
        return self._btf


def _open(path: str) -> Btf:
    try:
        status = os.stat(path)
        return _open_cached(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise UsageError(f"cannot read kernel BTF: {error.strerror}", Where(file=path)) from None


@functools.lru_cache(maxsize=4)
def _open_cached(path: str, _mtime: int, _size: int) -> Btf:
    return _parse(Path(path).read_bytes(), path)


def _parse(raw: bytes, file: str) -> Btf:
    if raw[:4] == b"\x7fELF":
        section = ElfFile(raw, file).section(".BTF")
        if section is None:
            raise BtfError("no BTF in this file", Where(file=file, section=".BTF"))
        raw = section.raw
    return read_btf(raw, file=file)


@final
class Step:
    """One named member (`name`), or array index (`name` empty), of `type`."""

    __slots__ = ("type", "index", "name")

    def __init__(self, type: int, index: int, name: str = "") -> None:
        self.type = type
        self.index = index
        self.name = name


@final
class Walk:
    """A walked path: where it begins, its steps, and the bit offset it leads to."""

    __slots__ = ("btf", "root", "steps", "bits")

    def __init__(self, btf: Btf, root: int) -> None:
        self.btf = btf
        self.root = root
        self.steps: list[Step] = []
        self.bits = 0


@final
class Outcome:
    """What an instruction should hold: `value`; for an offset, also the `size` and `type` of the field; or `poison`."""

    __slots__ = ("value", "size", "type", "checked", "poison")

    def __init__(
        self, value: int = 0, size: int = 0, type: int = 0, checked: bool = True, poison: bool = False
    ) -> None:
        self.value = value
        self.size = size
        self.type = type
        self.checked = checked
        self.poison = poison


def _about(kind: int) -> str:
    return KINDS[kind][2] if kind < len(KINDS) else ""


# -- walking ---------------------------------------------------------------------------------------------------------


def parse_access(local: Btf, relocation: CoreRelocation, where: Where) -> Walk:
    """The relocation's path, walked in the program's own types."""
    parts = relocation.access.split(":")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts) or len(parts) > MAX_PATH:
        raise BtfError(f"bad CO-RE access string {relocation.access[:40]!r}", where)
    indices = [int(part) for part in parts]
    path = Walk(local, relocation.type)
    if _about(relocation.kind) == "type":
        return path
    id = local.resolve(relocation.type)
    t = local.type(id)
    if _about(relocation.kind) == "enum value":
        if t.kind not in (b.ENUM, b.ENUM64) or len(indices) > 1 or indices[0] >= len(t.values):
            raise BtfError(f"CO-RE access {relocation.access!r} is no value of {t!r}", where)
        path.steps.append(Step(id, indices[0], t.values[indices[0]].name))
        return path
    path.steps.append(Step(id, indices[0]))
    path.bits = indices[0] * local.size_of(id) * 8
    for index in indices[1:]:
        id = local.resolve(id)
        t = local.type(id)
        if t.kind in COMPOSITES and index < len(t.members):
            member = t.members[index]
            path.bits += member.offset
            if member.name:
                path.steps.append(Step(id, index, member.name))
            id = member.type
        elif t.kind == b.ARRAY and (index < t.nelems or _flexible(local, path.steps[-1], t)):
            id = local.resolve(t.type)
            path.steps.append(Step(id, index))
            path.bits += index * local.size_of(id) * 8
        else:
            raise BtfError(f"CO-RE access {relocation.access!r} leads out of {t!r}", where)
    return path


def _flexible(btf: Btf, step: Step, array: b.BtfType) -> bool:
    """Whether an array without a size ends its struct, so that any index is fine."""
    return bool(step.name) and not array.nelems and step.index == len(btf.type(step.type).members) - 1


def match_path(local: Walk, kind: int, target: Btf, id: int) -> Walk | None:
    """The same path in type `id` of the target, or None."""
    found = Walk(target, id)
    if _about(kind) == "type":
        relation = types_match if kind == TYPE_MATCHES else types_compatible
        return found if relation(local.btf, local.root, target, id) else None
    if _about(kind) == "enum value":
        return _match_value(local, found, target, id)
    for number, step in enumerate(local.steps):
        id = target.resolve(id)
        if step.name:
            member = local.btf.type(step.type).members[step.index]
            next_id = _match_member(local.btf, step.name, member.type, found, id, 0)
            if next_id is None:
                return None
            id = next_id
            continue
        t = target.type(id)
        if number:
            if t.kind != b.ARRAY or not (step.index < t.nelems or _flexible(target, found.steps[-1], t)):
                return None
            id = target.resolve(t.type)
        found.steps.append(Step(id, step.index))
        if step.index:
            found.bits += step.index * target.size_of(id) * 8
        elif not _sized(target, id):
            return None
    return found


def _sized(btf: Btf, id: int) -> bool:
    try:
        btf.size_of(id)
    except BtfError:
        return False
    return True


def _match_value(local: Walk, found: Walk, target: Btf, id: int) -> Walk | None:
    id = target.resolve(id)
    name = essential(local.steps[0].name)
    for index, value in enumerate(target.type(id).values):
        if essential(value.name) == name:
            found.steps.append(Step(id, index, value.name))
            return found
    return None


def _match_member(local: Btf, name: str, type: int, found: Walk, id: int, depth: int) -> int | None:
    """Find member `name` in type `id` or in the nameless structs inside it; returns the member's type."""
    t = found.btf.type(id)
    if t.kind not in COMPOSITES or depth > MAX_PATH:
        return None
    for index, member in enumerate(t.members):
        found.bits += member.offset
        if not member.name:
            inner = _match_member(local, name, type, found, found.btf.resolve(member.type), depth + 1)
            if inner is not None:
                return inner
        elif member.name == name:
            if not fields_compatible(local, type, found.btf, member.type):
                found.bits -= member.offset
                return None
            found.steps.append(Step(id, index, name))
            return member.type
        found.bits -= member.offset
    return None


# -- computing -------------------------------------------------------------------------------------------------------


def compute(kind: int, path: Walk | None, where: Where) -> Outcome:
    """What the relocation asks for, on a walked path; None: there is no such thing."""
    if kind in (FIELD_EXISTS, TYPE_EXISTS, TYPE_MATCHES, ENUM_EXISTS):
        return Outcome(0 if path is None else 1)
    if path is None:
        return Outcome(poison=_about(kind) != "type")
    if kind == TYPE_TARGET:
        return Outcome(path.root, checked=False)
    if kind == TYPE_SIZE:
        return Outcome(path.btf.size_of(path.root))
    last = path.steps[-1]
    if kind == ENUM_VALUE:
        return Outcome(path.btf.type(last.type).values[last.index].value & (1 << 64) - 1)
    if not last.name:
        if kind not in (BYTE_OFF, BYTE_SIZE):
            raise BtfError(f"CO-RE relocation {KINDS[kind][1]} of an array element", where)
        size = path.btf.size_of(last.type)
        return Outcome(path.bits // 8, size, last.type) if kind == BYTE_OFF else Outcome(size)
    return _field(kind, path, last, where)


def _field(kind: int, path: Walk, last: Step, where: Where) -> Outcome:
    member = path.btf.type(last.type).members[last.index]
    id = path.btf.resolve(member.type)
    t = path.btf.type(id)
    bits = member.bits
    if bits:
        size, offset = _container(path.bits, bits, t.size, where)
    else:
        size = path.btf.size_of(id)
        offset, bits = path.bits // 8, size * 8
    checked = member.bits == 0
    if kind == BYTE_OFF:
        return Outcome(offset, 0 if member.bits else size, id, checked)
    if kind == BYTE_SIZE:
        return Outcome(size, checked=checked)
    if kind == SIGNED:
        return Outcome(1 if t.kind in (b.INT, b.ENUM, b.ENUM64) and t.signed else 0)
    if kind == LSHIFT:
        if path.btf.big_endian:
            return Outcome((8 - size) * 8 + path.bits - offset * 8, checked=checked)
        return Outcome(64 - (path.bits + bits - offset * 8), checked=checked)
    return Outcome(64 - bits)


def _container(at: int, bits: int, size: int, where: Where) -> tuple[int, int]:
    """The smallest aligned word (size and byte offset) that holds a bit-field."""
    size = max(1, size)
    while True:
        offset = at // 8 // size * size
        if at + bits <= (offset + size) * 8:
            return size, offset
        if size >= 8:
            raise BtfError("a bit-field that no 64-bit load can reach", where)
        size *= 2


def resolve(relocation: CoreRelocation, local: Btf, target: Target, where: Where) -> tuple[Outcome, Outcome, bool]:
    """What stands in the instruction, what has to, and whether the size of a load or store may be adjusted."""
    if relocation.kind >= len(KINDS):
        raise BtfError(f"unknown CO-RE relocation kind {relocation.kind}", where)
    if relocation.kind == TYPE_LOCAL:
        same = Outcome(relocation.type, checked=False)
        return same, same, True
    path = parse_access(local, relocation, where)
    root = local.type(relocation.type)
    if not root.name:
        raise BtfError("CO-RE relocation of a type without a name", where)
    if not target.available:
        raise UsageError("CO-RE relocations need a kernel's BTF and this machine shows none: give btf=", where)
    before = compute(relocation.kind, path, where)
    found: list[tuple[Walk, Outcome]] = []
    for id in candidates(target.btf, root):
        match = match_path(path, relocation.kind, target.btf, id)
        if match is not None:
            found.append((match, compute(relocation.kind, match, where)))
    if not found:
        return before, compute(relocation.kind, None, where), True
    first, after = found[0]
    if any(p.bits != first.bits or o.value != after.value for p, o in found[1:]):
        raise BtfError(f"CO-RE relocation of {root!r} is ambiguous: {len(found)} types of the kernel disagree", where)
    return before, after, before.size == after.size or _resizable(local.type(before.type), target.btf.type(after.type))


def _resizable(mine: b.BtfType, theirs: b.BtfType) -> bool:
    """Only what zero extension leaves as it was: pointers, and unsigned integers."""
    if mine.kind == b.PTR and theirs.kind == b.PTR:
        return True
    return mine.kind == b.INT and theirs.kind == b.INT and b.INT_SIGNED not in (mine.encoding, theirs.encoding)


def candidates(target: Btf, root: b.BtfType) -> list[int]:
    """Types of the target with the essential name and kind of `root`."""
    return [id for id in target.essentials(essential).get(essential(root.name), []) if same_kind(root, target.type(id))]


# -- patching --------------------------------------------------------------------------------------------------------


def apply(code: bytearray, slot: int, relocation: CoreRelocation, local: Btf, target: Target, where: Where) -> None:
    """Patch the instruction in `slot` of `code`."""
    before, after, resizable = resolve(relocation, local, target, where)
    order, at = ">" if local.big_endian else "<", slot * 8
    op, regs, off, imm = struct.unpack_from(order + "BBhi", code, at)
    kind = op & 7
    if kind in (4, 7) and not op & 8:                     # ALU, ALU64 with an immediate
        if after.poison:
            _poison(code, slot, order)
            return
        if before.checked and imm & 0xFFFFFFFF != before.value & 0xFFFFFFFF:
            raise BtfError(f"CO-RE: the instruction holds {imm}, the program's types say {before.value}", where)
        struct.pack_into(order + "I", code, at + 4, after.value & 0xFFFFFFFF)
    elif kind in (1, 2, 3):                               # LDX, ST, STX
        if after.poison:
            _poison(code, slot, order)
            return
        if before.checked and off != before.value:
            raise BtfError(f"CO-RE: the instruction holds {off}, the program's types say {before.value}", where)
        if after.value > 0x7FFF:
            raise BtfError(f"CO-RE: offset {after.value} does not fit the instruction", where)
        if not resizable:
            _poison(code, slot, order)
            return
        struct.pack_into(order + "h", code, at + 2, after.value)
        if before.size != after.size:
            code[at] = _resized(op, before.size, after.size, where)
    elif op == 0x18 and at + 16 <= len(code):             # wide load of a constant
        if after.poison:
            _poison(code, slot, order)
            _poison(code, slot + 1, order)
            return
        (high,) = struct.unpack_from(order + "I", code, at + 12)
        held = high << 32 | imm & 0xFFFFFFFF
        if before.checked and held != before.value:
            raise BtfError(f"CO-RE: the instruction holds {held}, the program's types say {before.value}", where)
        struct.pack_into(order + "I", code, at + 4, after.value & 0xFFFFFFFF)
        struct.pack_into(order + "I", code, at + 12, after.value >> 32)
    else:
        raise BtfError(f"CO-RE relocation of an instruction with code {op:#04x}", where)


def _resized(op: int, before: int, after: int, where: Where) -> int:
    sizes = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
    if sizes.get(before) != op & 0x18 or after not in sizes:
        raise BtfError(f"CO-RE: a load or store of {before} bytes cannot become one of {after}", where)
    return op & ~0x18 | sizes[after]


def _poison(code: bytearray, slot: int, order: str) -> None:
    struct.pack_into(order + "BBhi", code, slot * 8, 0x85, 0, 0, POISON)
