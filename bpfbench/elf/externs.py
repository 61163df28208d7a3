"""Externs: names in an object that only a kernel can give a meaning.

    section     extern                            becomes
    .kconfig    LINUX_KERNEL_VERSION, CONFIG_*    a value in the read-only map `.kconfig`
    .ksyms      a function                        a call of a kfunc by its BTF id
    .ksyms      a typed variable                  a wide load of its BTF id
    .ksyms      a variable of type void           its address

A weak extern that the kernel does not have reads as zero; a call of it becomes a call that the verifier refuses if it
can be reached.  A strong one is an error.

Source: tools/lib/bpf/libbpf.c (bpf_object__resolve_externs, set_kcfg_value_*, bpf_object__resolve_ksym_*).
"""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Mapping
from typing import Final, final

from bpfbench.elf import btf_types as b
from bpfbench.elf import core, fixup
from bpfbench.elf.btf import Btf
from bpfbench.elf.core_match import essential, types_compatible
from bpfbench.elf.elf import ElfFile, Symbol
from bpfbench.elf.maps import RDONLY_PROG
from bpfbench.elf.object import Object
from bpfbench.errors import ElfError, NotSupported, Where
from bpfbench.program.program import MapSpec

KCONFIG: Final = 0
TYPED: Final = 1
ADDRESS: Final = 2
POISON_KFUNC: Final = 2002000000       # immediate of a call of a kfunc that does not exist: the verifier names it


@final
class Extern:
    """One extern: `value` is an offset in `.kconfig`, a BTF id, or an address; `index` numbers it in the object."""

    __slots__ = ("name", "kind", "weak", "type", "found", "value", "index", "size", "align")

    def __init__(self, name: str, kind: int, weak: bool, type: int) -> None:
        self.name = name
        self.kind = kind
        self.weak = weak
        self.type = type
        self.found = False
        self.value = 0
        self.index = 0
        self.size = 0
        self.align = 0


def collect(
    elf: ElfFile, obj: Object, target: core.Target, kconfig: Mapping[str, int | str] | None, out: dict[int, Extern]
) -> MapSpec | None:
    """Resolve all externs into `out` (by symbol); returns the `.kconfig` map if there is one."""
    where = Where(file=elf.file, section=".ksyms")
    if obj.btf is None:
        raise ElfError("externs without BTF (compile with -g)", where)
    btf = obj.btf
    sections = _sections(btf)
    for symbol in elf.symbols:
        if symbol.is_extern and symbol.name:
            out[symbol.index] = _extern(btf, symbol, sections, elf.file)
    settings = sorted((e for e in out.values() if e.kind == KCONFIG), key=lambda e: (-e.align, e.size, e.name))
    symbols = sorted((e for e in out.values() if e.kind != KCONFIG), key=lambda e: e.name)
    for index, extern in enumerate(settings + symbols):
        extern.index = index
        if extern.kind != KCONFIG:
            _resolve(extern, btf, target, elf.file)
    spec = _kconfig_map(btf, settings, kconfig, elf.file) if settings else None
    fixup.settle_externs(btf, {e.name: e.value for e in settings}, spec.value_size if spec is not None else 0)
    return spec


def _sections(btf: Btf) -> dict[str, tuple[str, int]]:
    """Name of each variable and function in an extern section -> its section and type id."""
    found: dict[str, tuple[str, int]] = {}
    for name in (".kconfig", ".ksyms"):
        id = btf.find(name, b.DATASEC)
        for variable in btf.type(id).variables if id is not None else []:
            found[btf.type(variable.type).name] = name, variable.type
    return found


def _extern(btf: Btf, symbol: Symbol, sections: dict[str, tuple[str, int]], file: str) -> Extern:
    if symbol.name not in sections:
        if btf.find(symbol.name, b.FUNC) is not None:
            raise ElfError(f"function {symbol.name!r} is declared but not defined; link the object that defines it first "
                           "(bpfbench link)", Where(file=file, section=".BTF"))
        raise ElfError(f"extern {symbol.name!r} is in neither .kconfig nor .ksyms", Where(file=file, section=".BTF"))
    section, id = sections[symbol.name]
    t, weak = btf.type(id), symbol.bind == "WEAK"
    if section == ".kconfig":
        if t.kind != b.VAR:
            raise ElfError(f"extern function {symbol.name!r} in .kconfig", Where(file=file, section=section))
        extern = Extern(symbol.name, KCONFIG, weak, t.type)
        extern.size, extern.align = btf.size_of(t.type), btf.align_of(t.type)
        return extern
    typed = t.kind == b.FUNC or btf.resolve(t.type) != 0
    return Extern(symbol.name, TYPED if typed else ADDRESS, weak, id)


# -- kernel symbols --------------------------------------------------------------------------------------------------


def _resolve(extern: Extern, btf: Btf, target: core.Target, file: str) -> None:
    if extern.kind == ADDRESS:
        extern.value = _address(extern.name)
        extern.found = extern.value != 0
    else:
        _resolve_typed(extern, btf, target, file)
    if not extern.found and not extern.weak:
        why = "has it not" if target.available or extern.kind == ADDRESS else "is not known: give btf="
        where = Where(file=file, section=".ksyms")
        raise ElfError(f"extern {extern.name!r} is a kernel symbol, and the kernel {why}", where)


def _resolve_typed(extern: Extern, btf: Btf, target: core.Target, file: str) -> None:
    if not target.available:
        return
    own = btf.type(extern.type)
    kernel = target.btf
    id = kernel.find(essential(extern.name), own.kind)
    if id is None:
        return
    mine, theirs = btf.resolve(own.type), kernel.resolve(kernel.type(id).type)
    if types_compatible(btf, mine, kernel, theirs):
        extern.value, extern.found = id, True
    elif own.kind == b.VAR or not extern.weak:
        where = Where(file=file, section=".ksyms")
        raise ElfError(f"extern {extern.name!r} has another type in the kernel", where)


def _address(name: str) -> int:
    """The address of a symbol of the running kernel, 0 if unknown."""
    try:
        with open("/proc/kallsyms", encoding="ascii", errors="replace") as symbols:
            for line in symbols:
                words = line.split()
                if len(words) == 3 and words[2] == name:
                    return int(words[0], 16)
    except OSError:
        pass
    return 0


# -- settings --------------------------------------------------------------------------------------------------------


def running_settings() -> dict[str, int | str]:
    """The running kernel's version and configuration, as far as it tells."""
    release = os.uname().release
    numbers = [int(part) for part in release.split("-")[0].split("+")[0].split(".")[:3] if part.isdigit()] + [0, 0, 0]
    found: dict[str, int | str] = {
        "LINUX_KERNEL_VERSION": numbers[0] << 16 | numbers[1] << 8 | min(numbers[2], 255),
        "LINUX_HAS_BPF_COOKIE": 1,
        "LINUX_HAS_SYSCALL_WRAPPER": 1,
    }
    for line in _config_text(release).splitlines():
        key, equals, value = line.partition("=")
        if equals and key.startswith("CONFIG_"):
            found[key] = value.strip()
    return found


def _config_text(release: str) -> str:
    try:
        if os.path.exists("/proc/config.gz"):
            with gzip.open("/proc/config.gz", "rt", encoding="ascii", errors="replace") as packed:
                return packed.read()
        with open(f"/boot/config-{release}", encoding="ascii", errors="replace") as plain:
            return plain.read()
    except OSError:
        return ""


def _kconfig_map(btf: Btf, settings: list[Extern], given: Mapping[str, int | str] | None, file: str) -> MapSpec:
    values = given if given is not None else running_settings()
    size = 0
    for extern in settings:
        extern.value = -(-size // extern.align) * extern.align
        size = extern.value + extern.size
    contents = bytearray(size)
    for extern in settings:
        where = Where(file=file, section=".kconfig")
        if extern.name in values:
            raw = _encode(btf, extern, values[extern.name], where)
            contents[extern.value : extern.value + extern.size] = raw
        elif not extern.weak:
            raise ElfError(f"setting {extern.name!r} is not known: give kconfig=", where)
    spec = MapSpec("array", 4, size, 1, RDONLY_PROG, ".kconfig")
    spec.contents, spec.frozen = bytes(contents), True
    spec.btf_value = btf.find(".kconfig", b.DATASEC) or 0
    return spec


def _encode(btf: Btf, extern: Extern, value: int | str, where: Where) -> bytes:
    """A setting as the bytes of its C type: y/n/m for bool, char and enum libbpf_tristate; numbers; strings."""
    t = btf.type(btf.resolve(extern.type))
    if t.kind == b.ARRAY:
        text = str(value).strip('"').encode()
        return text[: extern.size - 1].ljust(extern.size, b"\0")
    if t.kind not in (b.INT, b.ENUM) or t.size > 8:
        raise NotSupported(f"setting {extern.name!r} of this type", where)
    if isinstance(value, str) and value in ("y", "n", "m"):
        if t.kind == b.INT and t.size == 1 and not t.encoding & b.INT_BOOL:
            number = ord(value)
        elif value == "m" and t.encoding & b.INT_BOOL:
            raise ElfError(f"setting {extern.name!r} is m, which a bool cannot hold", where)
        else:
            number = {"n": 0, "y": 1, "m": 2}[value]
    else:
        try:
            number = int(value, 0) if isinstance(value, str) else value
        except ValueError:
            raise ElfError(f"setting {extern.name!r} is {value!r}, not a number", where) from None
    bits = 8 * t.size
    if not -(1 << bits - 1) <= number < 1 << bits:
        raise ElfError(f"setting {extern.name!r} is {number}, which does not fit {t.size} bytes", where)
    return struct.pack(">q" if btf.big_endian else "<q", number if number < 1 << 63 else number - (1 << 64))[
        -t.size if btf.big_endian else 0 : None if btf.big_endian else t.size
    ]
