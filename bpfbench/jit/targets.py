"""The targets by name; each is imported when first used.

Which kernels a target's code has been held to, byte for byte; for other profiles it is the nearest kernel's code:

| target  | recordings      | compiled from source | the running kernel |
|---------|-----------------|----------------------|--------------------|
| x86_64  | 6.1, 6.12, 6.18 | 6.1, 6.12            | 6.18               |
| aarch64 | 6.12            | 6.12                 |                    |
| riscv64 | 6.12            | 6.12                 |                    |
| arm     | 6.1             | 6.1, 6.12            |                    |
| mips64  | 6.1             | 6.1, 6.12            |                    |
| ppc64   | 6.1             | 6.1, 6.12            |                    |
"""

from __future__ import annotations

import importlib
from typing import Final

from bpfbench.errors import NotSupported, UsageError
from bpfbench.jit.target import Target

#: name -> (module, class)
TARGETS: Final[dict[str, tuple[str, str]]] = {
    "x86_64":  ("bpfbench.jit.x64",    "X64Target"),
    "aarch64": ("bpfbench.jit.a64",    "A64Target"),
    "arm":     ("bpfbench.jit.a32",    "A32Target"),
    "mips64":  ("bpfbench.jit.mips64", "Mips64Target"),
    "ppc64":   ("bpfbench.jit.ppc64",  "Ppc64Target"),
    "riscv64": ("bpfbench.jit.rv64",   "Rv64Target"),
}  # fmt: skip
#: The network card has a generator of its own (jit/nfp.py): its code is not made function by function.
NFP: Final = "nfp"
#: Other names for the same machines, as uname, QEMU and the recordings write them.
ALIASES: Final = {
    "x64": "x86_64", "x86-64": "x86_64", "amd64": "x86_64", "arm64": "aarch64", "a64": "aarch64", "arm32": "arm",
    "armv7": "arm", "a32": "arm", "mips64el": "mips64", "powerpc64le": "ppc64", "ppc64le": "ppc64",
    "powerpc64": "ppc64", "rv64": "riscv64", "riscv": "riscv64",
}  # fmt: skip


def target_name(name: str) -> str:
    """The canonical name of a target; UsageError lists the known ones.

    >>> target_name("arm64")
    'aarch64'
    """
    found = ALIASES.get(name, name)
    if found == NFP:
        return NFP
    if found not in TARGETS:
        raise UsageError(f"unknown target '{name}'; known: {', '.join(TARGETS)}")
    return found


def target_class(name: str) -> type[Target]:
    if target_name(name) == NFP:
        raise NotSupported("target nfp: code for the card runs in the simulator only")
    module, attribute = TARGETS[target_name(name)]
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        raise NotSupported(f"target {name}") from None
    made: type[Target] = getattr(found, attribute)
    return made
