"""jumptables, rewrite: AArch64 binaries."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add(commands: Any) -> None:
    tables = commands.add_parser("jumptables", help="recover the jump tables of an AArch64 ELF file")
    tables.add_argument("file")
    tables.add_argument("--json", action="store_true")
    tables.add_argument("--function", default="", help="only this function")
    tables.add_argument("--explain", default="", metavar="ADDR", help="the evidence for one indirect branch")
    tables.set_defaults(run=jump_tables)

    rewrite = commands.add_parser("rewrite", help="re-emit the functions of an AArch64 ELF file: reorder, count")
    rewrite.add_argument("file")
    rewrite.add_argument("-o", dest="output", required=True, metavar="OUT")
    rewrite.add_argument("--reorder", default="keep", choices=("keep", "reverse", "random"), help="order of blocks")
    rewrite.add_argument("--instrument", default="", choices=("", "blocks", "edges"), help="insert counters")
    rewrite.add_argument("--poison", action="store_true", help="destroy the old bodies and tables")
    rewrite.set_defaults(run=rewrite_binary)


def jump_tables(args: argparse.Namespace) -> int:
    from bpfbench import jumptable

    found = jumptable.recover(args.file)
    rows: list[dict[str, Any]] = found.rows(args.function or None)
    if args.explain:
        print(found.explain(int(args.explain, 0)))
    elif args.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            shape = f"{row['entry_size']}-byte x {row['count']}" if row.get("count") else ""
            print(f"{row['branch']:#x}  {row['function'] or '?':30} {row['kind']:14} {shape}")
    return 0


def rewrite_binary(args: argparse.Namespace) -> int:
    from bpfbench.jumptable.rewrite import rewrite

    print(rewrite(args.file, args.output, reorder=args.reorder, instrument=args.instrument, poison=args.poison))
    return 0
