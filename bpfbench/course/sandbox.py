"""What a student's process may not do, and by what it is kept from it.

| not allowed                     | kept by                                                                 |
|---------------------------------|-------------------------------------------------------------------------|
| more memory, processor time     | RLIMIT_AS, RLIMIT_CPU                                                   |
| writing files                   | RLIMIT_FSIZE 0, Landlock                                                |
| reading files (the solutions)   | Landlock: only Python's own library stays readable; else an audit hook  |
| the network                     | a user and network namespace of its own; seccomp refuses sockets        |
| new processes                   | seccomp: fork, vfork, clone without CLONE_THREAD, execve                |
| signals to others, tracing      | seccomp: kill (but to itself), ptrace, process_vm_*, prctl afterwards   |

Each of the kernel's means may be missing (an old kernel, a container that forbids namespaces); `enter` returns what is in
force, and the grader writes it into its summary.  The seccomp filter is classic BPF: eBPF's ancestor guards its course.

Sources: landlock(7), seccomp(2), user_namespaces(7), setrlimit(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from pathlib import Path
from typing import Any, Final, final

from bpfbench.errors import CourseError


@final
class Limits:
    """Per notebook: processor `seconds`, `wall` seconds, `memory` in MiB beyond what Python itself takes, `output` bytes."""

    __slots__ = ("seconds", "wall", "memory", "output")

    def __init__(self, seconds: int = 10, wall: int = 40, memory: int = 512, output: int = 1 << 18) -> None:
        self.seconds = seconds
        self.wall = wall
        self.memory = memory
        self.output = output


# name         x86_64 aarch64
_CALLS: Final = (
    ("fork",             57,   -1), ("vfork",             58,   -1), ("execve",           59,  221),
    ("execveat",        322,  281), ("ptrace",           101,  117), ("process_vm_readv", 310, 270),
    ("process_vm_writev", 311, 271), ("socket",           41,  198), ("socketpair",       53,  199),
    ("connect",          42,  203), ("sendto",            44,  206), ("bpf",             321,  280),
    ("setns",           308,  268), ("unshare",          272,   97), ("mount",           165,   40),
    ("setsid",          112,  157), ("setpgid",          109,  154), ("tkill",           200,  130),
    ("prctl",           157,  167), ("io_uring_setup",   425,  425), ("pidfd_open",      434,  434),
    ("tgkill",          234,  131), ("memfd_create",     319,  279), ("userfaultfd",     323,  282),
)  # fmt: skip
_SPECIAL: Final = {"x86_64": (0xC000003E, 56, 62, 435), "aarch64": (0xC00000B7, 220, 129, 435)}
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
_THREAD: Final = 0x10000           # CLONE_THREAD


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def isolate_network() -> str:
    """A user and network namespace of its own; says so, or says why not."""
    if sys.platform != "linux":
        return ""
    made = _libc().unshare(0x10000000 | 0x40000000)       # CLONE_NEWUSER | CLONE_NEWNET
    return "network namespace" if made == 0 else ""


def enter(limits: Limits, readable: list[str]) -> list[str]:
    """Limit this process for good; what is in force, in words.  CourseError where not even limits can be set."""
    if sys.platform != "linux":
        raise CourseError("not supported: grading needs Linux")
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    total = size + (limits.memory << 20)
    resource.setrlimit(resource.RLIMIT_AS, (total, total))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.seconds, limits.seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    held = ["rlimits"]
    libc = _libc()
    libc.prctl(38, 1, 0, 0, 0)                            # PR_SET_NO_NEW_PRIVS
    libc.prctl(4, 0, 0, 0, 0)                             # PR_SET_DUMPABLE: siblings cannot look into it
    if _landlock(libc, readable):
        held.append("Landlock")
    else:
        _audit(readable)
        held.append("audit hook instead of Landlock")
    if _seccomp(libc):
        held.append("seccomp")
    return held


def _landlock(libc: Any, readable: list[str]) -> bool:
    abi = libc.syscall(444, None, 0, 1)
    if abi < 1:
        return False
    handled = (1 << 13) - 1 if abi == 1 else (1 << 14) - 1 if abi == 2 else (1 << 15) - 1
    ruleset = libc.syscall(444, struct.pack("<Q", handled), 8, 0)
    if ruleset < 0:
        return False
    for place in readable:
        try:
            fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rights = 0b1100 if os.path.isdir(place) else 0b0100              # READ_FILE, READ_DIR
        libc.syscall(445, ruleset, 1, struct.pack("<Qi", rights, fd), 0)
        os.close(fd)
    done = libc.syscall(446, ruleset, 0) == 0
    os.close(ruleset)
    return bool(done)


def _audit(readable: list[str]) -> None:
    allowed = tuple(os.path.realpath(place) for place in readable)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(args[0]))
            if not path.startswith(allowed):
                raise PermissionError(13, "reading files is not allowed in a graded answer", path)
        elif event in ("socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.fork"):
            raise PermissionError(1, f"{event} is not allowed in a graded answer")

    sys.addaudithook(hook)


def _seccomp(libc: Any) -> bool:
    machine = platform.machine()
    if machine not in _SPECIAL:
        return False
    arch, clone, kill, clone3 = _SPECIAL[machine]
    column = 1 if machine == "x86_64" else 2
    refused = [row[column] for row in _CALLS if int(row[column]) >= 0]
    program = [(0x20, 0, 0, 4), (0x15, 1, 0, arch), (0x06, 0, 0, _EPERM), (0x20, 0, 0, 0)]
    program += [(0x15, 0, 4, clone), (0x20, 0, 0, 16), (0x45, 0, 1, _THREAD), (0x06, 0, 0, _ALLOW), (0x06, 0, 0, _EPERM)]
    program += [(0x15, 0, 1, clone3), (0x06, 0, 0, _ENOSYS)]             # the C library then tries clone
    program += [(0x15, 0, 4, kill), (0x20, 0, 0, 16), (0x15, 0, 1, os.getpid()), (0x06, 0, 0, _ALLOW),
                (0x06, 0, 0, _EPERM)]  # fmt: skip
    for number in refused:
        program += [(0x15, 0, 1, int(number)), (0x06, 0, 0, _EPERM)]
    program.append((0x06, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *row) for row in program))
    head = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code)))
    return bool(libc.prctl(22, 2, ctypes.c_ulong(ctypes.addressof(head)), 0, 0) == 0)   # PR_SET_SECCOMP, MODE_FILTER


def python_places() -> list[str]:
    """Python's own library and the installed packages, without bpfbench: what an answer may import."""
    own = Path(__file__).resolve().parents[1]
    places = ["/dev/null", "/dev/urandom", "/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache"]
    for entry in {os.path.realpath(p) for p in [*sys.path, *_library()] if p and os.path.isdir(p)}:
        if own.is_relative_to(entry):
            if "packages" in Path(entry).name:           # bpfbench is installed here: allow its neighbours
                places += [str(p) for p in Path(entry).iterdir() if p.resolve() != own]
        elif Path(entry) != Path.cwd():
            places.append(entry)
    return places


def _library() -> list[str]:
    import sysconfig

    return [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
