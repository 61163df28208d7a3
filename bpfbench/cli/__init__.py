"""The command line: `bpfbench COMMAND …`.

One module per group of commands; each has `add(commands)`, which declares them, and one function per command that
takes the parsed arguments and returns the exit status: 0 accepted or done, 1 rejected, 2 the input or the call is
wrong.
Whatever goes wrong is one line on stderr; a traceback is a bug, and `--debug` shows it.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from typing import NoReturn

from bpfbench import __version__
from bpfbench.cli import binary, check, codegen, course, execution, linking, museum, source, views
from bpfbench.errors import BpfbenchError

OK = 0
REJECTED = 1
WRONG = 2


class _Parser(argparse.ArgumentParser):
    """argparse, with one line instead of a usage page on errors."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(WRONG)


def _compiled() -> str:
    """Whether the hot modules are native code (`make compile`)."""
    found = find_spec("bpfbench.bits")
    return ", compiled" if found is not None and not (found.origin or "").endswith(".py") else ""


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="bpfbench", description="Opens up the eBPF JIT compiler: verifier and code generators.")
    top.add_argument("--version", action="version", version=f"bpfbench {__version__}{_compiled()}")
    top.add_argument("--debug", action="store_true", help="show a traceback when bpfbench itself fails")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for group in (source, check, codegen, execution, views, binary, linking, museum, course):
        group.add(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        args = parser().parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else WRONG
    try:
        status = answer(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        print("bpfbench: interrupted", file=sys.stderr)
        return 130


def answer(args: argparse.Namespace) -> int:
    """Run the command on what it is given; whatever goes wrong becomes one line and a status."""
    try:
        if hasattr(args, "files"):
            from bpfbench.cli import many

            if many.wanted(args):
                return many.answer_files(args)
        status: int = args.run(args)
        return status
    except BrokenPipeError:
        raise
    except BpfbenchError as error:
        print(f"bpfbench: {error}", file=sys.stderr)
        return WRONG
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"bpfbench: {place}{error.strerror or error}", file=sys.stderr)
        return WRONG
    except Exception as error:
        if args.debug:
            raise
        kind = type(error).__name__
        print(f"bpfbench: internal error in '{args.command}': {kind}: {error} (--debug shows more)", file=sys.stderr)
        return WRONG
