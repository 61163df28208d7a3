"""What an object file holds, once loaded."""

from __future__ import annotations

from typing import final

from bpfbench.elf.btf import Btf
from bpfbench.elf.elf import ElfFile
from bpfbench.errors import UsageError, Where
from bpfbench.program.program import MapSpec, Program


@final
class CodeSection:
    """The instructions of a section as they stand in the file, before any relocation: what a disassembler shows."""

    __slots__ = ("name", "raw", "symbols")

    def __init__(self, name: str, raw: bytes, symbols: dict[int, str]) -> None:
        self.name = name
        self.raw = raw
        self.symbols = symbols            # byte offset -> name

    def __repr__(self) -> str:
        return f"CodeSection({self.name}, {len(self.raw) // 8} slots, {len(self.symbols)} symbols)"


@final
class Object:
    """A loaded object file.

    `programs`    name -> Program, loadable as it stands: relocated, with the functions it calls appended
    `subprograms` name -> Program of each function in `.text`, relocated like a program of its own, for reading
    `maps`        name -> MapSpec, those of global data included; programs refer to the same MapSpec objects
    `btf`         types, fixed up as a kernel wants them; None without a `.BTF` section
    `code`        sections of instructions as in the file;  `elf` the file itself
    `notes`       what was noticed but does not stop the object from being loaded
    """

    __slots__ = (
        "name", "file", "license", "version", "programs", "subprograms", "maps", "btf", "code", "elf", "notes",
        "source",
    )  # fmt: skip

    def __init__(self, name: str, elf: ElfFile) -> None:
        self.name = name
        self.file = elf.file
        self.elf = elf
        self.license = ""
        self.version = 0
        self.programs: dict[str, Program] = {}
        self.subprograms: dict[str, Program] = {}
        self.maps: dict[str, MapSpec] = {}
        self.btf: Btf | None = None
        self.code: list[CodeSection] = []
        self.notes: list[str] = []
        self.source = ""                  # C text, when the object was just compiled

    @property
    def big_endian(self) -> bool:
        return self.elf.big_endian

    @property
    def raw(self) -> bytes:
        """The bytes of the file."""
        return self.elf.raw

    def program(self, name: str = "") -> Program:
        """The program of this name; without a name, the only one."""
        if name in self.programs:
            return self.programs[name]
        names = ", ".join(self.programs) or "none"
        if name or len(self.programs) != 1:
            problem = f"no program {name!r}" if name else "which program?"
            raise UsageError(f"{problem}; there are: {names}", Where(file=self.file))
        return next(iter(self.programs.values()))

    def initial_maps(self, prog: Program) -> dict[str, dict[int, Program | MapSpec]]:
        """What the source puts into the maps that `prog` uses: programs into program arrays, maps into arrays of maps.

        In the form that `bb.run(prog, data, maps=…)` and `bb.kernel.run` take.
        """
        found: dict[str, dict[int, Program | MapSpec]] = {}
        for spec in prog.maps:
            held = {i: self.programs.get(name) or self.maps.get(name) for i, name in enumerate(spec.inner_values)}
            entries = {i: value for i, value in held.items() if value is not None}
            if entries:
                found[spec.name] = entries
        return found

    def __repr__(self) -> str:
        programs, maps = ", ".join(self.programs) or "none", ", ".join(self.maps) or "none"
        return f"Object({self.name}: programs {programs}; maps {maps})"
