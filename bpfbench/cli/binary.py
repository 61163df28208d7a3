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


def jump_tables(args: argparse.Namespace) -> int:
    from bpfbench import jumptable

    found = jumptable.recover(args.file)
    rows = found.to_json()
    if args.function:
        rows = [row for row in rows if row["function"] == args.function]
    if args.explain:
        print(found.explain(int(args.explain, 0)))
    elif args.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            shape = f"{row['entry_size']}-byte x {row['count']}" if row.get("count") else ""
            print(f"{row['branch']:#x}  {row['function'] or '?':30} {row['kind']:14} {shape}")
    return 0
