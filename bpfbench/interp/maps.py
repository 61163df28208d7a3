"""Maps: the memory that programs share with each other and with user space.

A map has two faces.  Programs see *addresses*: `lookup` returns where a value lies (0: nowhere), and what they write
there stays.  User space sees *bytes*: `get`, `set`, `items`.  Errors are the kernel's negative errno, returned.

A hash table keeps its values in slabs of equal slots.  As in the kernel, an update of an existing key moves the value
into a fresh slot, so a pointer from an earlier lookup goes on reading the old value (kernel/bpf/hashtab.c,
`htab_map_update_elem`).  What differs from the kernel: the order in which LRU kinds evict is exactly least recently
used here, while the kernel's is approximate.

Kinds with an order or a protocol of their own (tries, queues, ring buffers, maps of maps, redirects) are in
`map_kinds.py`; this file has the base and the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import E2BIG, EEXIST, EINVAL, ENOENT, ENOTSUP
from typing import ClassVar, Final

from bpfbench.errors import InterpError
from bpfbench.interp.memory import Memory, Region
from bpfbench.program.program import MapSpec

BPF_ANY: Final = 0
BPF_NOEXIST: Final = 1
BPF_EXIST: Final = 2
BPF_F_LOCK: Final = 4
BPF_F_NO_PREALLOC: Final = 1
BPF_F_RDONLY_PROG: Final = 1 << 7
BPF_F_WRONLY_PROG: Final = 1 << 8

MAX_BYTES: Final = 1 << 30       # more than this in one map is refused rather than allocated
SLAB_SLOTS: Final = 64

Value = bytes | list[bytes]      # per-CPU kinds: one value per CPU


class Map:
    """One map: its shape, its memory, and the operations common to all kinds (by default: refused)."""

    kinds: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        self.spec = spec
        self.name = spec.name
        self.type = spec.type
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self.memory = memory
        self.cpus = cpus
        self.address = memory.add(f"map {spec.name or spec.type}", 0, writable=False, owner=self).base

    # ------------------------------------------------------------------------------------------- what programs call
    def lookup(self, key: bytes, cpu: int = 0) -> int:
        """Address of the value of `key`, or 0."""
        return 0

    def update(self, key: bytes, value: bytes, flags: int, cpu: int = 0) -> int:
        return -ENOTSUP

    def delete(self, key: bytes) -> int:
        return -ENOTSUP

    def push(self, value: bytes, flags: int) -> int:
        return -ENOTSUP

    def pop(self) -> bytes | None:
        return None

    def peek(self) -> bytes | None:
        return None

    def direct(self, offset: int) -> int:
        """Address of byte `offset` of the values as one block (lddw with a map value)."""
        raise InterpError(f"map {self.name or self.type}: values of type {self.type} have no direct address")

    # --------------------------------------------------------------------------------------------- what people call
    def keys(self) -> list[bytes]:
        return []

    def get(self, key: bytes | int) -> Value | None:
        """The value of a key (int: a little-endian key of the map's size), or None."""
        return None

    def set(self, key: bytes | int, value: bytes | int) -> None:
        """Store a value as user space would; raises `InterpError` with the kernel's reason."""
        raw = as_bytes(value, self.value_size)
        if len(raw) != self.value_size:
            raise InterpError(f"map {self.name}: a value has {self.value_size} bytes, not {len(raw)}")
        errno = 0
        for cpu in range(self.cpus):
            errno = self.update(self._key(key), raw, BPF_ANY, cpu)
        if errno:
            raise InterpError(f"map {self.name}: update refused with errno {-errno}")

    def items(self) -> list[tuple[bytes, Value]]:
        return [(key, value) for key in self.keys() if (value := self.get(key)) is not None]

    def _key(self, key: bytes | int) -> bytes:
        raw = as_bytes(key, self.key_size)
        if len(raw) != self.key_size:
            raise InterpError(f"map {self.name}: a key has {self.key_size} bytes, not {len(raw)}")
        return raw

    def __getitem__(self, key: bytes | int) -> Value:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        return f"<{self.type} {self.name!r} key {self.key_size} value {self.value_size} max {self.max_entries}>"


def as_bytes(value: bytes | int, size: int) -> bytes:
    if isinstance(value, int):
        return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    return bytes(value)


def check_flags(flags: int, present: bool) -> int:
    """The errno for an update with these flags of a key that is or is not present; 0 if it may go on."""
    if flags & ~BPF_F_LOCK > BPF_EXIST:
        return -EINVAL
    if present and flags & 3 == BPF_NOEXIST:
        return -EEXIST
    if not present and flags & 3 == BPF_EXIST:
        return -ENOENT
    return 0


def _limited(spec: MapSpec, size: int) -> int:
    if size > MAX_BYTES:
        raise InterpError(f"map {spec.name or spec.type}: {size} bytes of values are more than {MAX_BYTES}")
    return size


# ------------------------------------------------------------------------------------------------------------- arrays
class Array(Map):
    """Values side by side, indexed by a u32; all exist from the start (kernel/bpf/arraymap.c)."""

    kinds: ClassVar[tuple[str, ...]] = ("array", "percpu_array")

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, cpus if spec.type.startswith("percpu") else 1)
        self.stride = (spec.value_size + 7) & ~7
        size = _limited(spec, self.stride * max(spec.max_entries, 1))
        writable = not spec.flags & BPF_F_RDONLY_PROG
        name = f"value of {spec.name or spec.type}"
        self.regions = [memory.add(name, size, writable, owner=None) for _ in range(self.cpus)]
        if spec.contents:
            self.regions[0].buf[: len(spec.contents)] = spec.contents[:size]

    def lookup(self, key: bytes, cpu: int = 0) -> int:
        index = int.from_bytes(key[:4], "little")
        if index >= self.max_entries or cpu >= self.cpus:
            return 0
        return self.regions[cpu].base + index * self.stride

    def update(self, key: bytes, value: bytes, flags: int, cpu: int = 0) -> int:
        if flags & ~BPF_F_LOCK > BPF_EXIST:
            return -EINVAL
        address = self.lookup(key, cpu)
        if not address:
            return -E2BIG
        if flags & BPF_NOEXIST:
            return -EEXIST
        at = address - self.regions[cpu].base
        self.regions[cpu].buf[at : at + len(value)] = value
        return 0

    def delete(self, key: bytes) -> int:
        return -EINVAL

    def direct(self, offset: int) -> int:
        if self.type != "array" or offset >= self.max_entries * self.stride:
            return super().direct(offset)
        return self.regions[0].base + offset

    def keys(self) -> list[bytes]:
        return [index.to_bytes(4, "little") for index in range(self.max_entries)]

    def get(self, key: bytes | int) -> Value | None:
        index = int.from_bytes(self._key(key), "little")
        if index >= self.max_entries:
            return None
        at = index * self.stride
        values = [bytes(r.buf[at : at + self.value_size]) for r in self.regions]
        return values if self.type.startswith("percpu") else values[0]


# -------------------------------------------------------------------------------------------------------- hash tables
class Slab:
    """Equal slots in regions that grow by need; a slot is known by its address and stays where it is."""

    def __init__(self, memory: Memory, name: str, size: int) -> None:
        self.memory = memory
        self.name = name
        self.size = size
        self.stride = max((size + 7) & ~7, 8)
        self.free: list[int] = []
        self.region_of: dict[int, Region] = {}

    def take(self) -> int:
        if not self.free:
            region = self.memory.add(self.name, self.stride * SLAB_SLOTS)
            slots = [region.base + i * self.stride for i in range(SLAB_SLOTS)]
            self.region_of.update(dict.fromkeys(slots, region))
            self.free = slots[::-1]
        return self.free.pop()

    def give(self, slot: int) -> None:
        self.free.insert(0, slot)

    def read(self, slot: int) -> bytes:
        region = self.region_of[slot]
        at = slot - region.base
        return bytes(region.buf[at : at + self.size])

    def write(self, slot: int, value: bytes) -> None:
        region = self.region_of[slot]
        at = slot - region.base
        region.buf[at : at + self.size] = value


class Hash(Map):
    """Hash tables with and without LRU eviction, plain and per CPU (kernel/bpf/hashtab.c)."""

    kinds: ClassVar[tuple[str, ...]] = ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash")

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        self.per_cpu = "percpu" in spec.type
        super().__init__(spec, memory, cpus if self.per_cpu else 1)
        self.slab = Slab(memory, f"value of {spec.name or spec.type}", spec.value_size)
        self.slots: dict[bytes, list[int]] = {}      # insertion order is age, for the LRU kinds
        self.lru = spec.type.startswith("lru")

    def lookup(self, key: bytes, cpu: int = 0) -> int:
        slots = self.slots.get(key)
        if slots is None or cpu >= self.cpus:
            return 0
        if self.lru:
            self.slots[key] = self.slots.pop(key)
        return slots[cpu]

    def update(self, key: bytes, value: bytes, flags: int, cpu: int = 0) -> int:
        old = self.slots.get(key)
        errno = check_flags(flags, old is not None)
        if errno:
            return errno
        if old is None and len(self.slots) >= self.max_entries:
            if not self.lru:
                return -E2BIG
            self.delete(next(iter(self.slots)))
        if old is not None and self.per_cpu:
            self.slab.write(old[cpu], value)
            return 0
        fresh = [self.slab.take() for _ in range(self.cpus)]
        for n, slot in enumerate(fresh):
            self.slab.write(slot, value if n == cpu else bytes(self.value_size))
        if old is not None:
            if self.lru:
                del self.slots[key]
            self.slab.give(old[0])
        self.slots[key] = fresh
        return 0

    def delete(self, key: bytes) -> int:
        slots = self.slots.pop(key, None)
        if slots is None:
            return -ENOENT
        for slot in slots:
            self.slab.give(slot)
        return 0

    def keys(self) -> list[bytes]:
        return list(self.slots)

    def get(self, key: bytes | int) -> Value | None:
        slots = self.slots.get(self._key(key))
        if slots is None:
            return None
        values = [self.slab.read(slot) for slot in slots]
        return values if self.per_cpu else values[0]


Factory = Callable[[MapSpec, Memory, int], Map]
