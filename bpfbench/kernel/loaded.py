"""A program in the kernel with its maps: what `verify`, `jit` and `run` have in common.

`MapTable` turns the map descriptions of a program into kernel maps, `loading` the program into the arguments of
BPF_PROG_LOAD, with every map reference replaced by a descriptor:

    insns   lddw r1, src=1 imm=0   ->   lddw r1, src=1 imm=7 (descriptor of maps[0])
            lddw r1, src=1 imm=9   ->   lddw r1, src=1 imm=-1 (there is no maps[9]; the kernel answers EBADF)

`load` gives a `Loaded`, which holds all descriptors and frees them at the end of a `with` block.  It is never attached.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, final

from bpfbench.elf.btf import Btf
from bpfbench.errors import KernelError, UsageError
from bpfbench.kernel import log_reader, syscall, uapi
from bpfbench.kernel.syscall import Fd, Loading, ProgramDetails
from bpfbench.program.program import MAP_TYPE_IDS, PROG_TYPE_IDS, MapSpec, Program

_LDDW: Final = 0x18
_MAP_SOURCES: Final = frozenset({1, 2})  # BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE
_INDEX_SOURCES: Final = frozenset({5, 6})  # BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE
_WIRE_WIDE: Final = struct.Struct("<BBhiBBhi")


def number_of(table: Mapping[str, int], name: str, what: str) -> int:
    """The uapi number of a type name (or of a number written as text); UsageError when there is none."""
    if name in table:
        return table[name]
    if name.isdigit():
        return int(name)
    raise UsageError(f"unknown {what} '{name}'; known: {', '.join(list(table)[1:])}")


def wide_loads(raw: bytes) -> list[tuple[int, int, int, int]]:
    """(pc, source kind, imm, imm of the second slot) of every wide load, in order."""
    found = []
    pc, slots = 0, len(raw) // 8
    while pc < slots:
        if raw[8 * pc] == _LDDW and pc + 1 < slots:
            wire = _WIRE_WIDE.unpack_from(raw, 8 * pc)
            found.append((pc, wire[1] >> 4, wire[3], wire[7]))
            pc += 1
        pc += 1
    return found


def with_descriptors(raw: bytes, fds: list[int]) -> bytes:
    """The slots with each map index replaced by its descriptor, or -1 where there is no such map."""
    out = bytearray(raw)
    for pc, source, imm, _ in wide_loads(raw):
        if source in _MAP_SOURCES:
            struct.pack_into("<i", out, 8 * pc + 4, fds[imm] if 0 <= imm < len(fds) else -1)
    return bytes(out)


def map_references(raw: bytes) -> dict[int, str]:
    """pc -> `map[INDEX]+OFFSET` for every wide load of a map, as logs show them."""
    return {
        pc: f"map[{imm}]+{second}"
        for pc, source, imm, second in wide_loads(raw)
        if source in _MAP_SOURCES or source in _INDEX_SOURCES
    }


def create(spec: MapSpec, btf_fd: int = 0) -> list[Fd]:
    """The map of a description, filled and frozen as it says; an inner map is created first.

    The first descriptor is the map, the second (if any) its inner model, which has to stay open only until then.
    """
    inner = create(spec.inner, btf_fd) if spec.inner is not None else []
    kind = number_of(MAP_TYPE_IDS, spec.type, "map type")
    typed = btf_fd if btf_fd and (spec.btf_key or spec.btf_value) else 0
    entries = spec.max_entries
    if not entries and spec.type in ("perf_event_array", "cpumap"):
        entries = os.cpu_count() or 1
    fd = syscall.create_map(
        kind, spec.key_size, spec.value_size, entries, spec.flags, spec.name, inner[0].number if inner else 0,
        typed, spec.btf_key if typed else 0, spec.btf_value if typed else 0, spec.extra,
    )  # fmt: skip
    if spec.contents and spec.type == "array":
        for index in range(max(spec.max_entries, 1)):
            value = spec.contents[index * spec.value_size : (index + 1) * spec.value_size]
            if not value:
                break
            syscall.update(fd.number, index.to_bytes(4, "little"), value.ljust(spec.value_size, b"\0"))
    if spec.frozen:
        syscall.freeze(fd.number)
    return [fd, *inner]


@final
class MapTable:
    """The kernel maps of programs.  Empty maps of equal description can be lent to one program after another.

    A program that names two equal maps gets two: the pool is indexed by the description and by how many equal maps came
    before it in the same program, because the verifier tells maps apart by identity.  Maps that remember the first
    program that used them (`bpf_prog_map_compatible`) are `private`: made anew for each program.
    """

    __slots__ = ("pool", "private", "limit")

    def __init__(self, limit: int = 512) -> None:
        self.pool: dict[tuple[object, ...], list[Fd]] = {}
        self.private: list[Fd] = []
        self.limit = limit

    def borrow(self, specs: list[MapSpec], btf_fd: int = 0) -> list[int]:
        """Descriptors for the maps of one program, created (with types from `btf_fd`) where the pool has none."""
        self._close_private()
        if len(self.pool) > self.limit:
            self.close()
        fds: list[int] = []
        seen: dict[tuple[object, ...], int] = {}
        for index, spec in enumerate(specs):
            if spec.type in uapi.OWNED_MAPS:
                made = _create_named(spec, index, btf_fd)
                self.private += made
                fds.append(made[0].number)
                continue
            shape = _shape(spec)
            before = seen.get(shape, 0)
            seen[shape] = before + 1
            key = (*shape, before)
            if key not in self.pool:
                self.pool[key] = _create_named(spec, index, btf_fd)
            fds.append(self.pool[key][0].number)
        return fds

    def _close_private(self) -> None:
        for fd in self.private:
            fd.close()
        self.private = []

    def close(self) -> None:
        self._close_private()
        for fds in self.pool.values():
            for fd in fds:
                fd.close()
        self.pool.clear()

    def __enter__(self) -> MapTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _shape(spec: MapSpec | None) -> tuple[object, ...]:
    if spec is None:
        return ()
    return (spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags, spec.extra, spec.frozen,
            spec.contents, _shape(spec.inner))  # fmt: skip


def _create_named(spec: MapSpec, index: int, btf_fd: int) -> list[Fd]:
    try:
        return create(spec, btf_fd)
    except KernelError as e:
        e.message += f" (map {index} '{spec.name}': {spec.type}, key {spec.key_size}, value {spec.value_size}, "
        e.message += f"{spec.max_entries} entries, flags {spec.flags:#x})"
        raise


def needs_btf(prog: Program) -> bool:
    """Does a map of the program refer to the program's types?  Then it cannot be shared."""
    return bool(prog.btf) and any(m.btf_key or m.btf_value for m in prog.maps)


# How the kernel's own BTF names what a program of a type is written for: (prefix, kind of the entry)
_ATTACH_NAMES: Final = {
    ("tracing", 23): ("btf_trace_", 8),     # BPF_TRACE_RAW_TP: a typedef
    ("tracing", 24): ("", 12),              # fentry, fexit, fmod_ret: the function
    ("tracing", 25): ("", 12),
    ("tracing", 26): ("", 12),
    ("tracing", 28): ("bpf_iter_", 12),
    ("lsm", 27): ("bpf_lsm_", 12),
}  # fmt: skip
KERNEL_BTF: Final = "/sys/kernel/btf/vmlinux"


@lru_cache(maxsize=1)
def kernel_btf() -> Btf:
    """The running kernel's types; KernelError where it does not show them."""
    try:
        with open(KERNEL_BTF, "rb") as file:
            return Btf(file.read())
    except OSError as e:
        said = f"the kernel's types cannot be read: {KERNEL_BTF}: {e.strerror}"
        raise KernelError(said, errno=e.errno or 0) from None


def attach_btf_id(prog: Program) -> int:
    """The type that says what a tracing or LSM program gets as arguments; 0 for other types and unknown targets.

    The verifier needs it to know the context; naming it attaches nothing.
    """
    row = _ATTACH_NAMES.get((prog.type, prog.attach_type))
    if row is None or not prog.attach_to:
        return 0
    prefix, kind = row
    name = prog.attach_to.rsplit("/", 1)[-1]
    return kernel_btf().find(name if name.startswith(prefix) else prefix + name, kind) or 0


def loading(prog: Program, map_fds: list[int], btf_fd: int = 0) -> Loading:
    """BPF_PROG_LOAD arguments of a program whose maps have these descriptors.

    There is no array of descriptors: loads of maps by index are refused, as they are in the recordings.
    """
    raw = prog.raw
    return Loading(
        kind=number_of(PROG_TYPE_IDS, prog.type, "program type"),
        insns=with_descriptors(raw, map_fds),
        license=prog.license,
        name=prog.name.rsplit("/", 1)[-1],
        attach_type=prog.attach_type,
        flags=prog.flags,
        btf_fd=btf_fd,
        func_info=prog.func_info,
        line_info=prog.line_info,
        attach_btf_id=attach_btf_id(prog),
    )


@final
class Loaded:
    """A program in the kernel: its descriptor `fd`, its maps, and nothing attached.  Close it, or use `with`."""

    __slots__ = ("program", "fd", "maps", "held")

    def __init__(self, program: Program, fd: Fd, maps: list[int], held: list[Fd]) -> None:
        self.program = program
        self.fd = fd
        self.maps = maps
        self.held = held

    def details(self, code: bool = True) -> ProgramDetails:
        """The rewritten and native code, addresses and map numbers (struct bpf_prog_info)."""
        return syscall.program_details(self.fd.number, code)

    def map_index(self, name: int | str) -> int:
        """A map given by index or name."""
        for index, spec in enumerate(self.program.maps):
            if name == index or (isinstance(name, str) and spec.name == name):
                return index
        known = [m.name for m in self.program.maps]
        raise UsageError(f"program '{self.program.name}' has no map {name!r}; it has {known}")

    def close(self) -> None:
        self.fd.close()
        for fd in self.held:
            fd.close()

    def __enter__(self) -> Loaded:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Loaded({self.program.name!r}, {len(self.maps)} maps)"


def load(prog: Program, beside: Loaded | None = None) -> Loaded:
    """Load a program into the kernel, or raise KernelError with the verifier's errno and log.

    Maps that a program loaded before (`beside`) has too, by the same MapSpec, are shared with it.

    >>> from bpfbench.kernel import available
    >>> import bpfbench as bb
    >>> if available():
    ...     with load(bb.assemble("r0 = 0\\nexit", type="xdp")) as loaded:
    ...         assert len(loaded.details().xlated) == 16
    """
    held: list[Fd] = []
    try:
        btf = syscall.load_btf(prog.btf) if prog.btf else None
        held += [btf] if btf is not None else []
        btf_fd = btf.number if btf is not None else 0
        maps: list[int] = []
        known = {} if beside is None else {id(s): fd for s, fd in zip(beside.program.maps, beside.maps)}
        for index, spec in enumerate(prog.maps):
            if id(spec) in known:
                maps.append(known[id(spec)])
                continue
            fds = _create_named(spec, index, btf_fd)
            held += fds
            maps.append(fds[0].number)
        arguments = loading(prog, maps, btf_fd)
        result, _, _ = syscall.load_program(arguments)
        if result < 0:
            _, log, _ = syscall.load_program(arguments, uapi.LOG_PATH, 1 << 20)
            text = log.decode("utf-8", "replace")
            raise syscall.refused(uapi.PROG_LOAD, -result, f"of '{prog.name}'", text, log_reader.messages(text)[-1:])
        return Loaded(prog, Fd(result), maps, held)
    except BaseException:
        for fd in held:
            fd.close()
        raise
