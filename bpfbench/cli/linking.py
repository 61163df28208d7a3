"""link: several objects to one, or a program with its shared libraries."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from bpfbench.errors import UsageError


def add(commands: Any) -> None:
    link = commands.add_parser("link", help="link objects to one, statically")
    link.add_argument("objects", nargs="+", metavar="FILE.o")
    link.add_argument("-o", "--output", default="", metavar="FILE.o", help="where the linked object goes")
    link.add_argument("--partial", action="store_true", help="leave names undefined that no object defines")
    link.add_argument("--json", action="store_true")
    link.set_defaults(run=link_files)


def link_files(args: argparse.Namespace) -> int:
    from bpfbench.dynlink import link_static

    if not args.output:
        raise UsageError("where to? give -o FILE.o")
    raw = link_static(args.objects, args.partial)
    Path(args.output).write_bytes(raw)
    print(f"{args.output}: {len(args.objects)} objects, {len(raw)} bytes", file=sys.stderr)
    return 0
