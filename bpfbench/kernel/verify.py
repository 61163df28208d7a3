"""What the running kernel says of a program: the oracle beside `bpfbench.verifier`.

A load at log level 4 gives verdict, message and statistics without the cost of a trace; levels 1 and 2 add the walk of
the failing path or of all paths.  A log that does not fit would turn an accepted program into ENOSPC, so verdict and
numbers always come from the short log, and the long one is read separately into a buffer that grows.

    program --BPF_PROG_LOAD, level 4--> verdict, errno, message, statistics
            --BPF_PROG_LOAD, level 1|2--> log                                  only where it is asked for

Source: `kernel/bpf/verifier.c` (bpf_check); the recordings that it is tested on hold the same fields.
"""

from __future__ import annotations

import errno as _errno
from typing import Final, final

from bpfbench.kernel import log_reader, privileges, syscall, uapi
from bpfbench.kernel.loaded import MapTable, loading, map_references, needs_btf
from bpfbench.kernel.syscall import Fd, Loading
from bpfbench.program.program import Program

LOG_LIMIT: Final = 1 << 28  # bytes of log that are kept of one verification
_SHORT_LOG: Final = 1 << 16


@final
class KernelVerdict:
    """The kernel's answer.

    `errno` is symbolic and None when accepted; `message` is the last message line (None when the kernel gave none);
    `messages` up to six of them; `log` the text of the asked level, with `map[INDEX]+OFFSET` in place of addresses;
    the counts are those of the statistics line, None where the kernel stopped before it.
    """

    __slots__ = (
        "accepted", "errno", "message", "messages", "log", "log_truncated", "insns_processed", "max_states_per_insn",
        "total_states", "peak_states", "mark_read", "stack_depth", "microseconds",
    )  # fmt: skip

    def __init__(self, errno: str | None, log: str, stats_log: str, log_truncated: bool) -> None:
        stats = log_reader.statistics(stats_log)
        self.accepted = errno is None
        self.errno = errno
        self.messages = [] if self.accepted else log_reader.messages(stats_log)[-6:]
        self.message = self.messages[-1] if self.messages else None
        self.log = log
        self.log_truncated = log_truncated
        self.insns_processed = stats.get("insns_processed")
        self.max_states_per_insn = stats.get("max_states_per_insn")
        self.total_states = stats.get("total_states")
        self.peak_states = stats.get("peak_states")
        self.mark_read = stats.get("mark_read")
        self.stack_depth = log_reader.stack_depth(stats_log)
        self.microseconds = log_reader.microseconds(stats_log)

    @property
    def stats(self) -> dict[str, int | None]:
        """The statistics line as a dictionary."""
        return {key: getattr(self, key) for key in log_reader.STATS_KEYS}

    def to_json(self) -> dict[str, object]:
        return {"accepted": self.accepted, "errno": self.errno, "message": self.message, **self.stats,
                "stack_depth": self.stack_depth}  # fmt: skip

    def __repr__(self) -> str:
        outcome = "accepted" if self.accepted else f"rejected, {self.errno}: {self.message}"
        return f"KernelVerdict({outcome}; {self.insns_processed} insns processed)"


def verify(prog: Program, log_level: int = 0, privileged: bool = True) -> KernelVerdict:
    """Ask the running kernel about a program.  Nothing is attached, and nothing stays loaded.

    `log_level` 0 gives no log (the message and the counts are there nevertheless), 1 and 2 the kernel's own; with
    `privileged=False` the kernel sees a thread that holds CAP_BPF and CAP_NET_ADMIN only.  Raises KernelError when a
    map or the BTF is refused, which comes before any verdict.

    >>> import bpfbench as bb
    >>> if bb.kernel.available():
    ...     assert verify(bb.assemble("exit", type="xdp")).message == "R0 !read_ok"
    """
    with MapTable() as maps:
        return verify_with(prog, maps, log_level, privileged)


def verify_with(prog: Program, maps: MapTable, log_level: int = 0, privileged: bool = True) -> KernelVerdict:
    """`verify` with a table of maps that is kept from one program to the next."""
    if privileged:
        return _verify(prog, maps, log_level)
    return privileges.reduced(lambda: _verify(prog, maps, log_level))


def _verify(prog: Program, maps: MapTable, log_level: int) -> KernelVerdict:
    btf = syscall.load_btf(prog.btf) if prog.btf else None
    own = MapTable() if needs_btf(prog) else None
    try:
        btf_fd = btf.number if btf is not None else 0
        fds = (own or maps).borrow(prog.maps, btf_fd if own is not None else 0)
        arguments = loading(prog, fds, btf_fd)
        refusal, short, _ = _attempt(arguments, uapi.LOG_STATS, _SHORT_LOG)
        log, truncated = (short, False) if log_level & uapi.LOG_STATS else ("", False)
        if log_level & (uapi.LOG_PATH | uapi.LOG_STATES):
            _, log, truncated = _attempt(arguments, log_level | uapi.LOG_STATS, 1 << 18)
        log = log_reader.name_maps(log, map_references(prog.raw))
        return KernelVerdict(refusal, log, short, truncated)
    finally:
        if own is not None:
            own.close()
        if btf is not None:
            btf.close()


def _attempt(arguments: Loading, level: int, room: int) -> tuple[str | None, str, bool]:
    """(symbolic errno or None, log, whether it was cut), with as much room for the log as it takes."""
    while True:
        result, log, needed = syscall.load_program(arguments, level, room)
        if result >= 0:
            Fd(result).close()
        if result != -_errno.ENOSPC or room >= LOG_LIMIT:
            break
        room = min(max(needed, 4 * room), LOG_LIMIT)
    truncated = result == -_errno.ENOSPC
    text = log.decode("utf-8", "replace")
    if truncated:  # the verdict proper, which needs no log
        result, _, _ = syscall.load_program(arguments)
        if result >= 0:
            Fd(result).close()
    return (None if result >= 0 else uapi.errno_name(-result)), text, truncated
