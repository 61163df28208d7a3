"""BTF, the BPF type format: reading and writing the `.BTF` section.

BTF describes C types compactly: every type is a record of 12 bytes, numbered from 1, followed by what its kind adds.
Type 0 is `void`.  Names are offsets into a string table.  A module's ("split") BTF continues the numbers and the
strings of a base.  Records are decoded when they are asked for, so that a kernel's 150,000 types open in a moment.

    .BTF   +----------------------------+  header: magic 0xeb9f, version 1, flags, hdr_len,
           | header (24 bytes)          |          type_off, type_len, str_off, str_len
           +----------------------------+
           | types: name_off, info,     |  info: bits 0-15 vlen, 24-28 kind, 31 kind flag
           |   size or type, extra ...  |
           +----------------------------+
           | strings, NUL-terminated    |  the first one is empty
           +----------------------------+

Kernel: Documentation/bpf/btf.rst, include/uapi/linux/btf.h, kernel/bpf/btf.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, final

from bpfbench.elf.btf_types import (
    ARRAY,
    DATASEC,
    DECL_TAG,
    ENUM,
    ENUM64,
    FLOAT,
    FUNC,
    FUNC_PROTO,
    HEADER_LEN,
    INT,
    KINDS,
    MAGIC,
    MAX_DEPTH,
    MODIFIERS,
    PTR,
    STRUCT,
    UNION,
    UNKN,
    VAR,
    BtfType,
    Enumerator,
    Member,
    Param,
    SecVar,
)
from bpfbench.errors import BtfError, Where


@final
class Btf:
    """A set of types.  `Btf()` is empty and grows by `add`; `Btf(raw)` reads; `to_bytes()` writes.

    >>> btf = Btf()
    >>> btf.to_bytes()[:2].hex()
    '9feb'
    """

    def __init__(self, raw: bytes = b"", base: Btf | None = None, where: Where | None = None) -> None:
        self.base = base
        self.where = where if where is not None else Where(section=".BTF")
        self.big_endian = False
        self.start_id: int = len(base) if base is not None else 1
        self.start_str: int = base.start_str + len(base.strings) if base is not None else 0
        self.strings: bytearray = bytearray(b"" if base is not None else b"\0")
        self._types = b""
        self._types_at = HEADER_LEN
        self._offsets: list[int] = []
        self._decoded: dict[int, BtfType] = {}
        self._names: dict[str, list[int]] | None = None
        self._essentials: dict[str, list[int]] | None = None
        self._interned: dict[str, int] | None = None
        if raw:
            self._open(raw)

    # -- reading ----------------------------------------------------------------------------------------------------

    def _fail(self, message: str, offset: int) -> BtfError:
        where = self.where
        return BtfError(message, Where(file=where.file, section=where.section, offset=offset))

    def _open(self, raw: bytes) -> None:
        if len(raw) < HEADER_LEN:
            raise self._fail(f"BTF header needs {HEADER_LEN} bytes, {len(raw)} are there", 0)
        if raw[:2] not in (b"\x9f\xeb", b"\xeb\x9f"):
            raise self._fail("bad BTF magic", 0)
        self.big_endian = raw[:2] == b"\xeb\x9f"
        order = self._order
        version, flags, hdr_len, type_off, type_len, str_off, str_len = struct.unpack_from(order + "BBIIIII", raw, 2)
        if version != 1:
            raise self._fail(f"unsupported BTF version {version}", 2)
        if flags:
            raise self._fail(f"unsupported BTF flags {flags:#x}", 3)
        if not HEADER_LEN <= hdr_len <= len(raw):
            raise self._fail(f"bad BTF header length {hdr_len}", 4)
        if type_off % 4:
            raise self._fail(f"BTF types at {type_off} are not aligned", 8)
        if hdr_len + type_off + type_len > len(raw):
            raise self._fail("BTF types end outside the section", 8)
        if hdr_len + str_off + str_len > len(raw) or str_off < type_off + type_len:
            raise self._fail("BTF strings lie outside the section or over the types", 16)
        self._types_at = hdr_len + type_off
        self._types = raw[self._types_at : self._types_at + type_len]
        self.strings = bytearray(raw[hdr_len + str_off : hdr_len + str_off + str_len])
        if self.strings and self.strings[-1] or (self.base is None and self.strings[:1] != b"\0"):
            raise self._fail("BTF strings must begin and end with NUL", hdr_len + str_off)
        self._scan()

    @property
    def _order(self) -> str:
        return ">" if self.big_endian else "<"

    def _scan(self) -> None:
        """Find where each record begins; nothing is decoded."""
        types, pos, end = self._types, 0, len(self._types)
        once = [k[1] + 12 for k in KINDS]
        each = [k[2] for k in KINDS]
        unpack = struct.Struct(self._order + "4xI4x").unpack_from
        offsets = self._offsets
        while pos < end:
            if end - pos < 12:
                raise self._fail("truncated BTF type", self._types_at + pos)
            (word,) = unpack(types, pos)
            kind = word >> 24 & 0x1F
            if not 0 < kind < len(KINDS):
                number = self.start_id + len(offsets)
                raise self._fail(f"unknown BTF kind {kind} of type {number}", self._types_at + pos)
            offsets.append(pos)
            pos += once[kind] + each[kind] * (word & 0xFFFF)
        if pos != end:
            last = self.start_id + len(offsets) - 1
            raise self._fail(f"BTF type {last} ends outside the types", self._types_at + offsets[-1])

    def __repr__(self) -> str:
        return f"Btf({len(self)} types)"

    def __len__(self) -> int:
        """The number of types, void and the base's types included: valid ids are 0 … len-1."""
        return self.start_id + len(self._offsets)

    def __iter__(self) -> Iterator[int]:
        """Own type ids, in order."""
        return iter(range(self.start_id, len(self)))

    def type(self, id: int) -> BtfType:
        """The type with this id; void is a type of kind UNKN."""
        found = self._decoded.get(id)
        if found is not None:
            return found
        if id == 0:
            return _VOID
        if self.base is not None and 0 < id < self.start_id:
            return self.base.type(id)
        if not self.start_id <= id < len(self):
            raise self._fail(f"BTF type {id} does not exist (there are {len(self)})", 0)
        found = self._decode(id)
        self._decoded[id] = found
        return found

    def string(self, offset: int, at: int = 0) -> str:
        """The string at `offset` of the string table."""
        if self.base is not None and offset < self.start_str:
            return self.base.string(offset, at)
        start = offset - self.start_str
        if start >= len(self.strings) or start < 0:
            raise self._fail(f"BTF string offset {offset:#x} is outside the strings", at)
        return self.strings[start : self.strings.index(0, start)].decode("utf-8", "replace")

    def _decode(self, id: int) -> BtfType:
        pos = self._offsets[id - self.start_id]
        at = self._types_at + pos
        order, raw = self._order, self._types
        name_off, word, third = struct.unpack_from(order + "III", raw, pos)
        kind, vlen = word >> 24 & 0x1F, word & 0xFFFF
        t = BtfType(kind, self.string(name_off, at), kflag=word >> 31 == 1)
        t.name_off = name_off
        pos += 12
        if KINDS[kind][3]:
            t.type = self._checked(third, at)
        else:
            t.size = third
        if kind == INT:
            (extra,) = struct.unpack_from(order + "I", raw, pos)
            t.encoding, t.bit_offset, t.bits = extra >> 24 & 15, extra >> 16 & 255, extra & 255
        elif kind == ARRAY:
            element, index, t.nelems = struct.unpack_from(order + "III", raw, pos)
            t.type, t.index_type = self._checked(element, at), self._checked(index, at)
        elif kind in (STRUCT, UNION):
            self._decode_members(t, pos, vlen)
        elif kind == ENUM:
            code = "Ii" if t.kflag else "II"
            for off, value in struct.iter_unpack(order + code, raw[pos : pos + 8 * vlen]):
                t.values.append(Enumerator(self.string(off, at), value, off))
        elif kind == ENUM64:
            for off, low, high in struct.iter_unpack(order + "III", raw[pos : pos + 12 * vlen]):
                value = (high << 32 | low) - (1 << 64 if t.kflag and high >> 31 else 0)
                t.values.append(Enumerator(self.string(off, at), value, off))
        elif kind == FUNC:
            t.linkage = vlen
        elif kind == FUNC_PROTO:
            for off, ref in struct.iter_unpack(order + "II", raw[pos : pos + 8 * vlen]):
                t.params.append(Param(self.string(off, at), self._checked(ref, at), off))
        elif kind == VAR:
            (t.linkage,) = struct.unpack_from(order + "I", raw, pos)
        elif kind == DATASEC:
            for ref, offset, size in struct.iter_unpack(order + "III", raw[pos : pos + 12 * vlen]):
                t.variables.append(SecVar(self._checked(ref, at), offset, size))
        elif kind == DECL_TAG:
            (t.component,) = struct.unpack_from(order + "i", raw, pos)
        return t

    def _decode_members(self, t: BtfType, pos: int, vlen: int) -> None:
        at = self._types_at + pos
        for off, ref, place in struct.iter_unpack(self._order + "III", self._types[pos : pos + 12 * vlen]):
            bits = place >> 24 if t.kflag else 0
            offset = place & 0xFFFFFF if t.kflag else place
            t.members.append(Member(self.string(off, at), self._checked(ref, at), offset, bits, off))

    def _checked(self, id: int, at: int) -> int:
        if id >= len(self):
            raise self._fail(f"reference to BTF type {id}, which does not exist", at)
        return id

    # -- asking -----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Decode every type, so that any malformed record raises now rather than later."""
        for id in self:
            self.type(id)

    def names(self) -> dict[str, list[int]]:
        """Every name with the ids that carry it (own types only, in order of ids)."""
        if self._names is None:
            index: dict[str, list[int]] = {}
            for id in self:
                index.setdefault(self._name_of(id), []).append(id)
            self._names = index
        return self._names

    def essentials(self, essential: Callable[[str], str]) -> dict[str, list[int]]:
        """`names` with every name cut by `essential`; the nameless left out."""
        if self._essentials is None:
            index: dict[str, list[int]] = {}
            for name, ids in self.names().items():
                if name:
                    index.setdefault(essential(name) if "___" in name else name, []).extend(ids)
            self._essentials = {name: sorted(ids) for name, ids in index.items()}
        return self._essentials

    def _name_of(self, id: int) -> str:
        known = self._decoded.get(id)
        if known is not None:
            return known.name
        pos = self._offsets[id - self.start_id]
        (off,) = struct.unpack_from(self._order + "I", self._types, pos)
        return self.string(off, self._types_at + pos)

    def kind_of(self, id: int) -> int:
        """The kind of a type without decoding the rest of it."""
        if not self.start_id <= id < len(self) or id in self._decoded:
            return self.type(id).kind
        word: int = struct.unpack_from(self._order + "4xI", self._types, self._offsets[id - self.start_id])[0]
        return word >> 24 & 0x1F

    def find(self, name: str, kind: int = 0) -> int | None:
        """The first type of this name (and kind, if given); None if there is none."""
        for id in self.names().get(name, []):
            if not kind or self.kind_of(id) == kind:
                return id
        return self.base.find(name, kind) if self.base is not None else None

    def resolve(self, id: int) -> int:
        """`id` without its typedefs and qualifiers."""
        for _ in range(MAX_DEPTH):
            t = self.type(id)
            if t.kind not in MODIFIERS:
                return id
            id = t.type
        raise self._fail(f"chain of more than {MAX_DEPTH} BTF modifiers at type {id}", 0)

    def size_of(self, id: int) -> int:
        """The size of a type in bytes (pointers have 8); BtfError for types that have none."""
        count = 1
        for _ in range(MAX_DEPTH):
            t = self.type(id)
            if t.kind in (INT, STRUCT, UNION, ENUM, ENUM64, FLOAT, DATASEC):
                return self._bounded(count * t.size, id)
            if t.kind == PTR:
                return self._bounded(count * 8, id)
            if t.kind == ARRAY:
                count = self._bounded(count * t.nelems, id)
            elif t.kind not in MODIFIERS and t.kind not in (VAR, DECL_TAG):
                break
            id = t.type
        raise self._fail(f"BTF type {id} ({KINDS[self.type(id).kind][0]}) has no size", 0)

    def _bounded(self, size: int, id: int) -> int:
        if size > 0xFFFFFFFF:
            raise self._fail(f"BTF type {id} is larger than 4 GiB", 0)
        return size

    def align_of(self, id: int, depth: int = 0) -> int:
        """The natural alignment of a type in bytes (1 for a packed struct)."""
        t = self.type(self.resolve(id))
        if depth > MAX_DEPTH:
            raise self._fail(f"BTF types nest deeper than {MAX_DEPTH}", 0)
        if t.kind in (INT, ENUM, ENUM64, FLOAT):
            return max(1, min(8, t.size))
        if t.kind == PTR:
            return 8
        if t.kind == ARRAY:
            return self.align_of(t.type, depth + 1)
        if t.kind not in (STRUCT, UNION):
            raise self._fail(f"BTF type {id} ({KINDS[t.kind][0]}) has no alignment", 0)
        align = 1
        for m in t.members:
            own = self.align_of(m.type, depth + 1)
            if m.bits == 0 and m.offset % (8 * own):
                return 1
            align = max(align, own)
        return align if t.size % align == 0 else 1

    # -- building and writing ---------------------------------------------------------------------------------------

    def intern(self, text: str) -> int:
        """The offset of `text` in the string table, added if it is new."""
        if self._interned is None:
            self._interned = {}
            start = self.start_str
            for part in bytes(self.strings).split(b"\0")[:-1]:
                self._interned.setdefault(part.decode("utf-8", "replace"), start)
                start += len(part) + 1
        found = self._interned.get(text)
        if found is None and not text:
            return 0
        if found is None:
            found = self.start_str + len(self.strings)
            self.strings += text.encode() + b"\0"
            self._interned[text] = found
        return found

    def add(self, t: BtfType) -> int:
        """Append a type; returns its id."""
        self._offsets.append(-1)
        id = len(self) - 1
        self._decoded[id] = t
        self._names = self._essentials = None
        return id

    def to_bytes(self) -> bytes:
        """The contents of a `.BTF` section; what was read and not changed comes back byte for byte."""
        body = b"".join(self._encode(self.type(id)) for id in self)
        order = self._order
        header = struct.pack(
            order + "HBBIIIII", MAGIC, 1, 0, HEADER_LEN, 0, len(body), len(body), len(self.strings)
        )
        return header + body + bytes(self.strings)

    def _ref(self, name: str, name_off: int) -> int:
        return name_off if name_off >= 0 and self.string(name_off) == name else self.intern(name)

    def _encode(self, t: BtfType) -> bytes:
        order = self._order
        vlen = len(t.members) + len(t.values) + len(t.params) + len(t.variables)
        if t.kind == FUNC:
            vlen = t.linkage
        if vlen > 0xFFFF:
            raise self._fail(f"{t!r} has {vlen} elements, BTF counts to 65535", 0)
        third = t.type if KINDS[t.kind][3] else t.size
        out = [struct.pack(order + "III", self._ref(t.name, t.name_off), t.kflag << 31 | t.kind << 24 | vlen, third)]
        if t.kind == INT:
            out.append(struct.pack(order + "I", t.encoding << 24 | t.bit_offset << 16 | t.bits))
        elif t.kind == ARRAY:
            out.append(struct.pack(order + "III", t.type, t.index_type, t.nelems))
        elif t.kind == VAR:
            out.append(struct.pack(order + "I", t.linkage))
        elif t.kind == DECL_TAG:
            out.append(struct.pack(order + "i", t.component))
        for m in t.members:
            place = m.bits << 24 | m.offset if t.kflag else m.offset
            out.append(struct.pack(order + "III", self._ref(m.name, m.name_off), m.type, place))
        for v in t.values:
            name = self._ref(v.name, v.name_off)
            low, high = v.value & 0xFFFFFFFF, v.value >> 32 & 0xFFFFFFFF
            wide = t.kind == ENUM64
            out.append(struct.pack(order + "III", name, low, high) if wide else struct.pack(order + "II", name, low))
        for p in t.params:
            out.append(struct.pack(order + "II", self._ref(p.name, p.name_off), p.type))
        for s in t.variables:
            out.append(struct.pack(order + "III", s.type, s.offset, s.size))
        return b"".join(out)


_VOID: Final = BtfType(UNKN, "void")


def read_btf(raw: bytes, base: Btf | None = None, file: str = "") -> Btf:
    """Read raw BTF (a `.BTF` section or `/sys/kernel/btf/…`); BtfError names the offset of what is malformed."""
    return Btf(raw, base, Where(file=file, section=".BTF"))
