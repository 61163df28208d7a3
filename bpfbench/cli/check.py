"""verify, explain, selftests: the verifier, its reasons, and the kernel's own tests."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

import bpfbench as bb
from bpfbench.cli.inputs import ASSEMBLY, add_input, programs
from bpfbench.errors import UsageError, Where
from bpfbench.profiles import DEFAULT
from bpfbench.program.program import Program


def add(commands: Any) -> None:
    verify = commands.add_parser("verify", help="verify programs as a kernel does; status 1 when one is rejected")
    add_input(verify, batch=True)
    _verifier_options(verify)
    verify.add_argument("--log", type=int, choices=(0, 1, 2), default=0, help="print the kernel's log at this level")
    verify.add_argument("--live", action="store_true", help="ask the running kernel instead (nothing is attached)")
    other = verify.add_mutually_exclusive_group()
    other.add_argument("--static", action="store_true", help="by abstract interpretation instead of walking paths")
    other.add_argument("--both", action="store_true", help="both, side by side: verdicts, precision, cost")
    verify.add_argument("--beyond", default="", metavar="NAMES",
                        help="with --static: use facts that Linux does not keep, e.g. division,keys or all")
    verify.add_argument("--invariants", action="store_true", help="with --static: what holds at each block")
    verify.set_defaults(run=verify_files)

    explain = commands.add_parser("explain", help="why was it rejected, in plain words; also from a kernel's log")
    add_input(explain, many=True)
    _verifier_options(explain)
    explain.set_defaults(run=explain_files)

    tests = commands.add_parser("selftests", help="the kernel's own verifier tests from a source tree you have")
    tests.add_argument("tree", help="an unpacked kernel source tree, e.g. from Debian's linux-source-6.1")
    tests.add_argument("--prefix", default="", help='only tests whose name begins so, e.g. "unpriv:"')
    tests.add_argument("--kernel", default=DEFAULT)
    tests.add_argument("--list", action="store_true", help="names only")
    tests.add_argument("--live", action="store_true", help="also ask the running kernel")
    tests.add_argument("--unprivileged", action="store_true")
    tests.add_argument("--json", action="store_true")
    tests.set_defaults(run=selftests)


def _verifier_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--kernel", default=DEFAULT, help=f"whose verifier ({DEFAULT})")
    command.add_argument("--unprivileged", action="store_true", help="without CAP_PERFMON: pointer leaks are refused")
    command.add_argument("--without", default="", metavar="NAMES", help="switch analyses off, e.g. pruning,precision")
    command.add_argument("--btf", metavar="FILE", help="the kernel's types, which calls of kernel functions refer to "
                         "(default: those of the running kernel, if it is the one of --kernel)")


def _without(args: argparse.Namespace) -> tuple[str, ...]:
    return tuple(name for name in args.without.split(",") if name)


def row(verification: Any, log_level: int = 0) -> dict[str, Any]:
    """The fields that a batch answers with, from our verification or the live kernel's."""
    found: dict[str, Any] = {
        "accepted": verification.accepted, "errno": verification.errno, "message": verification.message,
        "pc": getattr(verification, "pc", None),
        "insns_processed": verification.insns_processed, "total_states": verification.total_states,
        "peak_states": verification.peak_states,
    }  # fmt: skip
    if log_level:
        found["log"] = verification.log(log_level) if callable(verification.log) else verification.log
    return found


def _verify(args: argparse.Namespace, prog: Program) -> Any:
    if args.live:
        state = bb.kernel.available()
        if not state:
            raise UsageError(f"no live kernel to ask: {state.reason}")
        return bb.kernel.verify(prog, log_level=args.log, privileged=not args.unprivileged)
    return bb.verify(prog, args.kernel, not args.unprivileged, trace=args.log > 0, without=_without(args),
                     kernel_btf=args.btf)


def verify_files(args: argparse.Namespace) -> int:
    if args.static or args.both:
        return verify_static_files(args)
    if args.batch:
        from bpfbench.cli.many import batch

        return batch(args, lambda record, prog: row(_verify(args, prog), args.log))
    status = 0
    for prog in programs(args):
        v = _verify(args, prog)
        status |= 0 if v.accepted else 1
        if args.json:
            print(json.dumps({"name": prog.name, **row(v, args.log)}))
            continue
        if args.log:
            log = v.log(args.log) if callable(v.log) else v.log
            print(log, end="" if log.endswith("\n") else "\n")
        print(verdict_line(prog, v))
    return status


def verify_static_files(args: argparse.Namespace) -> int:
    """verify --static and --both: the static analysis, alone or beside the path walk."""
    if args.unprivileged or args.live or args.log or args.kernel != DEFAULT:
        raise UsageError(f"--static and --both judge as {DEFAULT} for privileged processes, without a log")
    beyond = tuple(name for name in args.beyond.split(",") if name)
    if args.batch:
        from bpfbench.cli.many import batch

        return batch(args, lambda record, prog: static_row(bb.verify_static(prog, beyond=beyond)))
    status = 0
    for prog in programs(args):
        if args.both:
            from bpfbench.verdicts import side_by_side

            both = side_by_side(prog, _without(args), beyond)
            status |= 0 if both.static.accepted else 1
            print(json.dumps(both.to_json()) if args.json else f"{prog.name}\n{both}")
            continue
        v = bb.verify_static(prog, beyond=beyond)
        status |= 0 if v.accepted else 1
        if args.json:
            print(json.dumps({"name": prog.name, **static_row(v)}))
            continue
        print(f"{prog.name}: {v.explain()}" if v.accepted else f"{prog.name}: rejected\n{v.explain()}")
        if args.invariants:
            print("\n".join(str(v.invariant(block.index)) for block in v.cfg.blocks))
    return status


def static_row(v: Any) -> dict[str, Any]:
    """The fields that a batch answers with, from the static analysis."""
    no = v.rejection
    return {
        "accepted": v.accepted, "supported": v.supported, "rule": no.rule if no is not None else None,
        "message": v.message, "pc": v.pc, "relevant": no.relevant if no is not None else [], "steps": v.stats.steps,
        "seconds": v.stats.seconds,
    }  # fmt: skip


def verdict_line(prog: Program, v: Any) -> str:
    if v.accepted:
        return f"{prog.name}: accepted, {v.insns_processed} insns processed, {v.total_states} states"
    pc = getattr(v, "pc", None)
    line = prog.source_line(pc) if pc is not None else None
    place = f" at insn {pc}" if pc is not None else ""
    place += f" ({line.file}:{line.line})" if line is not None else ""
    said = v.message or f"(the kernel says nothing; rule {v.rejection.rule}, see bpfbench explain)"
    return f"{prog.name}: rejected{place}: {said} [{v.errno}]"


def explain_files(args: argparse.Namespace) -> int:
    """Explains the programs of a file, or the refusal that a kernel's log ends with."""
    text = log_text(args.file)
    if text is not None:
        return explain_log(args, text)
    status = 0
    for prog in programs(args):
        v = bb.verify(prog, args.kernel, not args.unprivileged, without=_without(args), kernel_btf=args.btf)
        status |= 0 if v.accepted else 1
        explanation = v.explain()
        if args.json:
            print(json.dumps({**row(v), **explanation.to_json()}))
        else:
            print(f"{prog.name}: {explanation}")
    return status


def log_text(name: str) -> str | None:
    """The text of a file that is a verifier's log, None when it is something else (a program).

    Standard input is kept for the reader of programs when it is no log.
    """
    from bpfbench.verifier.logread import looks_like_log

    raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    text = None if raw[:4] == b"\x7fELF" or b"\0" in raw[:4096] else raw.decode("utf-8", errors="replace")
    if text is not None and Path(name).suffix not in (".c", *ASSEMBLY[:3]) and looks_like_log(text):
        return text
    if text is not None and Path(name).suffix in ("", ".log", ".txt") and not text.lstrip().startswith(("{", "[")) \
            and name != "-":
        raise UsageError("neither a verifier log nor a program: no line of it is one of the kernel's", Where(file=name))
    if name == "-":
        sys.stdin = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", errors="replace")
    return None


def explain_log(args: argparse.Namespace, text: str) -> int:
    from bpfbench.verifier.logread import read_log

    log = read_log(text, file=args.file)
    explanation = log.explain()
    if args.json:
        counts = {"insns_processed": log.insns_processed, "total_states": log.total_states,
                  "peak_states": log.peak_states, "steps": len(log.trace.of("visit")), "unread_lines": len(log.unread)}
        print(json.dumps({**explanation.to_json(), "accepted": log.accepted, **counts}))
    else:
        print(f"{log.program.name}: {explanation}")
    return 0 if log.accepted else 1


def selftests(args: argparse.Namespace) -> int:
    """Lists, or runs and compares, the test_verifier tables of a kernel tree."""
    from bpfbench.kernel import selftests as tables

    tests = tables.select(tables.read_lazily(args.tree), args.prefix)
    if args.list:
        for test in tests:
            print(test.name)
        return 0
    state = bb.kernel.available()
    live = args.live and bool(state)
    if args.live and not state:
        print(f"the running kernel cannot be asked: {state.reason}", file=sys.stderr)
    rows = []
    for row in tables.compare(tests, args.kernel, not args.unprivileged, live):
        rows.append(row)
        ours = row.ours
        said = "not asked (too long)" if ours is None else f"{ours.verdict}  {ours.error or ours.message}"
        if args.json:
            print(json.dumps({"name": row.test.name, "ours": ours and ours.verdict, "message": ours and ours.message,
                              "expected": row.test.expected, "kernel": row.kernel and row.kernel.verdict}))  # fmt: skip
        else:
            print(f"{row.test.name:70.70} {said}")
    if not args.json:
        print(_agreement(tables, rows, live, args.unprivileged))
    return 0


def _agreement(tables: Any, rows: list[Any], live: bool, unprivileged: bool) -> str:
    asked = [row for row in rows if row.ours is not None]
    expected = sum(tables.as_expected(row.test, row.ours, unprivileged) for row in asked)
    lines = [f"{len(rows)} tests, {len(asked)} asked; as the tree's own tables expect: {expected}"]
    if live:
        counts = tables.summary(rows)
        lines.append(f"like the running kernel: verdict {counts['same_verdict']} of {counts['tests']}, message "
                     f"{counts['same_message']} of {counts['rejected']} rejected, "
                     f"wrongly accepted {counts['wrongly_accepted']}")  # fmt: skip
    return "\n".join(lines)
