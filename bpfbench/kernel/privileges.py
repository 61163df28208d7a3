"""Fewer privileges: a thread of this process that has given up all capabilities but two.

The verifier asks for CAP_PERFMON before it lets pointers leak or skips speculative paths, so a program has to be loaded
by someone *without* it to see those rules at work.  Linux keeps capabilities per thread: `reduced` runs a call in a
thread that holds CAP_BPF and CAP_NET_ADMIN only and can never get the others back.  The rest of the process keeps what
it had.

Sources: capabilities(7), capset(2); `kernel/bpf/verifier.c` (bpf_check: allow_ptr_leaks, bypass_spec_v1).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from bpfbench.errors import KernelError

CAP_NET_ADMIN: Final = 12
CAP_PERFMON: Final = 38
CAP_BPF: Final = 39
KEPT: Final = (CAP_BPF, CAP_NET_ADMIN)

_VERSION_3: Final = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two 32-bit words per set
_HEADER: Final = struct.Struct("=Ii")
_SETS: Final = struct.Struct("=IIIIII")  # effective permitted inheritable, low words then high words

_T = TypeVar("_T")
_worker: ThreadPoolExecutor | None = None
_owner = 0


def give_up() -> None:
    """Drop every capability of the calling thread except `KEPT`, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    kept = sum(1 << number for number in KEPT)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    header = ctypes.create_string_buffer(_HEADER.pack(_VERSION_3, 0), _HEADER.size)
    sets = ctypes.create_string_buffer(_SETS.pack(low, low, 0, high, high, 0), _SETS.size)
    if libc.capset(header, sets) != 0:
        code = ctypes.get_errno()
        raise KernelError(f"capset: {os.strerror(code)}", errno=code)


def reduced(call: Callable[[], _T]) -> _T:
    """The result of `call`, run in the thread with few capabilities; its exceptions are raised here."""
    global _worker, _owner
    if _worker is None or _owner != os.getpid():  # a thread does not survive fork()
        _worker, _owner = ThreadPoolExecutor(1, "bpfbench-reduced"), os.getpid()
        _worker.submit(give_up).result()
    return _worker.submit(call).result()
