"""Helpers that call back into the program, and timers, which never fire here (kernel/bpf/bpf_iter.c, helpers.c)."""

from __future__ import annotations

from errno import E2BIG, EBUSY, EINVAL, ENOENT
from typing import Final

from bpfbench.bits import U32_MAX
from bpfbench.interp.helpers.maps import map_at
from bpfbench.interp.helpers.row import Row
from bpfbench.interp.maps import Array
from bpfbench.interp.runtime import Runtime

MAX_LOOPS: Final = 1 << 23           # BPF_MAX_LOOPS


def loop(rt: Runtime, count: int, callback: int, context: int, flags: int) -> int:
    """Call back up to `count` times; a callback that returns 1 ends it.  The number of calls made."""
    count &= U32_MAX
    if flags:
        return -EINVAL
    if count > MAX_LOOPS:
        return -E2BIG
    for index in range(count):
        if rt.call(callback, (index, context)):
            return index + 1
    return count


def for_each_map_elem(rt: Runtime, address: int, callback: int, context: int, flags: int) -> int:
    """Call back with (map, address of key, address of value, context) for each element."""
    if flags:
        return -EINVAL
    target = map_at(rt, address)
    scratch = rt.memory.add("key of the element", max(target.key_size, 1), writable=isinstance(target, Array))
    called = 0
    try:
        for key in target.keys():
            value = target.lookup(key, rt.cpu)
            if not value:
                continue
            scratch.buf[: len(key)] = key
            called += 1
            if rt.call(callback, (address, scratch.base, value, context)):
                break
    finally:
        rt.memory.drop(scratch)
    return called


def find_vma(rt: Runtime, task: int, address: int, callback: int, context: int, flags: int) -> int:
    return -EINVAL if flags else -ENOENT


# -------------------------------------------------------------------------------------------------------------- timers
# The first word of struct bpf_timer is not zero once the timer is initialised.
def timer_init(rt: Runtime, timer: int, address: int, flags: int) -> int:
    map_at(rt, address)
    if flags not in (0, 1, 7):
        return -EINVAL
    if rt.memory.load(timer, 8):
        return -EBUSY
    rt.memory.store(timer, 8, 1)
    return 0


def timer_set_callback(rt: Runtime, timer: int, callback: int) -> int:
    return 0 if rt.memory.load(timer, 8) else -EINVAL


def timer_start(rt: Runtime, timer: int, nanoseconds: int, flags: int) -> int:
    if flags & ~3 or not rt.memory.load(timer, 8):
        return -EINVAL
    rt.notes.append(f"bpf_timer_start: the timer of {nanoseconds} ns never fires in a single run")
    return 0


def timer_cancel(rt: Runtime, timer: int) -> int:
    return 0 if rt.memory.load(timer, 8) else -EINVAL


# name                      function                arguments
ROWS: Final[list[Row]] = [
    Row("loop",                 loop,                   4),
    Row("for_each_map_elem",    for_each_map_elem,      4),
    Row("find_vma",             find_vma,               5),
    Row("timer_init",           timer_init,             3),
    Row("timer_set_callback",   timer_set_callback,     2),
    Row("timer_start",          timer_start,            3),
    Row("timer_cancel",         timer_cancel,           1),
]  # fmt: skip
