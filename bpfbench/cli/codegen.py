"""jit, listing: native code for every target."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import bpfbench as bb
from bpfbench.cli.inputs import add_input, one_program, programs
from bpfbench.errors import UsageError
from bpfbench.profiles import DEFAULT
from bpfbench.program.program import Program

TARGETS = ("x86_64", "aarch64", "arm", "mips64", "ppc64", "riscv64", "nfp")


def add(commands: Any) -> None:
    jit = commands.add_parser("jit", help="native code as a kernel's JIT emits it")
    add_input(jit, batch=True)
    jit.add_argument("--target", default="x86_64", choices=TARGETS)
    jit.add_argument("--kernel", default=DEFAULT)
    jit.add_argument("--option", action="append", default=[], metavar="NAME[=on|off]",
                     help="a processor feature or kernel option of the target, e.g. ibt=on")  # fmt: skip
    jit.add_argument("--without", action="append", default=[], metavar="PASS",
                     help="target nfp: leave out a pass; may be given again")  # fmt: skip
    jit.add_argument("--passes", action="store_true",
                     help="target nfp: what each pass saved and why it was legal; with --json each change")  # fmt: skip
    jit.add_argument("-o", dest="output", metavar="FILE", help="write the image")
    jit.set_defaults(run=jit_files)

    listing = commands.add_parser("listing", help="each BPF instruction with its native code on every target")
    add_input(listing, many=True)
    listing.add_argument("--targets", default="all", help="comma-separated, or all")
    listing.set_defaults(run=side_by_side)


def _options(args: argparse.Namespace) -> dict[str, bool]:
    changes: dict[str, bool] = {}
    for option in args.option:
        name, _, value = option.partition("=")
        if value not in ("", "on", "off"):
            raise UsageError(f"--option {option}: say {name}=on or {name}=off")
        changes[name] = value != "off"
    return changes


def jit_files(args: argparse.Namespace) -> int:
    from bpfbench.jit import jit_record

    changes = _options(args)
    if (args.passes or args.without) and args.target != "nfp":
        raise UsageError(f"--passes and --without are about target nfp; target {args.target} has no such passes")
    if args.batch and (args.passes or args.without):
        raise UsageError("--passes and --without are for files, not for --batch")
    if args.batch:
        from bpfbench.cli.many import batch

        return batch(args, lambda record, prog: row(
            jit_record(record, args.target, args.kernel, bb.verify, changes or None)))  # fmt: skip
    found = programs(args)
    if args.output and len(found) > 1:
        found = [one_program(args)]
    for prog in found:
        if args.passes:
            report = bb.nfp.reports(prog, args.kernel, tuple(args.without))
            print(json.dumps(report.to_json()) if args.json else report)
            continue
        code = _compile(prog, args, changes)
        if args.output:
            Path(args.output).write_bytes(code.bytes)
            print(f"{args.output}: {len(code.bytes)} bytes, {len(code.relocations)} relocations")
        elif args.json:
            print(json.dumps({"name": prog.name, **code.to_json()}))
        else:
            print(f"{prog.name}:\n{code.listing()}")
    return 0


def row(code: Any) -> dict[str, Any]:
    """The fields that a batch answers with."""
    kept = ("offset", "size", "kind", "symbol")
    relocations = [r.to_json() for r in code.relocations]
    return {
        "image": code.bytes.hex(), "functions": [f.length for f in code.functions],
        "relocations": [{key: r[key] for key in kept} for r in relocations],
    }  # fmt: skip


def _compile(prog: Program, args: argparse.Namespace, changes: dict[str, bool]) -> Any:
    options: dict[str, Any] = {"features": changes} if changes else {}
    if args.without:
        options["without"] = tuple(args.without)
    return bb.jit(prog, args.target, args.kernel, **options)


def side_by_side(args: argparse.Namespace) -> int:
    targets = "all" if args.targets == "all" else args.targets.split(",")
    for prog in programs(args):
        table = bb.listing(prog, targets)
        print(json.dumps(table.to_json()) if args.json else table)
    return 0
