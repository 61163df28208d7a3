"""CO-RE: instructions that depend on the layout of kernel types (being completed)."""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

from bpfbench.elf import btf as b
from bpfbench.elf.btf import Btf, read_btf
from bpfbench.elf.btf_ext import CoreRelocation
from bpfbench.errors import NotSupported, UsageError, Where

KERNEL_BTF: Final = "/sys/kernel/btf/vmlinux"


@final
class Target:
    """The BTF of the kernel that objects are made to fit; opened when first needed."""

    def __init__(self, source: Btf | str | Path | bytes | None = None) -> None:
        self._source = source

    @property
    def available(self) -> bool:
        return self._source is not None

    @property
    def btf(self) -> Btf:
        raise NotSupported("kernel BTF")


def essential(name: str) -> str:
    return name.split("___")[0]


def compatible(local: Btf, id: int, target: Btf, other: int) -> bool:
    return local.type(id).kind == target.type(other).kind


def apply(code: bytearray, slot: int, relocation: CoreRelocation, local: Btf, target: Target, where: Where) -> None:
    raise NotSupported("CO-RE relocations", where)
