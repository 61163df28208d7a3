"""May this process use bpf(2)?  The question every use of the live kernel starts with."""

from __future__ import annotations

import platform
from typing import final

from bpfbench.errors import BpfbenchError
from bpfbench.kernel import syscall, uapi
from bpfbench.kernel.syscall import Fd, Loading
from bpfbench.program.program import PROG_TYPE_IDS


@final
class Availability:
    """True or false, and why: `reason` is one line, `release` the running kernel.

    >>> bool(Availability(False, "EPERM: needs root or CAP_BPF", "6.1")), bool(Availability(True, "", "6.18"))
    (False, True)
    """

    __slots__ = ("ok", "reason", "release")

    def __init__(self, ok: bool, reason: str, release: str) -> None:
        self.ok = ok
        self.reason = reason
        self.release = release

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"Availability({self.ok}, {self.reason or 'bpf(2) can be used'!r}, Linux {self.release})"


_RETURN_ZERO = bytes.fromhex("b7000000000000009500000000000000")
_answer: Availability | None = None


def available(ask_again: bool = False) -> Availability:
    """Try to load the smallest program; the answer is remembered.

    >>> isinstance(available().reason, str)
    True
    """
    global _answer
    if _answer is None or ask_again:
        _answer = _try()
    return _answer


def _try() -> Availability:
    release = platform.release()
    if platform.system() != "Linux":
        return Availability(False, f"bpf(2) is a Linux system call; this is {platform.system()}", release)
    try:
        result, _, _ = syscall.load_program(Loading(PROG_TYPE_IDS["socket_filter"], _RETURN_ZERO, "GPL", "available"))
    except BpfbenchError as e:
        return Availability(False, e.message, release)
    if result >= 0:
        Fd(result).close()
        return Availability(True, "", release)
    hint = {"EPERM": "needs root or CAP_BPF, and a sandbox that allows bpf(2)", "ENOSYS": "this kernel has no bpf(2)"}
    name = uapi.errno_name(-result)
    return Availability(False, f"{name}: {hint.get(name, 'the kernel refused the smallest program')}", release)
