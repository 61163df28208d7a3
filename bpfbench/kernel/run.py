"""One run of a program in the kernel on given input: BPF_PROG_TEST_RUN.

The kernel builds a packet (or takes the context) from user memory, runs the JITed program `repeat` times and gives back
the return value, the packet, the context and the time.  Which types can be run, and what they take, is the table
`uapi.TEST_RUN`.  Maps are filled before and read after the run.

    data --> [ headroom | data | tailroom ] --> program --> r0, data', ctx', maps'

Sources: `net/bpf/test_run.c` (bpf_prog_test_run_skb, …_xdp, …), Documentation/bpf/bpf_prog_run.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from bpfbench.errors import NotSupported
from bpfbench.kernel import maps as kernel_maps
from bpfbench.kernel import syscall, uapi
from bpfbench.kernel.loaded import Loaded, create, load
from bpfbench.kernel.maps import Contents, Value
from bpfbench.program.program import MapSpec, Program

Entry = Value | Program | MapSpec
_GROWTH: Final = 1 << 16  # bytes a program may add to the packet


@final
class KernelRun:
    """`r0` (32 bits, as the kernel returns it) · `data` and `ctx` after the run · `duration_ns` of one run · `maps`
    index -> contents after the run."""

    __slots__ = ("r0", "data", "ctx", "duration_ns", "maps")

    def __init__(self, r0: int, data: bytes, ctx: bytes, duration_ns: int, maps: dict[int, Contents]) -> None:
        self.r0 = r0
        self.data = data
        self.ctx = ctx
        self.duration_ns = duration_ns
        self.maps = maps

    def __repr__(self) -> str:
        return f"KernelRun(r0={self.r0:#x}, {len(self.data)} bytes of data, {self.duration_ns} ns)"


def run(
    prog: Program, data: bytes = b"", repeat: int = 1, ctx: bytes | None = None,
    maps: Mapping[int | str, Mapping[bytes | int, Entry]] | None = None, read_maps: bool = True,
) -> KernelRun:  # fmt: skip
    """Load a program, run it `repeat` times on `data` (a frame) and `ctx` (raw bytes of its context), unload it.

    `maps` gives entries by map index or name; a refused program or input raises KernelError.

    >>> import bpfbench as bb
    >>> if bb.kernel.available():
    ...     assert run(bb.assemble("r0 = 2\\nexit", type="xdp"), bytes(64)).r0 == 2
    """
    with load(prog) as loaded:
        fill(loaded, maps or {})
        return run_loaded(loaded, data, repeat, ctx, read_maps)


def fill(loaded: Loaded, maps: Mapping[int | str, Mapping[bytes | int, Entry]]) -> None:
    """Write entries into the maps of a loaded program: bytes, programs (program arrays), map shapes (maps of maps).

    Programs and inner maps are loaded for this purpose and stay until `loaded` is closed; nothing is attached.
    """
    for name, contents in maps.items():
        index = loaded.map_index(name)
        fd, spec = loaded.maps[index], loaded.program.maps[index]
        for key, value in contents.items():
            raw = key.to_bytes(spec.key_size, "little") if isinstance(key, int) else key
            if isinstance(value, Program):
                target = load(value, loaded)
                loaded.held += [target.fd, *target.held]
                syscall.update(fd, raw, target.fd.number.to_bytes(4, "little"))
            elif isinstance(value, MapSpec):
                made = create(value)
                loaded.held += made
                syscall.update(fd, raw, made[0].number.to_bytes(4, "little"))
            else:
                kernel_maps.write(fd, spec, {raw: value})


def set_program(loaded: Loaded, name: int | str, key: int, target: Loaded) -> None:
    """Put a program into a program array of another, for tail calls.  This attaches nothing."""
    index = loaded.map_index(name)
    syscall.update(loaded.maps[index], key.to_bytes(4, "little"), target.fd.number.to_bytes(4, "little"))


def run_loaded(
    loaded: Loaded, data: bytes = b"", repeat: int = 1, ctx: bytes | None = None, read_maps: bool = True
) -> KernelRun:
    """One run of a program that is in the kernel already; its maps keep what earlier runs left in them."""
    prog = loaded.program
    row = uapi.TEST_RUN.get(prog.type)
    if row is None:
        raise NotSupported(f"a test run of type {prog.type}; the kernel runs {', '.join(uapi.TEST_RUN)}")
    takes_data, context = row
    room = len(data) + _GROWTH if takes_data else 0
    given = ctx if ctx is not None else b""
    ctx_room = max(len(given), 256) if given and takes_data and context else 0
    times = 0 if prog.type in ("raw_tracepoint", "raw_tracepoint_writable", "syscall") else repeat
    r0, after, ctx_after, duration = syscall.test_run(
        loaded.fd.number, data if takes_data else b"", given, times, room, ctx_room
    )
    contents = {}
    if read_maps:
        pairs = zip(loaded.maps, prog.maps, strict=True)
        contents = {i: kernel_maps.read(fd, spec) for i, (fd, spec) in enumerate(pairs)}
    return KernelRun(r0, after, ctx_after, duration, contents)
