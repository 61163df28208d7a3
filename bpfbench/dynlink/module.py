"""A module: an object that takes part in dynamic linking, as its file describes it.

    .bpf.library   "checksum 1.2"                    it is a library, of this name and version
    .bpf.needs     "checksum 1.1", "headers 1.0"     libraries whose functions it calls
    exports        its global functions in .text that are not hidden, with their BTF prototypes
    imports        functions that it declares and calls, but nobody in it defines

A version has a major number, which changes with the meaning, and a minor one, which grows: "1.1" is satisfied by 1.1 and
every later 1.x.  "1" alone means 1.0.

File format and rules: docs/dynlink.md.  Source: System V ABI, chapter 5 (DT_SONAME, DT_NEEDED), for what is needed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, final

from bpfbench.dynlink.prototype import prototype_text, same_type
from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.elf import ElfFile
from bpfbench.elf.loader import read_file
from bpfbench.errors import DynlinkError, Where

LIBRARY: Final = ".bpf.library"
NEEDS: Final = ".bpf.needs"
_NAMED: Final = re.compile(r"([A-Za-z_][\w.-]*) (\d+)(?:\.(\d+))?")
Version = tuple[int, int]


def version_text(version: Version) -> str:
    """
    >>> version_text((1, 2))
    '1.2'
    """
    return f"{version[0]}.{version[1]}"


def satisfies(has: Version, wanted: Version) -> bool:
    """Is a library of version `has` good enough for one who needs `wanted`?

    >>> satisfies((1, 3), (1, 1)), satisfies((1, 0), (1, 1)), satisfies((2, 0), (1, 1))
    (True, False, False)
    """
    return has[0] == wanted[0] and has[1] >= wanted[1]


@final
class Module:
    """What one file says; see the module's text for the fields.

    `name` of a library is its own, that of a program its file's; `version` is None for a program.
    """

    __slots__ = ("file", "raw", "elf", "btf", "name", "version", "needs", "exports", "imports", "license")

    def __init__(self, source: str | Path | bytes, name: str = "") -> None:
        self.raw = source if isinstance(source, bytes) else read_file(source)
        self.file = name or ("module" if isinstance(source, bytes) else Path(source).name)
        self.elf = ElfFile(self.raw, self.file)
        section = self.elf.section(".BTF")
        if self.elf.machine != "BPF" or self.elf.kind != "REL" or self.elf.big_endian:
            raise DynlinkError("not a little-endian BPF object", Where(file=self.file))
        if section is None or not section.raw:
            raise DynlinkError("no BTF, and so no prototypes (compile with -g)", Where(file=self.file))
        self.btf = Btf(section.raw, where=Where(file=self.file, section=".BTF"))
        self.btf.check()
        own = self._named(LIBRARY)
        if len(own) > 1:
            raise DynlinkError("the object says it is two libraries", Where(file=self.file, section=LIBRARY))
        self.name: str = own[0][0] if own else Path(self.file).stem
        self.version: Version | None = own[0][1] if own else None
        self.needs = self._named(NEEDS)
        self.exports: dict[str, int] = {}
        self.imports: list[str] = []
        self._functions()
        license = self.elf.section("license")
        self.license = license.raw.split(b"\0")[0].decode("utf-8", "replace") if license is not None else ""

    def _named(self, section_name: str) -> list[tuple[str, Version]]:
        """The entries of a section: "name major.minor", each ended by a zero byte."""
        section = self.elf.section(section_name)
        found: list[tuple[str, Version]] = []
        for text in (section.raw.decode("utf-8", "replace").split("\0") if section is not None else []):
            if not text:
                continue
            m = _NAMED.fullmatch(text)
            if m is None:
                raise DynlinkError(f"{text!r} is not 'name major.minor'", Where(file=self.file, section=section_name))
            found.append((m.group(1), (int(m.group(2)), int(m.group(3) or 0))))
        return found

    def _functions(self) -> None:
        text = self.elf.section(".text")
        types = {self.btf.type(id).name: id for id in self.btf if self.btf.type(id).kind == b.FUNC}
        kernel = {self.btf.type(v.type).name for id in self.btf if self.btf.type(id).name in (".ksyms", ".kconfig")
                  for v in self.btf.type(id).variables}
        for symbol in self.elf.symbols:
            id = types.get(symbol.name)
            if symbol.is_extern and id is not None and symbol.name not in kernel:
                self.imports.append(symbol.name)
            elif symbol.is_extern and symbol.name not in kernel:
                raise DynlinkError(f"'{symbol.name}' is no function with a prototype; only functions can be imported",
                                   Where(file=self.file))
            elif symbol.type == "FUNC" and text is not None and symbol.section == text.index and id is not None \
                    and symbol.bind != "LOCAL" and symbol.visibility == "DEFAULT":
                self.exports[symbol.name] = id
        if self.version is not None and not self.exports:
            raise DynlinkError(f"library {self.name} exports no function", Where(file=self.file))

    @property
    def is_library(self) -> bool:
        return self.version is not None

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {version_text(self.version)}" if self.version is not None else self.name

    def prototype(self, name: str) -> str:
        """The prototype of an export or import, as C writes it."""
        return prototype_text(self.btf, self._function(name))

    def _function(self, name: str) -> int:
        id = self.btf.find(name, b.FUNC)
        if id is None:
            raise DynlinkError(f"no function '{name}'", Where(file=self.file))
        return id

    def must_agree(self, name: str, library: Module) -> None:
        """DynlinkError unless this module's import and the library's export of that name have one prototype."""
        mine, theirs = self.btf.type(self._function(name)), library.btf.type(library._function(name))
        if not same_type(self.btf, mine.type, library.btf, theirs.type):
            raise DynlinkError(f"wrong prototype of '{name}': {self.name} expects '{self.prototype(name)}', "
                               f"{library.title} has '{library.prototype(name)}'", Where(file=library.file))

    def __repr__(self) -> str:
        return (f"Module({self.title}: exports {', '.join(self.exports) or 'none'}; "
                f"imports {', '.join(self.imports) or 'none'})")
