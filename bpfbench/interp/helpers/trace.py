"""Tracing helpers: reading memory that may not be there, perf events, stacks, arguments (kernel/trace/bpf_trace.c)."""

from __future__ import annotations

from errno import EFAULT, EINVAL, ENOENT, EPERM
from typing import Final

from bpfbench.bits import U32_MAX
from bpfbench.interp.helpers.maps import map_at
from bpfbench.interp.helpers.row import Row
from bpfbench.interp.map_kinds import PerfEvents, StackTraces
from bpfbench.interp.runtime import Runtime
from bpfbench.interp.trap import ProgramFault

KERNEL_FUNCTION: Final = 0xFFFF_FFFF_8100_0000      # stands for the traced function: the start of kernel text
CURRENT_CPU: Final = U32_MAX         # BPF_F_CURRENT_CPU, also the mask of the index
CTX_LEN: Final = 0xFFFFF << 32       # BPF_F_CTXLEN_MASK


# ------------------------------------------------------------------------------------------------------ probing memory
def probe_read(rt: Runtime, out: int, size: int, source: int) -> int:
    size &= U32_MAX
    try:
        content = rt.memory.read(source, size)
    except ProgramFault:
        rt.memory.write(out, bytes(size))
        return -EFAULT
    rt.memory.write(out, content)
    return 0


def probe_read_str(rt: Runtime, out: int, size: int, source: int) -> int:
    size &= U32_MAX
    if not size:
        return 0
    try:
        text = rt.memory.read_string(source, size)
    except ProgramFault:
        rt.memory.write(out, bytes(size))
        return -EFAULT
    text = text[: size - 1] + b"\0"
    rt.memory.write(out, text)
    return len(text)


def probe_write_user(rt: Runtime, out: int, source: int, size: int) -> int:
    return -EPERM


def copy_from_user_task(rt: Runtime, out: int, size: int, source: int, task: int, flags: int) -> int:
    return -EINVAL if flags else probe_read(rt, out, size, source)


# --------------------------------------------------------------------------------------------------------- perf events
def perf_event_output(rt: Runtime, ctx: int, address: int, flags: int, content: int, size: int) -> int:
    target = map_at(rt, address)
    if not isinstance(target, PerfEvents):
        raise ProgramFault("helper", f"map {target.name} is no perf event array")
    if flags & ~(CURRENT_CPU | CTX_LEN):
        return -EINVAL
    cpu = rt.cpu if flags & U32_MAX == CURRENT_CPU else flags & U32_MAX
    if cpu >= rt.cpus:
        return -ENOENT
    extra = (flags & CTX_LEN) >> 32
    tail = rt.packet.load(0, extra) if extra and rt.packet is not None else b""
    if tail is None:
        return -EFAULT
    target.records.append((cpu, rt.memory.read(content, size) + tail))
    return 0


def not_counting(rt: Runtime, *arguments: int) -> int:
    return -ENOENT


def perf_read_value(rt: Runtime, address: int, flags: int, out: int, size: int) -> int:
    rt.memory.write(out, bytes(size & U32_MAX))
    return -ENOENT


def perf_prog_read_value(rt: Runtime, ctx: int, out: int, size: int) -> int:
    rt.memory.write(out, bytes(size & U32_MAX))
    return 0 if size & U32_MAX == 24 else -EINVAL


# -------------------------------------------------------------------------------------------------------------- stacks
def get_stackid(rt: Runtime, ctx: int, address: int, flags: int) -> int:
    target = map_at(rt, address)
    if not isinstance(target, StackTraces):
        raise ProgramFault("helper", f"map {target.name} holds no stack traces")
    rt.notes.append("bpf_get_stackid: the interpreter has no kernel stack; one entry stands for it")
    target.stacks[0] = KERNEL_FUNCTION.to_bytes(8, "little").ljust(target.value_size, b"\0")
    return 0


def get_stack(rt: Runtime, ctx: int, out: int, size: int, flags: int) -> int:
    size &= U32_MAX
    if size % 8:
        rt.memory.write(out, bytes(size))
        return -EINVAL
    rt.notes.append("bpf_get_stack: the interpreter has no kernel stack; one entry stands for it")
    rt.memory.write(out, KERNEL_FUNCTION.to_bytes(8, "little").ljust(size, b"\0")[:size])
    return min(size, 8)


# ------------------------------------------------------------------------------------------------- the traced function
def get_func_ip(rt: Runtime, ctx: int) -> int:
    return KERNEL_FUNCTION


def get_func_arg(rt: Runtime, ctx: int, index: int, out: int) -> int:
    index &= U32_MAX
    if index >= 12:
        return -EINVAL
    rt.memory.store(out, 8, rt.memory.load(ctx + 8 * index, 8))
    return 0


def get_func_arg_cnt(rt: Runtime, ctx: int) -> int:
    return 12


def get_attach_cookie(rt: Runtime, ctx: int) -> int:
    return 0


def task_pt_regs(rt: Runtime, task: int) -> int:
    return rt.object("user registers", 168)


def noted(what: str) -> Row:
    """A helper whose effect on other programs is only noted."""

    def run(rt: Runtime, first: int, second: int) -> int:
        rt.notes.append(f"bpf_{what}({first:#x}, {second:#x}) has no effect outside the program")
        return 0

    return Row(what, run, 2)


# name                          function                arguments
ROWS: Final[list[Row]] = [
    Row("probe_read",               probe_read,             3),
    Row("probe_read_user",          probe_read,             3),
    Row("probe_read_kernel",        probe_read,             3),
    Row("probe_read_str",           probe_read_str,         3),
    Row("probe_read_user_str",      probe_read_str,         3),
    Row("probe_read_kernel_str",    probe_read_str,         3),
    Row("copy_from_user",           probe_read,             3),
    Row("copy_from_user_task",      copy_from_user_task,    5),
    Row("probe_write_user",         probe_write_user,       3),
    Row("perf_event_output",        perf_event_output,      5),
    Row("skb_output",               perf_event_output,      5),
    Row("xdp_output",               perf_event_output,      5),
    Row("perf_event_read",          not_counting,           2),
    Row("perf_event_read_value",    perf_read_value,        4),
    Row("perf_prog_read_value",     perf_prog_read_value,   3),
    Row("read_branch_records",      not_counting,           4),
    Row("get_branch_snapshot",      not_counting,           3),
    Row("get_stackid",              get_stackid,            3),
    Row("get_stack",                get_stack,              4),
    Row("get_func_ip",              get_func_ip,            1),
    Row("get_func_arg",             get_func_arg,           3),
    Row("get_func_arg_cnt",         get_func_arg_cnt,       1),
    Row("get_attach_cookie",        get_attach_cookie,      1),
    Row("task_pt_regs",             task_pt_regs,           1),
    noted("override_return"),
    noted("send_signal"),
    noted("send_signal_thread"),
]  # fmt: skip
