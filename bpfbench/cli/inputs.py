"""What a command is given: an object, C, assembly, program JSON or bare bytes, told apart by name and content."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bpfbench.errors import UsageError, Where
from bpfbench.program.program import Program, from_assembly

ASSEMBLY = (".s", ".asm", ".bpf", ".txt")


def add_input(command: argparse.ArgumentParser, batch: bool = False, many: bool = False) -> None:
    """FILE and the options that say which program in it is meant; with `many`, any number of files (see many.py)."""
    if batch:
        command.add_argument("--batch", metavar="FILE", help="a program JSON per line ('-': stdin), JSON out")
    if many or batch:
        command.add_argument("files", nargs="*" if batch else "+", metavar="FILE",
                             help="object, .c, assembly or program JSON; also several, or a folder of objects")
        add_options(command)
    else:
        command.add_argument("file", help="object (.o), C (.c), assembly (.s), program JSON or raw instructions (.bin)")
    command.add_argument("--program", metavar="NAME", default="", help="which program of an object")
    command.add_argument("--type", metavar="TYPE", default="xdp", help="program type of assembly and raw bytes (xdp)")
    command.add_argument("--json", action="store_true", help="machine-readable output")


def add_options(command: argparse.ArgumentParser) -> None:
    """What commands on many files share."""
    command.add_argument("--processes", type=int, default=0, metavar="N", help="with many inputs: how many at a time "
                         "(one per processor)")
    command.add_argument("--resume", metavar="FILE", default="", help="with many inputs: keep the answers in FILE, and "
                         "go on from there")


def programs(args: argparse.Namespace) -> list[Program]:
    """The programs that the arguments name, at least one."""
    if not args.file:
        raise UsageError("which FILE?")
    found = read(args.file, args.type)
    if args.program:
        found = [p for p in found if p.name == args.program] or _missing(args, found)
    return found or _missing(args, found)


def one_program(args: argparse.Namespace) -> Program:
    """The only program, or the one that --program names."""
    found = programs(args)
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise UsageError(f"which program? --program one of: {names}", Where(file=args.file))
    return found[0]


def _missing(args: argparse.Namespace, found: list[Program]) -> list[Program]:
    names = ", ".join(p.name for p in found)
    if not names:
        raise UsageError("it has no programs", Where(file=args.file))
    raise UsageError(f"no program '{args.program}'; there are: {names}", Where(file=args.file))


def read(name: str, type: str = "xdp") -> list[Program]:
    """All programs of a file."""
    path = Path(name)
    raw = sys.stdin.buffer.read() if name == "-" else path.read_bytes()
    if raw[:4] == b"\x7fELF":
        from bpfbench.elf.loader import load

        return list(load(path if name != "-" else raw).programs.values())
    if path.suffix == ".c":
        from bpfbench.toolchain.clang import compile_c

        return list(compile_c(path).programs.values())
    if path.suffix == ".bin":
        from bpfbench.isa.codec import decode

        return [Program(decode(raw, strict=False), type, path.stem)]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("neither an ELF object nor text", Where(file=name, offset=error.start)) from None
    if text.lstrip()[:1] in ("{", "["):
        return _from_json(text, name)
    if path.suffix in ASSEMBLY or name == "-":
        return [from_assembly(text, type, path.stem if name != "-" else "stdin", file=name)]
    raise UsageError("unknown kind of file; known: .o .c .s .json .bin", Where(file=name))


def _from_json(text: str, name: str) -> list[Program]:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        lines = [line for line in text.splitlines() if line.strip()]
        return [Program.from_json(line, Where(file=name, line=n)) for n, line in enumerate(lines, 1)]
    records = whole if isinstance(whole, list) else [whole]
    return [Program.from_json(record, Where(file=name)) for record in records]


def show(value: object) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=1))
