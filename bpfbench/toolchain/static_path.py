"""A static compiler's path, for contrast: compile, assemble, link, load, each step as an object (slides 3 and 4).

    C source --compile--> assembly --assemble--> object --link--> executable --load--> segments in memory
                                                 sections         segments
                                                 relocations      run-time relocations

A just-in-time compiler does all this at once: it encodes instructions directly and, because it runs where the code will
run, writes addresses directly; there is nothing left to relocate but what only the kernel knows.  Here each step of the
classical path is done by the host's C compiler and read back with pyelftools.

Source: the ELF specification (System V gABI), chapters 4 and 5.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, final

from bpfbench.errors import ToolchainError

#: Slides 4-6: static data, a function, a call.
SOURCE: Final = """int a = 0x1;

int foo(void)
{
    int b = 0x20;
    return a + b;
}

int main(void) { return foo(); }
"""
TIMEOUT: Final = 120


@final
class Section:
    """A section of an object: `name`, `size` in bytes, `flags` ("WAX"), and the types of segments that will hold it."""

    __slots__ = ("name", "size", "flags", "segments")

    def __init__(self, name: str, size: int, flags: str, segments: list[str]) -> None:
        self.name = name
        self.size = size
        self.flags = flags
        self.segments = segments

    def __repr__(self) -> str:
        return f"Section({self.name}, {self.size} bytes, {self.flags or '-'})"


@final
class Segment:
    """What a loader maps: `type`, `address`, `size` in memory, `access` ("r-x"), and the sections inside."""

    __slots__ = ("type", "address", "size", "access", "sections")

    def __init__(self, type: str, address: int, size: int, access: str, sections: list[str]) -> None:
        self.type = type
        self.address = address
        self.size = size
        self.access = access
        self.sections = sections

    def __repr__(self) -> str:
        return f"Segment({self.type} {self.address:#x}+{self.size:#x} {self.access}: {' '.join(self.sections)})"


@final
class StaticRelocation:
    """A place in `section` at `offset` that depends on `symbol`; `type` is the machine's number for how."""

    __slots__ = ("section", "offset", "type", "symbol", "addend")

    def __init__(self, section: str, offset: int, type: int, symbol: str, addend: int) -> None:
        self.section = section
        self.offset = offset
        self.type = type
        self.symbol = symbol
        self.addend = addend

    def __repr__(self) -> str:
        return f"{self.section}+{self.offset:#x}: type {self.type} {self.symbol}{self.addend:+d}"


@final
class StaticPath:
    """All stages of one source: `assembly` text; `sections`, `symbols` and `relocations` of the object; `segments`,
    `runtime_relocations` and `entry` of the executable."""

    __slots__ = (
        "source", "command", "assembly", "sections", "symbols", "relocations", "segments", "runtime_relocations",
        "entry",
    )  # fmt: skip

    def __init__(self, source: str, command: list[str]) -> None:
        self.source = source
        self.command = command
        self.assembly = ""
        self.sections: list[Section] = []
        self.symbols: dict[str, tuple[str, int]] = {}
        self.relocations: list[StaticRelocation] = []
        self.segments: list[Segment] = []
        self.runtime_relocations: list[StaticRelocation] = []
        self.entry = 0

    def __repr__(self) -> str:
        return (f"StaticPath({len(self.sections)} sections, {len(self.relocations)} relocations -> "
                f"{len(self.segments)} segments, {len(self.runtime_relocations)} run-time relocations)")


def host_compiler() -> list[str]:
    """The command of a C compiler for this host; ToolchainError says how to get one."""
    for name in ("cc", "gcc", "clang"):
        found = shutil.which(name)
        if found is not None:
            return [found]
    done = subprocess.run([sys.executable, "-m", "ziglang", "version"], capture_output=True, timeout=TIMEOUT)
    if done.returncode == 0:
        return [sys.executable, "-m", "ziglang", "cc"]
    raise ToolchainError("no C compiler for this host: install gcc or clang, or `pip install ziglang`")


def static_path(source: str = SOURCE) -> StaticPath:
    """Take C `source` (with a `main`) through all stages; ToolchainError carries what the compiler said."""
    path = StaticPath(source, host_compiler())
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "unit.c").write_text(source)
        run(path.command, "-S", "-O0", "-fno-asynchronous-unwind-tables", "-o", "unit.s", "unit.c", cwd=folder)
        path.assembly = (here / "unit.s").read_text()
        run(path.command, "-c", "-O0", "-o", "unit.o", "unit.c", cwd=folder)
        read_object(path, (here / "unit.o"))
        run(path.command, "-pie", "-fPIE", "-o", "unit", "unit.c", cwd=folder)
        read_executable(path, here / "unit")
    return path


def run(command: list[str], *arguments: str, cwd: str) -> None:
    done = subprocess.run([*command, *arguments], cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise ToolchainError(f"{Path(command[0]).name} refuses the source: {first.strip()}")


def flags_of(number: int) -> str:
    return "".join(letter for bit, letter in ((1, "W"), (2, "A"), (4, "X")) if number & bit)


def read_object(path: StaticPath, file: Path) -> None:
    """Sections, defined symbols and relocations of a relocatable object."""
    with file.open("rb") as stream:
        elf = elf_file(stream)
        for section in elf.iter_sections():
            if section.name:
                path.sections.append(Section(section.name, section["sh_size"], flags_of(section["sh_flags"]), []))
            if section["sh_type"] == "SHT_SYMTAB":
                for symbol in section.iter_symbols():
                    index = symbol["st_shndx"]
                    if symbol.name and isinstance(index, int):
                        path.symbols[symbol.name] = (elf.get_section(index).name, symbol["st_value"])
        path.relocations = relocations(elf)


def read_executable(path: StaticPath, file: Path) -> None:
    """Segments with the sections inside, and what is left for the loader to relocate."""
    with file.open("rb") as stream:
        elf = elf_file(stream)
        path.entry = elf["e_entry"]
        inside: dict[str, list[str]] = {}
        for segment in elf.iter_segments():
            kind = str(segment["p_type"]).removeprefix("PT_")
            names = [s.name for s in elf.iter_sections() if s.name and segment.section_in_segment(s)]
            bits = ((4, "r"), (2, "w"), (1, "x"))
            access = "".join(letter if segment["p_flags"] & bit else "-" for bit, letter in bits)
            path.segments.append(Segment(kind, segment["p_vaddr"], segment["p_memsz"], access, names))
            for name in names:
                inside.setdefault(name, []).append(kind)
        for section in path.sections:
            section.segments = inside.get(section.name, [])
        path.runtime_relocations = relocations(elf)


def elf_file(stream: Any) -> Any:
    from elftools.elf.elffile import ELFFile

    return ELFFile(stream)


def relocations(elf: Any) -> list[StaticRelocation]:
    from elftools.elf.relocation import RelocationSection

    found: list[StaticRelocation] = []
    for section in elf.iter_sections():
        if not isinstance(section, RelocationSection):
            continue
        table = elf.get_section(section["sh_link"])
        target = elf.get_section(section["sh_info"]).name or section.name
        for entry in section.iter_relocations():
            symbol = table.get_symbol(entry["r_info_sym"]) if hasattr(table, "get_symbol") else None
            name = symbol.name if symbol is not None else ""
            if symbol is not None and not name and isinstance(symbol["st_shndx"], int):
                name = elf.get_section(symbol["st_shndx"]).name
            addend = int(entry["r_addend"]) if entry.is_RELA() else 0
            found.append(StaticRelocation(target, entry["r_offset"], entry["r_info_type"], name, addend))
    return found
