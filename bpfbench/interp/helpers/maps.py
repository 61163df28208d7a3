"""Helpers on maps: lookup, update, queues, ring buffers, per-object storage, dynptrs."""

from __future__ import annotations

from errno import E2BIG, EINVAL, ENOENT
from typing import Final

from bpfbench.bits import U32_MAX
from bpfbench.interp.helpers.row import Row
from bpfbench.interp.map_kinds import Bloom, RingBuffer, Storage
from bpfbench.interp.maps import Map
from bpfbench.interp.runtime import Runtime
from bpfbench.interp.trap import ProgramFault

LOCAL_STORAGE_CREATE: Final = 1          # BPF_LOCAL_STORAGE_GET_F_CREATE
DYNPTR_READ_ONLY: Final = 1 << 31
DYNPTR_SIZE: Final = 0xFF_FFFF


def map_at(rt: Runtime, address: int) -> Map:
    """The map at an address; a fault if there is none."""
    found = rt.memory.owner(address, "a map")
    if not isinstance(found, Map):
        raise ProgramFault("helper", f"{address:#x} is not the address of a map")
    return found


# -------------------------------------------------------------------------------------------------------------- tables
def map_lookup_elem(rt: Runtime, address: int, key: int) -> int:
    target = map_at(rt, address)
    return target.lookup(rt.memory.read(key, target.key_size), rt.cpu)


def map_update_elem(rt: Runtime, address: int, key: int, value: int, flags: int) -> int:
    target = map_at(rt, address)
    return target.update(
        rt.memory.read(key, target.key_size), rt.memory.read(value, target.value_size), flags, rt.cpu
    )


def map_delete_elem(rt: Runtime, address: int, key: int) -> int:
    target = map_at(rt, address)
    return target.delete(rt.memory.read(key, target.key_size))


def map_lookup_percpu_elem(rt: Runtime, address: int, key: int, cpu: int) -> int:
    target = map_at(rt, address)
    return target.lookup(rt.memory.read(key, target.key_size), cpu & U32_MAX) if cpu & U32_MAX < rt.cpus else 0


def map_push_elem(rt: Runtime, address: int, value: int, flags: int) -> int:
    target = map_at(rt, address)
    return target.push(rt.memory.read(value, target.value_size), flags)


def map_pop_elem(rt: Runtime, address: int, value: int) -> int:
    target = map_at(rt, address)
    return _give(rt, value, target.pop(), target.value_size)


def map_peek_elem(rt: Runtime, address: int, value: int) -> int:
    target = map_at(rt, address)
    if isinstance(target, Bloom):
        return 0 if target.contains(rt.memory.read(value, target.value_size)) else -ENOENT
    return _give(rt, value, target.peek(), target.value_size)


def _give(rt: Runtime, out: int, value: bytes | None, size: int) -> int:
    rt.memory.write(out, value if value is not None else bytes(size))
    return 0 if value is not None else -ENOENT


# -------------------------------------------------------------------------------------------------------- ring buffers
def _ring_at(rt: Runtime, address: int) -> RingBuffer:
    found = map_at(rt, address)
    if not isinstance(found, RingBuffer):
        raise ProgramFault("helper", f"map {found.name} is no ring buffer")
    return found


def ringbuf_output(rt: Runtime, address: int, content: int, size: int, flags: int) -> int:
    if flags & ~3:
        return -EINVAL
    return _ring_at(rt, address).output(rt.memory.read(content, size))


def ringbuf_reserve(rt: Runtime, address: int, size: int, flags: int) -> int:
    return 0 if flags else _ring_at(rt, address).reserve(size)


def ringbuf_submit(rt: Runtime, record: int, flags: int) -> int:
    return _finish(rt, record, True)


def ringbuf_discard(rt: Runtime, record: int, flags: int) -> int:
    return _finish(rt, record, False)


def _finish(rt: Runtime, record: int, keep: bool) -> int:
    for target in rt.maps:
        if isinstance(target, RingBuffer) and target.finish(record, keep):
            return 0
    raise ProgramFault("helper", f"{record:#x} is no reserved record of a ring buffer")


def ringbuf_query(rt: Runtime, address: int, flags: int) -> int:
    ring = _ring_at(rt, address)
    return {0: ring.produced - ring.consumed, 1: ring.max_entries, 2: ring.consumed, 3: ring.produced}.get(flags, 0)


# ------------------------------------------------------------------------------------------------------------- dynptrs
# struct bpf_dynptr_kern: address, size in 24 bits with the read-only bit on top, offset
def _dynptr(rt: Runtime, dynptr: int) -> tuple[int, int, bool]:
    """(address of the first byte, size, read-only)."""
    raw = rt.memory.read(dynptr, 16)
    size = int.from_bytes(raw[8:12], "little")
    offset = int.from_bytes(raw[12:16], "little")
    return int.from_bytes(raw[:8], "little") + offset, size & DYNPTR_SIZE, bool(size & DYNPTR_READ_ONLY)


def _set_dynptr(rt: Runtime, dynptr: int, address: int, size: int) -> None:
    rt.memory.write(dynptr, address.to_bytes(8, "little") + size.to_bytes(4, "little") + bytes(4))


def dynptr_from_mem(rt: Runtime, address: int, size: int, flags: int, dynptr: int) -> int:
    size &= U32_MAX
    errno = -E2BIG if size > DYNPTR_SIZE else -EINVAL if flags else 0
    _set_dynptr(rt, dynptr, 0 if errno else address, 0 if errno else size)
    return errno


def dynptr_read(rt: Runtime, out: int, size: int, dynptr: int, offset: int, flags: int) -> int:
    address, length, _ = _dynptr(rt, dynptr)
    size, offset = size & U32_MAX, offset & U32_MAX
    if not address or flags:
        return -EINVAL
    if size > length or offset > length - size:
        return -E2BIG
    rt.memory.write(out, rt.memory.read(address + offset, size))
    return 0


def dynptr_write(rt: Runtime, dynptr: int, offset: int, source: int, size: int, flags: int) -> int:
    address, length, read_only = _dynptr(rt, dynptr)
    size, offset = size & U32_MAX, offset & U32_MAX
    if not address or read_only or flags:
        return -EINVAL
    if size > length or offset > length - size:
        return -E2BIG
    rt.memory.write(address + offset, rt.memory.read(source, size))
    return 0


def dynptr_data(rt: Runtime, dynptr: int, offset: int, size: int) -> int:
    address, length, read_only = _dynptr(rt, dynptr)
    size, offset = size & U32_MAX, offset & U32_MAX
    if not address or read_only or size > length or offset > length - size:
        return 0
    return address + offset


def ringbuf_reserve_dynptr(rt: Runtime, address: int, size: int, flags: int, dynptr: int) -> int:
    record = 0 if flags else _ring_at(rt, address).reserve(size & U32_MAX)
    _set_dynptr(rt, dynptr, record, size & U32_MAX if record else 0)
    return 0 if record else -EINVAL


def ringbuf_submit_dynptr(rt: Runtime, dynptr: int, flags: int) -> int:
    return _finish_dynptr(rt, dynptr, True)


def ringbuf_discard_dynptr(rt: Runtime, dynptr: int, flags: int) -> int:
    return _finish_dynptr(rt, dynptr, False)


def _finish_dynptr(rt: Runtime, dynptr: int, keep: bool) -> int:
    address = _dynptr(rt, dynptr)[0]
    if address:
        _finish(rt, address, keep)
    _set_dynptr(rt, dynptr, 0, 0)
    return 0


# ------------------------------------------------------------------------------------------------------------- storage
def _storage_at(rt: Runtime, address: int) -> Storage:
    found = map_at(rt, address)
    if not isinstance(found, Storage):
        raise ProgramFault("helper", f"map {found.name} is no local storage")
    return found


def get_local_storage(rt: Runtime, address: int, flags: int) -> int:
    return _storage_at(rt, address).storage(0, create=True)


def storage_get(rt: Runtime, address: int, owner: int, initial: int, flags: int) -> int:
    target = _storage_at(rt, address)
    if not owner or flags & ~LOCAL_STORAGE_CREATE:
        return 0
    start = rt.memory.read(initial, target.value_size) if initial else b""
    return target.storage(owner, bool(flags), start)


def storage_delete(rt: Runtime, address: int, owner: int) -> int:
    return _storage_at(rt, address).forget(owner) if owner else -EINVAL


# ----------------------------------------------------------------------------------------------------- kernel pointers
def kptr_xchg(rt: Runtime, slot: int, pointer: int) -> int:
    old = rt.memory.load(slot, 8)
    rt.memory.store(slot, 8, pointer)
    return old


def per_cpu_ptr(rt: Runtime, pointer: int, cpu: int) -> int:
    return pointer if cpu & U32_MAX < rt.cpus else 0


def this_cpu_ptr(rt: Runtime, pointer: int) -> int:
    return pointer


# name                      function                    arguments
ROWS: Final[list[Row]] = [
    Row("map_lookup_elem",          map_lookup_elem,            2),
    Row("map_update_elem",          map_update_elem,            4),
    Row("map_delete_elem",          map_delete_elem,            2),
    Row("map_lookup_percpu_elem",   map_lookup_percpu_elem,     3),
    Row("map_push_elem",            map_push_elem,              3),
    Row("map_pop_elem",             map_pop_elem,               2),
    Row("map_peek_elem",            map_peek_elem,              2),
    Row("ringbuf_output",           ringbuf_output,             4),
    Row("ringbuf_reserve",          ringbuf_reserve,            3),
    Row("ringbuf_submit",           ringbuf_submit,             2),
    Row("ringbuf_discard",          ringbuf_discard,            2),
    Row("ringbuf_query",            ringbuf_query,              2),
    Row("dynptr_from_mem",          dynptr_from_mem,            4),
    Row("dynptr_read",              dynptr_read,                5),
    Row("dynptr_write",             dynptr_write,               5),
    Row("dynptr_data",              dynptr_data,                3),
    Row("ringbuf_reserve_dynptr",   ringbuf_reserve_dynptr,     4),
    Row("ringbuf_submit_dynptr",    ringbuf_submit_dynptr,      2),
    Row("ringbuf_discard_dynptr",   ringbuf_discard_dynptr,     2),
    Row("get_local_storage",        get_local_storage,          2),
    Row("sk_storage_get",           storage_get,                4),
    Row("sk_storage_delete",        storage_delete,             2),
    Row("task_storage_get",         storage_get,                4),
    Row("task_storage_delete",      storage_delete,             2),
    Row("inode_storage_get",        storage_get,                4),
    Row("inode_storage_delete",     storage_delete,             2),
    Row("cgrp_storage_get",         storage_get,                4),
    Row("cgrp_storage_delete",      storage_delete,             2),
    Row("kptr_xchg",                kptr_xchg,                  2),
    Row("per_cpu_ptr",              per_cpu_ptr,                2),
    Row("this_cpu_ptr",             this_cpu_ptr,               1),
]  # fmt: skip
