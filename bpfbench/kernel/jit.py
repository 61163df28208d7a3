"""What the running kernel makes of a program: its rewritten instructions and its machine code.

    insns --verifier, fixups--> xlated --arch JIT--> image = function 0 | function 1 | …

Reading them back is BPF_OBJ_GET_INFO_BY_FD; it needs CAP_BPF, and load addresses show only with
`kernel.kptr_restrict` < 2.  In `xlated` a map reference carries the kernel's number of the map; `maps` translates it.

Sources: `kernel/bpf/syscall.c` (bpf_prog_get_info_by_fd), `arch/x86/net/bpf_jit_comp.c`.
"""

from __future__ import annotations

import platform
from typing import final

from bpfbench.kernel import syscall
from bpfbench.kernel.loaded import load
from bpfbench.program.program import Program


@final
class KernelImage:
    """Code that the kernel made of one program.

    `xlated` eBPF slots after rewriting · `image` machine code of all functions · `functions` (length in bytes, load
    address) of each · `maps` the kernel's number of a map -> its index in the program · `lines` address of the first
    machine instruction per line record · `machine` as uname(2) names it.
    """

    __slots__ = ("xlated", "image", "functions", "maps", "lines", "machine")

    def __init__(
        self, xlated: bytes, image: bytes, functions: list[tuple[int, int]], maps: dict[int, int], lines: list[int]
    ) -> None:
        self.xlated = xlated
        self.image = image
        self.functions = functions
        self.maps = maps
        self.lines = lines
        self.machine = platform.machine()

    def function(self, index: int) -> bytes:
        """The machine code of one function (0 is the program's entry)."""
        start = sum(length for length, _ in self.functions[:index])
        return self.image[start : start + self.functions[index][0]]

    def __repr__(self) -> str:
        return (f"KernelImage({len(self.xlated) // 8} slots -> {len(self.image)} bytes of {self.machine} "
                f"in {len(self.functions)} functions)")  # fmt: skip


def jit(prog: Program) -> KernelImage:
    """Load a program, read its code back, unload it.  A refused program raises KernelError with errno and log.

    >>> import bpfbench as bb
    >>> if bb.kernel.available():
    ...     image = jit(bb.assemble("r0 = 7\\nexit", type="socket_filter"))
    ...     assert len(image.xlated) == 16 and sum(n for n, _ in image.functions) == len(image.image)
    """
    with load(prog) as loaded:
        found = loaded.details()
        numbers = {syscall.map_id(fd): index for index, fd in enumerate(loaded.maps)}
    addresses = found.addresses or [0] * len(found.lengths)
    functions = list(zip(found.lengths, addresses, strict=True))
    return KernelImage(found.xlated, found.image, functions, numbers, found.line_addresses)
