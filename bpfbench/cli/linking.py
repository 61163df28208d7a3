"""link: several objects to one, or a program with its shared libraries."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bpfbench.cli.execution import outcome, packets
from bpfbench.errors import UsageError
from bpfbench.profiles import DEFAULT


def add(commands: Any) -> None:
    link = commands.add_parser("link", help="link objects to one, or load a program with shared libraries")
    link.add_argument("objects", nargs="+", metavar="FILE.o")
    link.add_argument("-o", "--output", default="", metavar="FILE.o", help="static: where the linked object goes")
    link.add_argument("--partial", action="store_true", help="static: leave names undefined that no object defines")
    link.add_argument("--dynamic", action="store_true", help="the first object is a program, the others its libraries")
    link.add_argument("--program", default="", metavar="NAME", help="dynamic: which program of the first object")
    link.add_argument("--lazy", action="store_true", help="dynamic: bind imports at their first call")
    link.add_argument("--kernel", default=DEFAULT, help=f"dynamic: whose verifier checks the modules ({DEFAULT})")
    link.add_argument("--engine", default="interp", help="dynamic: interp, native, emulate:aarch64, emulate:x86_64")
    link.add_argument("--data", default="", metavar="HEX|FILE", help="dynamic: run on this packet (or capture)")
    link.add_argument("--packet", type=int, default=-1, metavar="N", help="dynamic: only packet N of a capture")
    link.add_argument("--count", type=int, default=1, metavar="N", help="dynamic: run N times")
    link.add_argument("--replace", default="", metavar="FILE.o", help="dynamic: then replace a library and run again")
    link.add_argument("--events", action="store_true", help="dynamic: tell what the linker did")
    link.add_argument("--json", action="store_true")
    link.set_defaults(run=link_files)


def link_files(args: argparse.Namespace) -> int:
    return dynamic(args) if args.dynamic else static(args)


def static(args: argparse.Namespace) -> int:
    from bpfbench.dynlink import link_static

    if not args.output:
        raise UsageError("where to? give -o FILE.o (or --dynamic)")
    raw = link_static(args.objects, args.partial)
    Path(args.output).write_bytes(raw)
    print(f"{args.output}: {len(args.objects)} objects, {len(raw)} bytes", file=sys.stderr)
    return 0


def dynamic(args: argparse.Namespace) -> int:
    """Report the bindings; with --data also run; status 1 when a run traps."""
    from bpfbench.dynlink import start

    if args.output:
        raise UsageError("--dynamic writes no file: libraries are linked when a program is loaded")
    status = 0
    with start(args.objects[0], args.objects[1:], args.engine, args.lazy, args.program, args.kernel) as process:
        if args.data:
            status = _runs(args, process)
            if args.replace:
                process.replace(args.replace)
                status |= _runs(args, process)
        elif args.replace:
            process.replace(args.replace)
        if args.json:
            print(json.dumps({
                "modules": {name: loaded.module.title for name, loaded in process.modules.items()},
                "bound": {f"{user}.{symbol}": library for (user, symbol), library in process.bound.items()},
            }))  # fmt: skip
        else:
            print(process.report())
            for event in process.events if args.events else []:
                print(event)
    return status


def _runs(args: argparse.Namespace, process: Any) -> int:
    status = 0
    for number, data in enumerate(packets(args) * args.count):
        row = outcome(process.run(data))
        status |= 1 if "trap" in row else 0
        if args.json:
            print(json.dumps({"run": number, **row}))
        else:
            print(f"run {number}: " + (f"trap: {row['trap']}" if "trap" in row else f"r0 = {row['r0']:#x}"))
    return status
