"""Files by which `perf` attributes samples to JITed code.

    /tmp/perf-PID.map       text: start, size, name        read by perf report while the process (or its map) is there
    jit-PID.dump            binary: code, lines, times     merged into the samples by perf inject --jit

The perf map gives functions; the dump gives each instruction's line and keeps the code for annotation.

Sources: `tools/perf/Documentation/jit-interface.txt` and `jitdump-specification.txt` of Linux.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import Final

from bpfbench.debug.debugfile import Described
from bpfbench.errors import DebugError

_MAGIC: Final = 0x4A695444  # "JiTD"
_HEADER: Final = struct.Struct("=IIIIIIQQ")
_RECORD: Final = struct.Struct("=IIQ")
_LOAD: Final = struct.Struct("=IIQQQQ")
_DEBUG: Final = struct.Struct("=QQ")
_mappings: list[mmap.mmap] = []  # as long as the process lives: perf reads its list of mappings
CODE_LOAD: Final = 0
DEBUG_INFO: Final = 2


def perf_map(*described: Described) -> str:
    """Lines of a perf map: hexadecimal start and size, name.

    >>> import bpfbench as bb
    >>> from bpfbench.debug.debugfile import describe
    >>> prog = bb.assemble("r0 = 7\\nexit", name="seven")
    >>> perf_map(describe(bb.jit(prog), prog, 0x1000)).split()[::2]
    ['1000', 'bpf_seven']
    """
    rows = [f"{f.address:x} {f.length:x} bpf_{f.name}" for d in described for f in d.functions]
    return "".join(row + "\n" for row in rows)


def write_perf_map(described: Described, folder: str = "/tmp", pid: int | None = None) -> str:
    """Append to the process's perf map, which perf looks for in /tmp; returns its path."""
    path = os.path.join(folder, f"perf-{os.getpid() if pid is None else pid}.map")
    try:
        with open(path, "a", encoding="ascii") as file:
            file.write(perf_map(described))
    except OSError as e:
        raise DebugError(f"perf map {path}: {e.strerror}") from None
    return path


def jitdump(described: list[Described], pid: int | None = None, moment: int | None = None) -> bytes:
    """A jitdump file with each function's lines and code.  `moment` is CLOCK_MONOTONIC in nanoseconds.

    perf finds the dump through an executable mapping of it in the profiled process: `write_jitdump`.
    """
    owner = os.getpid() if pid is None else pid
    now = time.monotonic_ns() if moment is None else moment
    machine = described[0].target.elf_machine if described else 62
    out = _HEADER.pack(_MAGIC, 1, _HEADER.size, machine, 0, owner, now, 0)
    number = 0
    for d in described:
        for f in d.functions:
            rows = [r for r in d.rows if f.address <= r.address < f.address + f.length]
            entries = b"".join(struct.pack("=QII", r.address, r.line, 0) + r.file.encode() + b"\0" for r in rows)
            body = _DEBUG.pack(f.address, len(rows)) + entries
            body += bytes(-len(body) % 8)
            out += _RECORD.pack(DEBUG_INFO, _RECORD.size + len(body), now) + body
            code = d.code[f.address - d.address : f.address - d.address + f.length]
            name = b"bpf_" + f.name.encode() + b"\0"
            body = _LOAD.pack(owner, owner, f.address, f.address, len(code), number) + name + code
            out += _RECORD.pack(CODE_LOAD, _RECORD.size + len(body), now) + body
            number += 1
    return out


def write_jitdump(described: list[Described], folder: str = ".") -> str:
    """Write `jit-PID.dump` and map it, so that `perf record -k mono` notes it; returns its path.

    Afterwards: `perf inject --jit -i perf.data -o perf.jit.data`, `perf report -i perf.jit.data`.  The file is mapped
    read-only; it is data, never run.
    """
    path = os.path.join(folder, f"jit-{os.getpid()}.dump")
    try:
        with open(path, "wb") as file:
            file.write(jitdump(described))
        with open(path, "rb") as file:
            _mappings.append(mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC))
    except OSError as e:
        raise DebugError(f"jitdump {path}: {e.strerror}") from None
    return path
