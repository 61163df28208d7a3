"""Maps with an order or a protocol of their own: tries, queues, ring buffers, maps of maps, redirect targets, storage.

Each class names the map types it stands for in `kinds`; `make_map` reads the table at the end.
Sources: kernel/bpf/lpm_trie.c, queue_stack_maps.c, bloom_filter.c, ringbuf.c, map_in_map.c, devmap.c, cpumap.c,
net/xdp/xskmap.c, bpf_local_storage.c.
"""

from __future__ import annotations

import struct
from errno import E2BIG, EEXIST, EINVAL, ENOENT, ENOSPC
from typing import ClassVar, Final

from bpfbench.bits import U64_MAX
from bpfbench.errors import InterpError, NotSupported

# isort: off
from bpfbench.interp.maps import (
    BPF_ANY, BPF_EXIST, BPF_F_RDONLY_PROG, BPF_NOEXIST, Array, Hash, Map, Slab, Value, check_flags,
)  # fmt: skip
# isort: on
from bpfbench.interp.memory import Memory, Region
from bpfbench.program.program import MapSpec, Program

RINGBUF_HEADER: Final = 8


class Trie(Map):
    """Longest-prefix match; a key is a u32 prefix length in bits and an address in network order."""

    kinds: ClassVar[tuple[str, ...]] = ("lpm_trie",)

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.slab = Slab(memory, f"value of {spec.name or spec.type}", spec.value_size)
        self.slots: dict[tuple[int, int], int] = {}      # (prefix length, masked address) -> slot
        self.given: dict[tuple[int, int], bytes] = {}    # the keys as they were given, bits behind the prefix and all

    def _prefix(self, key: bytes) -> tuple[int, int] | None:
        bits = (self.key_size - 4) * 8
        length = int.from_bytes(key[:4], "little")
        if length > bits:
            return None
        return length, int.from_bytes(key[4:], "big") >> (bits - length)

    def lookup(self, key: bytes, cpu: int = 0) -> int:
        want = self._prefix(key)
        if want is None:
            return 0
        length, address = want
        for shorter in range(length, -1, -1):
            slot = self.slots.get((shorter, address >> (length - shorter)))
            if slot is not None:
                return slot
        return 0

    def update(self, key: bytes, value: bytes, flags: int, cpu: int = 0) -> int:
        prefix = self._prefix(key)
        if flags > BPF_EXIST or prefix is None:
            return -EINVAL
        old = self.slots.get(prefix)
        errno = check_flags(flags, old is not None)
        if errno:
            return errno
        if old is None and len(self.slots) >= self.max_entries:
            return -ENOSPC
        slot = self.slab.take()
        self.slab.write(slot, value)
        self.slots[prefix], self.given[prefix] = slot, key
        if old is not None:
            self.slab.give(old)
        return 0

    def delete(self, key: bytes) -> int:
        prefix = self._prefix(key)
        if prefix is None:
            return -EINVAL
        slot = self.slots.pop(prefix, None)
        if slot is None:
            return -ENOENT
        self.slab.give(slot)
        return 0

    def keys(self) -> list[bytes]:
        return [self.given[prefix] for prefix in sorted(self.slots)]

    def get(self, key: bytes | int) -> Value | None:
        prefix = self._prefix(self._key(key))
        slot = self.slots.get(prefix) if prefix is not None else None
        return None if slot is None else self.slab.read(slot)


class Queue(Map):
    """First in first out, and the stack: last in first out."""

    kinds: ClassVar[tuple[str, ...]] = ("queue", "stack")

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.values: list[bytes] = []

    def push(self, value: bytes, flags: int) -> int:
        if flags not in (BPF_ANY, BPF_EXIST):
            return -EINVAL
        if len(self.values) >= self.max_entries:
            if flags != BPF_EXIST:
                return -E2BIG
            del self.values[0]
        self.values.append(value)
        return 0

    def update(self, key: bytes, value: bytes, flags: int, cpu: int = 0) -> int:
        return self.push(value, flags)

    def _end(self) -> int:
        return 0 if self.type == "queue" else -1

    def pop(self) -> bytes | None:
        return self.values.pop(self._end()) if self.values else None

    def peek(self) -> bytes | None:
        return self.values[self._end()] if self.values else None

    def keys(self) -> list[bytes]:
        return [index.to_bytes(4, "little") for index in range(len(self.values))]

    def get(self, key: bytes | int) -> Value | None:
        index = key if isinstance(key, int) else int.from_bytes(key, "little")
        return self.values[index] if index < len(self.values) else None


class Bloom(Map):
    """A Bloom filter without false positives: peek says whether a value was pushed."""

    kinds: ClassVar[tuple[str, ...]] = ("bloom_filter",)

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.values: set[bytes] = set()

    def push(self, value: bytes, flags: int) -> int:
        if flags != BPF_ANY:
            return -EINVAL
        self.values.add(value)
        return 0

    def update(self, key: bytes, value: bytes, flags: int, cpu: int = 0) -> int:
        return self.push(value, flags)

    def contains(self, value: bytes) -> bool:
        return value in self.values

    def __len__(self) -> int:
        return len(self.values)


class RingBuffer(Map):
    """Records of varying length for user space: reserve, fill, submit; `records` is what user space would read."""

    kinds: ClassVar[tuple[str, ...]] = ("ringbuf",)

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.records: list[bytes] = []
        self.reserved: dict[int, Region] = {}
        self.produced = 0
        self.consumed = 0

    def reserve(self, size: int) -> int:
        """Address of a record of `size` bytes, or 0 when it does not fit."""
        room = (size + RINGBUF_HEADER + 7) & ~7
        if size > (1 << 30) - 1 or self.produced + room - self.consumed > self.max_entries - 1:
            return 0
        self.produced += room
        region = self.memory.add(f"record of {self.name or self.type}", max(size, 1))
        self.reserved[region.base] = region
        return region.base

    def finish(self, address: int, keep: bool) -> bool:
        """Submit or discard; False if there is no such reservation."""
        region = self.reserved.pop(address, None)
        if region is None:
            return False
        if keep:
            self.records.append(bytes(region.buf))
        self.memory.drop(region)
        return True

    def output(self, content: bytes) -> int:
        address = self.reserve(len(content))
        if not address:
            return -11
        self.reserved[address].buf[: len(content)] = content
        self.finish(address, keep=True)
        return 0

    def take(self) -> list[bytes]:
        """Consume all records, as user space does."""
        taken, self.records = self.records, []
        self.consumed = self.produced
        return taken

    def keys(self) -> list[bytes]:
        return [index.to_bytes(4, "little") for index in range(len(self.records))]

    def get(self, key: bytes | int) -> Value | None:
        index = key if isinstance(key, int) else int.from_bytes(key, "little")
        return self.records[index] if index < len(self.records) else None


class PerfEvents(Map):
    """A perf event array with a reader on every CPU; `records` is what they would read: (cpu, bytes)."""

    kinds: ClassVar[tuple[str, ...]] = ("perf_event_array",)

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.records: list[tuple[int, bytes]] = []


class ProgramArray(Map):
    """Programs to tail call, by index."""

    kinds: ClassVar[tuple[str, ...]] = ("prog_array",)

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.programs: dict[int, Program] = {}

    def install(self, index: int, program: Program) -> None:
        if not 0 <= index < self.max_entries:
            raise InterpError(f"map {self.name}: no index {index} in a program array of {self.max_entries}")
        self.programs[index] = program

    def keys(self) -> list[bytes]:
        return [index.to_bytes(4, "little") for index in sorted(self.programs)]


class MapOfMaps(Map):
    """Maps by index or by key: what a lookup returns is the address of a map."""

    kinds: ClassVar[tuple[str, ...]] = ("array_of_maps", "hash_of_maps")

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.inner: dict[bytes, Map] = {}

    def install(self, key: bytes | int, inner: Map) -> None:
        raw = self._key(key)
        if self.type == "array_of_maps" and int.from_bytes(raw, "little") >= self.max_entries:
            raise InterpError(f"map {self.name}: no index {key!r} in an array of {self.max_entries} maps")
        self.inner[raw] = inner

    def lookup(self, key: bytes, cpu: int = 0) -> int:
        inner = self.inner.get(key)
        return inner.address if inner is not None else 0

    def keys(self) -> list[bytes]:
        return list(self.inner)


class Redirects(Map):
    """Devices, CPUs and AF_XDP sockets to redirect to.  Entries are what user space wrote."""

    kinds: ClassVar[tuple[str, ...]] = ("devmap", "devmap_hash", "cpumap", "xskmap")

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.table = Hash(MapSpec("hash", 4, spec.value_size, spec.max_entries, name=f"{spec.name} entries"), memory, 1)

    def lookup(self, key: bytes, cpu: int = 0) -> int:
        return self.table.lookup(key)

    def update(self, key: bytes, value: bytes, flags: int, cpu: int = 0) -> int:
        if self.type != "devmap_hash" and int.from_bytes(key, "little") >= self.max_entries:
            return -E2BIG
        return self.table.update(key, value, flags)

    def delete(self, key: bytes) -> int:
        return self.table.delete(key)

    def keys(self) -> list[bytes]:
        return self.table.keys()

    def get(self, key: bytes | int) -> Value | None:
        return self.table.get(key)


class Sockets(Map):
    """Sockets by index or key.  There are no sockets on this host, so every lookup fails."""

    kinds: ClassVar[tuple[str, ...]] = ("sockmap", "sockhash", "reuseport_sockarray")


class Storage(Map):
    """One value per socket, task, inode or cgroup; `key` is the object's address."""

    kinds: ClassVar[tuple[str, ...]] = (
        "sk_storage", "task_storage", "inode_storage", "cgrp_storage", "cgroup_storage", "percpu_cgroup_storage",
    )  # fmt: skip

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.slab = Slab(memory, f"value of {spec.name or spec.type}", spec.value_size)
        self.slots: dict[int, int] = {}

    def storage(self, owner: int, create: bool, initial: bytes = b"") -> int:
        """Address of the owner's value; made (zeroed, or `initial`) if `create`; else 0."""
        slot = self.slots.get(owner, 0)
        if not slot and create:
            slot = self.slots[owner] = self.slab.take()
            self.slab.write(slot, initial.ljust(self.value_size, b"\0"))
        return slot

    def forget(self, owner: int) -> int:
        slot = self.slots.pop(owner, 0)
        if not slot:
            return -ENOENT
        self.slab.give(slot)
        return 0

    def keys(self) -> list[bytes]:
        return [owner.to_bytes(8, "little") for owner in self.slots]

    def get(self, key: bytes | int) -> Value | None:
        owner = key if isinstance(key, int) else int.from_bytes(key, "little")
        slot = self.slots.get(owner, 0)
        return self.slab.read(slot) if slot else None


class StackTraces(Map):
    """Call stacks by id; a lookup from user space gives the addresses."""

    kinds: ClassVar[tuple[str, ...]] = ("stack_trace",)

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        super().__init__(spec, memory, 1)
        self.stacks: dict[int, bytes] = {}

    def keys(self) -> list[bytes]:
        return [index.to_bytes(4, "little") for index in self.stacks]

    def get(self, key: bytes | int) -> Value | None:
        return self.stacks.get(key if isinstance(key, int) else int.from_bytes(key, "little"))


class InsnArray(Array):
    """Addresses of instructions for gotox (kernel/bpf/bpf_insn_array.c).

    Programs see 8-byte addresses, which they cannot write; user space sees struct bpf_insn_array_value, four words:
    slot, slot after rewriting, offset of native code (none here), nothing.
    """

    kinds: ClassVar[tuple[str, ...]] = ("insn_array",)

    def __init__(self, spec: MapSpec, memory: Memory, cpus: int) -> None:
        shape = MapSpec(spec.type, spec.key_size, 8, spec.max_entries, BPF_F_RDONLY_PROG, spec.name)
        super().__init__(shape, memory, cpus)
        self.spec = spec
        self.value_size = spec.value_size
        given = spec.contents or b""
        self.slots = [int.from_bytes(given[8 * i : 8 * i + 8], "little") for i in range(spec.max_entries)]

    def place(self, text: int, distance: int) -> None:
        """Make the addresses: slots are `distance` bytes apart from `text` on."""
        for index, slot in enumerate(self.slots):
            self.regions[0].buf[8 * index : 8 * index + 8] = (text + distance * slot & U64_MAX).to_bytes(8, "little")

    def lookup(self, key: bytes, cpu: int = 0) -> int:
        return 0                        # insn_array_lookup_elem is for user space; programs read the values directly

    def update(self, key: bytes, value: bytes, flags: int, cpu: int = 0) -> int:
        index = int.from_bytes(key[:4], "little")
        if index >= self.max_entries:
            return -E2BIG
        if flags & BPF_NOEXIST:
            return -EEXIST
        if any(value[4:]):
            return -EINVAL
        self.slots[index] = int.from_bytes(value[:4], "little")
        return 0

    def get(self, key: bytes | int) -> Value | None:
        index = int.from_bytes(self._key(key), "little")
        return struct.pack("<IIII", *[self.slots[index]] * 2, 0, 0) if index < self.max_entries else None

    def direct(self, offset: int) -> int:
        if offset % 8 or offset >= 8 * self.max_entries:
            raise InterpError(f"map {self.name or self.type}: no instruction address at offset {offset}")
        return self.regions[0].base + offset


KINDS: Final[dict[str, type[Map]]] = {
    kind: cls
    for cls in (
        Array, Hash, Trie, Queue, Bloom, RingBuffer, PerfEvents, ProgramArray, MapOfMaps, Redirects, Sockets, Storage,
        StackTraces, InsnArray,
    )
    for kind in cls.kinds
}  # fmt: skip


def make_map(spec: MapSpec, memory: Memory, cpus: int = 1) -> Map:
    """A map of the given shape, empty.  Raises `NotSupported` for a type that the interpreter does not have.

    >>> m = make_map(MapSpec("hash", 4, 8, 2, name="counts"), Memory())
    >>> m.set(7, 1); m.set(8, 2); m.update(b"\\x09\\0\\0\\0", bytes(8), 0), m.get(8).hex()
    (-7, '0200000000000000')
    """
    cls = KINDS.get(spec.type)
    if cls is None:
        raise NotSupported(f"maps of type {spec.type} in the interpreter (map {spec.name!r})")
    return cls(spec, memory, cpus)


def set_entry(target: Map, key: bytes | int, value: object, memory: Memory, cpus: int) -> None:
    """Store what user space gives: bytes or a number, a program (program arrays), a map shape or map (maps of maps)."""
    if isinstance(target, ProgramArray) and isinstance(value, Program):
        target.install(key if isinstance(key, int) else int.from_bytes(key, "little"), value)
    elif isinstance(target, MapOfMaps) and isinstance(value, MapSpec):
        target.install(key, make_map(value, memory, cpus))
    elif isinstance(target, MapOfMaps) and isinstance(value, Map):
        target.install(key, value)
    elif isinstance(target, MapOfMaps) and isinstance(value, dict) and target.spec.inner is not None:
        inner = make_map(target.spec.inner, memory, cpus)
        for inner_key, inner_value in value.items():
            set_entry(inner, inner_key, inner_value, memory, cpus)
        target.install(key, inner)
    elif isinstance(target, Queue | Bloom) and isinstance(value, bytes):
        target.push(value, BPF_ANY)
    elif isinstance(value, bytes | int):
        target.set(key, value)
    else:
        raise InterpError(f"map {target.name} ({target.type}): cannot store a {type(value).__name__}")


