"""C to BPF objects: finds a clang that has the BPF target and runs it.

Any of three will do, in this order: the compiler that `BPFBENCH_CLANG` names; a system clang (`clang`, `clang-19`, …,
the newest that can compile for BPF); the clang inside the `ziglang` package (`pip install bpfbench[c]`).  Programs are
compiled with the headers in `include/` beside this file, so that no kernel headers are needed: write
`#include <bpf/helpers.h>` (or the usual `<linux/bpf.h>`, `<bpf/bpf_helpers.h>`).

The result does not depend on where it was made: paths in debug information are relative to the source.

Source: clang's documentation of the BPF target; Documentation/bpf/clang-notes.rst (-mcpu).
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, final

from bpfbench.elf import Btf, Object, load
from bpfbench.errors import ToolchainError, UsageError, Where

INCLUDE: Final = Path(__file__).resolve().parent / "include"
CPUS: Final = ("v1", "v2", "v3", "v4", "generic", "probe")
TIMEOUT: Final = 120.0
HOW_TO_GET: Final = (
    "no clang with the BPF target was found: install clang (Debian, Ubuntu: apt install clang; Fedora: dnf install "
    "clang), or pip install ziglang, or name one in BPFBENCH_CLANG; the prebuilt objects in datasets/ need none"
)


@final
class Compiler:
    """A clang: the command that starts it and its version."""

    __slots__ = ("command", "version")

    def __init__(self, command: list[str], version: str) -> None:
        self.command = command
        self.version = version

    def __repr__(self) -> str:
        return f"Compiler({' '.join(self.command)}, {self.version})"


def _candidates() -> list[list[str]]:
    named = os.environ.get("BPFBENCH_CLANG")
    if named:
        return [named.split()]
    found: dict[str, int] = {}
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if re.fullmatch(r"clang(-\d+)?", name):
                found.setdefault(name, int(name[6:] or 1000) if len(name) > 5 else 1000)
    commands = [[path] for name in sorted(found, key=lambda n: -found[n]) if (path := shutil.which(name))]
    if importlib.util.find_spec("ziglang") is not None:
        commands.append([sys.executable, "-m", "ziglang", "clang"])
    return commands


def _run(command: list[str], cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ToolchainError(f"{command[0]} did not finish within {TIMEOUT:.0f} s") from None
    except OSError as error:
        raise ToolchainError(f"cannot run {command[0]}: {error.strerror}") from None


def _probe(command: list[str]) -> Compiler | None:
    """The compiler behind `command`, if it can compile for BPF."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "probe.c").write_text("int probe(void *ctx) { return 0; }\n")
        try:
            if _run([*command, "-target", "bpf", "-c", "probe.c", "-o", "probe.o"], folder).returncode:
                return None
            told = _run([*command, "--version"]).stdout
        except ToolchainError:
            return None
    version = re.search(r"clang version ([\w.]+)", told)
    return Compiler(command, version.group(1) if version else "unknown")


@functools.lru_cache(maxsize=8)
def _find(path: str, named: str) -> Compiler | None:
    for command in _candidates():
        compiler = _probe(command)
        if compiler is not None:
            return compiler
    return None


def find_compiler() -> Compiler:
    """The first usable compiler; ToolchainError that says how to get one when there is none."""
    compiler = _find(os.environ.get("PATH", ""), os.environ.get("BPFBENCH_CLANG", ""))
    if compiler is None:
        named = os.environ.get("BPFBENCH_CLANG")
        raise ToolchainError((f"BPFBENCH_CLANG={named!r} is of no use; " if named else "") + HOW_TO_GET)
    return compiler


def available() -> bool:
    """Whether C can be compiled here."""
    try:
        find_compiler()
    except ToolchainError:
        return False
    return True


def compile_object(
    source: str | Path,
    name: str = "",
    cpu: str = "v3",
    debug: bool = True,
    opt: str = "-O2",
    big_endian: bool = False,
    extra: Sequence[str] = (),
    compiler: Compiler | None = None,
) -> bytes:
    """The bytes of the object file; arguments as for `compile_c`."""
    if cpu not in CPUS:
        raise UsageError(f"no BPF processor {cpu!r}; there are: {', '.join(CPUS)}")
    if not re.fullmatch(r"-O[0-3sz]?", opt):
        raise UsageError(f"no optimisation level {opt!r}; there are -O0 … -O3, -Os, -Oz")
    chosen = compiler if compiler is not None else find_compiler()
    path = _as_path(source)
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder, f"{name or 'program'}.c")
            path.write_text(str(source))
        target = Path(folder, "out.o")
        command = [
            *chosen.command, "-target", "bpfeb" if big_endian else "bpfel", f"-mcpu={cpu}", opt,
            *(["-g"] if debug else []), "-nostdlibinc", f"-I{INCLUDE}", f"-ffile-prefix-map={INCLUDE}=include",
            "-fdebug-compilation-dir=.", "-Wall", "-Wno-unused-function", "-fno-color-diagnostics", *extra,
            "-c", path.name, "-o", str(target),
        ]  # fmt: skip
        told = _run(command, str(path.parent))
        if told.returncode or not target.exists():
            raise _refused(told.stderr, path, source)
        return target.read_bytes()


def compile_c(
    source: str | Path,
    name: str = "",
    cpu: str = "v3",
    debug: bool = True,
    opt: str = "-O2",
    big_endian: bool = False,
    extra: Sequence[str] = (),
    btf: Btf | str | Path | bytes | None = None,
    kconfig: Mapping[str, int | str] | None = None,
    type: str = "unspec",
    compiler: Compiler | None = None,
) -> Object:
    """Compile C to a loaded object.

    `source` is C text, or the path of a `.c` file; `name` what the object is called; `cpu` the instruction set
    (v1 … v4); `debug` adds BTF and line information; `extra` are further arguments for clang; `btf`, `kconfig` and
    `type` are those of `load`.  Raises ToolchainError with clang's first error, its place and the line.

    >>> compile_c('int drop(void *ctx) { return 1; }', name="x")              # doctest: +SKIP
    Object(x: programs drop; maps none)
    """
    raw = compile_object(source, name, cpu, debug, opt, big_endian, extra, compiler)
    path = _as_path(source)
    obj = load(raw, btf, kconfig, type, name=f"{name or (path.stem if path is not None else 'program')}.o")
    obj.source = path.read_text(errors="replace") if path is not None else str(source)
    return obj


def _as_path(source: str | Path) -> Path | None:
    """The file that `source` names, or None when it is C text."""
    if isinstance(source, Path) or ("\n" not in source and source.endswith(".c")):
        path = Path(source).resolve()
        if not path.is_file():
            raise UsageError("no such file", Where(file=str(source)))
        return path
    return None


def _refused(told: str, path: Path, source: str | Path) -> ToolchainError:
    """clang's first error as one error with its place and line."""
    for line in told.splitlines():
        match = re.match(r"(?:(.*?):(\d+):(\d+): )?(?:fatal )?error: (.*)", line)
        if match is None:
            continue
        file, row, column, message = match.groups()
        if not row:
            return ToolchainError(message, Where(file=path.name))
        text = ""
        if Path(file).name == path.name:
            lines = path.read_text(errors="replace").splitlines()
            text = lines[int(row) - 1] if 0 < int(row) <= len(lines) else ""
        return ToolchainError(message, Where(file=file, line=int(row), column=int(column)), text.replace("\t", " "))
    said = told.strip().splitlines() or ["the compiler failed without a message"]
    return ToolchainError(said[0], Where(file=path.name))
