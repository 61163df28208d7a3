"""Helpers about the machine and its user: time, random numbers, CPU, task, strings, locks, checksums, printing."""

from __future__ import annotations

import os
from errno import EINVAL, ERANGE
from typing import Final

from bpfbench.bits import U32_MAX, U64_MAX
from bpfbench.interp.helpers.checksum import difference
from bpfbench.interp.helpers.format import format_text
from bpfbench.interp.helpers.row import Row
from bpfbench.interp.runtime import Runtime, sign
from bpfbench.interp.trap import ProgramFault

TICK_NS: Final = 4_000_000           # one jiffy at HZ=250
COMM_SIZE: Final = 16
PID: Final = os.getpid()             # of the process that began, also for a child that runs native code
DIGITS: Final = tuple(bytes([c]) for c in b"0123456789abcdef")
CGROUP_ROOT: Final = 1               # kernfs id of the root cgroup


# ---------------------------------------------------------------------------------------------------- time and chance
def ktime_get_ns(rt: Runtime) -> int:
    return rt.clock()


def jiffies64(rt: Runtime) -> int:
    return rt.clock() // TICK_NS


def get_prandom_u32(rt: Runtime) -> int:
    return rt.random.getrandbits(32)


# ------------------------------------------------------------------------------------------------------- CPU and task
def get_smp_processor_id(rt: Runtime) -> int:
    return rt.cpu


def zero(rt: Runtime) -> int:
    return 0


def get_current_pid_tgid(rt: Runtime) -> int:
    return PID << 32 | PID


def get_current_uid_gid(rt: Runtime) -> int:
    return os.getgid() << 32 | os.getuid()


def get_current_comm(rt: Runtime, buf: int, size: int) -> int:
    name = b"bpfbench".ljust(COMM_SIZE, b"\0")[: size & U32_MAX]
    rt.memory.write(buf, name.ljust(size & U32_MAX, b"\0"))
    return 0


def get_current_task(rt: Runtime) -> int:
    return rt.object("task", 16384)


def get_current_cgroup_id(rt: Runtime) -> int:
    return CGROUP_ROOT


def get_current_ancestor_cgroup_id(rt: Runtime, level: int) -> int:
    return CGROUP_ROOT if level == 0 else 0


def get_ns_current_pid_tgid(rt: Runtime, dev: int, ino: int, ns: int, size: int) -> int:
    if size != 8:
        return -EINVAL
    rt.memory.write(ns, PID.to_bytes(4, "little") * 2)
    return 0


def get_netns_cookie(rt: Runtime, ctx: int) -> int:
    return 1


def get_retval(rt: Runtime) -> int:
    return rt.retval


def set_retval(rt: Runtime, value: int) -> int:
    rt.retval = sign(value, 32)
    return 0


# ----------------------------------------------------------------------------------------------------------- spin lock
def spin_lock(rt: Runtime, lock: int) -> int:
    if lock in rt.locks:
        raise ProgramFault("helper", "the spin lock is held already")
    rt.locks.add(lock)
    return 0


def spin_unlock(rt: Runtime, lock: int) -> int:
    if lock not in rt.locks:
        raise ProgramFault("helper", "the spin lock is not held")
    rt.locks.discard(lock)
    return 0


# ------------------------------------------------------------------------------------------------------------- strings
def _number(text: bytes, base: int) -> tuple[int, bool, int] | None:
    """(magnitude, negative, bytes consumed), or None without digits (kernel/bpf/helpers.c, __bpf_strtoull)."""
    at = len(text) - len(text.lstrip(b" \t\n\v\f\r"))
    negative = text[at : at + 1] == b"-"
    at += negative
    prefixed = text[at : at + 2].lower() == b"0x"
    if base == 0:
        hexadecimal = prefixed and text[at + 2 : at + 3].lower() in DIGITS
        base = 16 if hexadecimal else 8 if text[at : at + 1] == b"0" else 10
        prefixed = hexadecimal
    if base == 16 and prefixed:
        at += 2
    digits = 0
    while text[at + digits : at + digits + 1].lower() in DIGITS[:base]:
        digits += 1
    return (int(text[at : at + digits], base), negative, at + digits) if digits else None


def strtol(rt: Runtime, buf: int, size: int, flags: int, result: int) -> int:
    return _strto(rt, buf, size, flags, result, True)


def strtoul(rt: Runtime, buf: int, size: int, flags: int, result: int) -> int:
    return _strto(rt, buf, size, flags, result, False)


def _strto(rt: Runtime, buf: int, size: int, flags: int, result: int, signed: bool) -> int:
    if flags not in (0, 8, 10, 16):
        return -EINVAL
    found = _number(rt.memory.read(buf, size), flags)
    if found is None:
        return -EINVAL
    magnitude, negative, consumed = found
    if magnitude > U64_MAX:
        return -ERANGE
    if negative and not signed:
        return -EINVAL
    value = -magnitude if negative else magnitude
    if signed and not -(1 << 63) <= value < 1 << 63:
        return -ERANGE
    rt.memory.write(result, (value & U64_MAX).to_bytes(8, "little"))
    return consumed


def strncmp(rt: Runtime, first: int, size: int, second: int) -> int:
    size &= U32_MAX
    a = rt.memory.read(first, size).split(b"\0")[0]
    b = rt.memory.read_string(second, size)[:size]
    for x, y in zip(a + b"\0", b + b"\0", strict=False):
        if x != y:
            return -1 if x < y else 1
    return 0


# ------------------------------------------------------------------------------------------------------------ printing
def trace_printk(rt: Runtime, fmt: int, size: int, a: int, b: int, c: int) -> int:
    return _print(rt, rt.memory.read(fmt, size & U32_MAX), [a, b, c])


def trace_vprintk(rt: Runtime, fmt: int, size: int, args: int, args_size: int) -> int:
    return _print(rt, rt.memory.read(fmt, size & U32_MAX), _arguments(rt, args, args_size))


def _print(rt: Runtime, fmt: bytes, arguments: list[int]) -> int:
    text = format_text(rt.memory, fmt, arguments)
    if text is None:
        return -EINVAL
    rt.printed.append(text.decode("utf-8", "replace").rstrip("\n"))
    return len(text)


def snprintf(rt: Runtime, out: int, size: int, fmt: int, args: int, args_size: int) -> int:
    size &= U32_MAX
    text = format_text(rt.memory, rt.memory.read_string(fmt, 1 << 16) + b"\0", _arguments(rt, args, args_size))
    if text is None or args_size % 8:
        return -EINVAL
    if size:
        rt.memory.write(out, text[: size - 1] + b"\0")
    return len(text) + 1


def _arguments(rt: Runtime, address: int, size: int) -> list[int]:
    raw = rt.memory.read(address, size & U32_MAX & ~7)
    return [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]


# ----------------------------------------------------------------------------------------------------------- checksums
def csum_diff(rt: Runtime, before: int, before_size: int, after: int, after_size: int, seed: int) -> int:
    before_size &= U32_MAX
    after_size &= U32_MAX
    if (before_size | after_size) & 3 or before_size + after_size > 512:
        return -EINVAL
    return difference(rt.memory.read(before, before_size), rt.memory.read(after, after_size), seed & U32_MAX)


# name                          function                        arguments
ROWS: Final[list[Row]] = [
    Row("ktime_get_ns",                 ktime_get_ns,                   0),
    Row("ktime_get_boot_ns",            ktime_get_ns,                   0),
    Row("ktime_get_coarse_ns",          ktime_get_ns,                   0),
    Row("ktime_get_tai_ns",             ktime_get_ns,                   0),
    Row("jiffies64",                    jiffies64,                      0),
    Row("get_prandom_u32",              get_prandom_u32,                0),
    Row("get_smp_processor_id",         get_smp_processor_id,           0),
    Row("get_numa_node_id",             zero,                           0),
    Row("get_current_pid_tgid",         get_current_pid_tgid,           0),
    Row("get_current_uid_gid",          get_current_uid_gid,            0),
    Row("get_current_comm",             get_current_comm,               2),
    Row("get_current_task",             get_current_task,               0),
    Row("get_current_task_btf",         get_current_task,               0),
    Row("get_current_cgroup_id",        get_current_cgroup_id,          0),
    Row("get_current_ancestor_cgroup_id", get_current_ancestor_cgroup_id, 1),
    Row("get_ns_current_pid_tgid",      get_ns_current_pid_tgid,        4),
    Row("get_netns_cookie",             get_netns_cookie,               1),
    Row("get_retval",                   get_retval,                     0),
    Row("set_retval",                   set_retval,                     1),
    Row("spin_lock",                    spin_lock,                      1),
    Row("spin_unlock",                  spin_unlock,                    1),
    Row("strtol",                       strtol,                         4),
    Row("strtoul",                      strtoul,                        4),
    Row("strncmp",                      strncmp,                        3),
    Row("trace_printk",                 trace_printk,                   5),
    Row("trace_vprintk",                trace_vprintk,                  4),
    Row("snprintf",                     snprintf,                       5),
    Row("csum_diff",                    csum_diff,                      5),
]  # fmt: skip
