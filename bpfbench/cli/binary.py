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
    tables.add_argument("--records", default="", metavar="OUT", help="write a copy with .note.jumptables and symbols")
    tables.set_defaults(run=jump_tables)

    rewrite = commands.add_parser("rewrite", help="re-emit the functions of an AArch64 ELF file: reorder, count")
    rewrite.add_argument("file")
    rewrite.add_argument("-o", dest="output", required=True, metavar="OUT")
    rewrite.add_argument("--reorder", default="keep", choices=("keep", "reverse", "random", "profile"),
                         help="order of blocks")
    rewrite.add_argument("--profile", nargs=2, default=None, metavar=("LEGEND", "COUNTERS"),
                         help="OUT.counters.json of the instrumented program and the bpfbench.counters it left")
    rewrite.add_argument("--instrument", default="", choices=("", "blocks", "edges"), help="insert counters")
    rewrite.add_argument("--poison", action="store_true", help="destroy the old bodies and tables")
    rewrite.set_defaults(run=rewrite_binary)


def jump_tables(args: argparse.Namespace) -> int:
    from bpfbench import jumptable

    if args.records:
        from bpfbench.jumptable.records import attach

        print(f"{len(attach(args.file, args.records))} records")
        return 0
    found = jumptable.recover(args.file)
    rows: list[dict[str, Any]] = found.rows(args.function or None)
    if args.explain:
        print(found.explain(address(args.explain)))
    elif args.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            shape = f"{row['entry_size']}-byte x {row['count']}" if row.get("count") else ""
            print(f"{row['branch']:#x}  {row['function'] or '?':30} {row['kind']:14} {shape}")
    return 0


def address(text: str) -> int:
    from bpfbench.errors import UsageError

    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"{text!r} is not an address, such as 0x4006d4") from None


def rewrite_binary(args: argparse.Namespace) -> int:
    from bpfbench.jumptable.instrument import Profile
    from bpfbench.jumptable.rewrite import rewrite

    profile = Profile.read(*args.profile) if args.profile else None
    report = rewrite(args.file, args.output, args.reorder, args.instrument, profile, args.poison)
    print(report)
    for reason, count in report.reasons().most_common():
        print(f"  {count:6} refused: {reason}")
    return 0
