"""How many recorded refusals are explained specifically, and what the explanations lack where they are not.

    python tests/parity_explain.py [--kernel 6.18] [--reduced] [--logs] [--show N] [--match TEXT]
    python tests/parity_explain.py --selftests TREE         # the kernel's own tests, from an unpacked source tree

An explanation counts as *specific* when all of these hold; each is counted on its own as well:

    rule        it has a rule of the catalogue, or says why the system call failed before any message
    row         the message has its own sentences (reasons.py), none of whose blanks stayed empty
    registers   every register that the kernel's last message names is named in them
    numbers     so is every number of the kernel's last message
    value       so is what a register named there held, in words, where a path was walked
    place       the instruction is named, where there is one
    path        the steps end at the refused instruction, and where a register that was written since the beginning is
                at fault the step that wrote it is among them

With --logs the explanations are made from the recorded logs alone (verifier/logread.py), without the programs.
The recordings are found as in parity_verifier.py.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bpfbench.errors import BpfbenchError
from bpfbench.program.program import Program
from bpfbench.verifier.explanation import BEFORE_LOADING, UNKNOWN_RULE, Explanation
from bpfbench.verifier.verification import verify
from tests.parity_verifier import read, recordings

CHECKS = ("rule", "row", "registers", "numbers", "value", "place", "path")
_REGISTER = re.compile(r"\bR(\d+)\b")
_NUMBER = re.compile(r"(?<![\w.#\[])-?\d+(?![\w.])")
_UNFILLED = re.compile(r"\?|does not show|None")


def judge(e: Explanation, message: str, from_log: bool = False) -> set[str]:
    """The checks that fail for an explanation of `message`."""
    said = f"{e.knew} {e.wanted}"
    wrong: set[str] = set()
    if e.rule == UNKNOWN_RULE or (e.rule == BEFORE_LOADING and message):
        wrong.add("rule")
    if not e.specific or _UNFILLED.search(said.replace("?:", "").replace("?)", ")")):
        wrong.add("row")
    registers = {f"r{n}" for n in _REGISTER.findall(message) if int(n) <= 10}
    words = set(re.findall(r"\br\d+", said))
    if not registers <= words:
        wrong.add("registers")
    if not {n.lstrip("-") for n in _NUMBER.findall(_plain(message))} <= set(re.findall(r"\d+", said)):
        wrong.add("numbers")
    held = {s.name: s.words for s in e.subjects}
    if e.pc >= 0 and any(held.get(r, "nothing") not in said and "nothing" not in held.get(r, "nothing")
                         for r in registers):
        wrong.add("value")
    if e.pc >= 0 and not (e.instruction or from_log):
        wrong.add("place")
    if e.pc >= 0 and not _complete(e):
        wrong.add("path")
    return wrong


def _plain(message: str) -> str:
    """Without bit patterns, and names with numbers in them."""
    if message.startswith("misaligned"):
        message = re.sub(r"(?<=off )0\+|\+0(?= )|(?<=\+)0\+", "+", message)       # parts of the offset that add nothing
    return re.sub(r"\(0x[0-9a-f]+; 0x[0-9a-f]+\)|0x[0-9a-f]+|#\d+|u64=\[[^]]*\]|opcode \w+|R\d+\(id=.*", " ", message)


def _complete(e: Explanation) -> bool:
    if not e.path or e.path[-1].pc != e.pc:
        return False
    if "reference leak" in e.message or "Unreleased" in e.message or "infinite loop" in e.message:
        return len(e.path) > 1                  # what acquired it, or the round of the loop, not a register's value
    there = {step.pc for step in e.path}
    return all(pc in there for s in e.subjects[:1] for pc, _, value in s.history[-1:]
               if pc >= 0 and value != "not initialised" and len(e.path) <= 12)


def explain(record: dict[str, Any], result: dict[str, Any], kernel: str, reduced: bool, logs: bool,
            ) -> Explanation | None:  # fmt: skip
    """The explanation to be judged; None where there is nothing to explain it from."""
    if logs:
        from bpfbench.verifier.logread import read_log

        log = result.get("log1") or ""
        return read_log(log).explain() if log.strip() else None
    v = verify(Program.from_json(record), kernel=f"linux-{kernel}", privileged=not reduced)
    return None if v.accepted else v.explain()


def run(kernel: str, reduced: bool, logs: bool, show: int, match: str) -> bool:
    folder = recordings()
    results = {r["name"]: r for r in read(folder / f"linux-{kernel}.jsonl.gz")}
    c: Counter[str] = Counter()
    differences: list[str] = []
    start = time.time()
    for record in read(folder / "programs.jsonl.gz"):
        whole = results[record["name"]]
        want = whole["reduced"] if reduced else whole
        if want["verdict"] != "reject" or match not in record["name"]:
            continue
        if (want.get("processed") or whole.get("processed") or 0) > 100_000:
            c["too long"] += 1
            continue
        try:
            e = explain(record, whole, kernel, reduced, logs)
        except BpfbenchError as error:
            c["refusals"] += 1
            differences.append(f"{record['name']}: {error}")
            continue
        if e is None:
            c["nothing to explain from" if logs else "accepted here"] += 1
            continue
        c["refusals"] += 1
        wrong = judge(e, want["error"] or "", logs)
        c["same message"] += e.message == (want["error"] or "")
        for check in CHECKS:
            c[check] += check not in wrong
        c["specific"] += not wrong
        if wrong:
            differences.append(f"{record['name']}: {sorted(wrong)}: {want['error']!r}: {e.knew} | {e.wanted}")
    where = f"linux-{kernel}{', reduced privileges' if reduced else ''}{', from logs' if logs else ''}"
    print(f"{where}: {c['refusals']} refusals in {time.time() - start:.0f} s; {c['too long']} walks of more than "
          f"100,000 instructions left out, {c['nothing to explain from'] + c['accepted here']} without anything to "
          f"explain")
    for check in ("same message", *CHECKS, "specific"):
        print(f"  {check:14}{c[check]:>7} of {c['refusals']:<6}{100 * c[check] / max(c['refusals'], 1):6.1f} %")
    for line in differences[:show]:
        print("   ", line)
    return c["specific"] >= 0.95 * c["refusals"]


def run_selftests(tree: str, kernel: str, show: int, match: str) -> bool:
    """The same for the refused programs of a kernel tree's test_verifier tables, and for the logs our walk writes."""
    from bpfbench.kernel import selftests
    from bpfbench.verifier.logread import read_log

    c: Counter[str] = Counter()
    differences: list[str] = []
    for test in selftests.select(selftests.read_lazily(tree), match):
        prog = test.program() if callable(test.program) else test.program
        if len(prog.insns) > 20_000:
            continue
        try:
            v = verify(prog, kernel=f"linux-{kernel}")
        except BpfbenchError:
            c["not supported"] += 1
            continue
        if v.rejection is None or v.stats.processed > 50_000:
            continue
        c["refusals"] += 1
        wrong = judge(v.explain(), v.rejection.message)
        c["specific"] += not wrong
        if wrong:
            differences.append(f"{test.name}: {sorted(wrong)}: {v.rejection.message!r}")
        log = v.log(2)
        if log.strip():
            c["logs"] += 1
            read_back = read_log(log)
            c["read"] += not read_back.unread and read_back.message == v.message
            c["specific from logs"] += not judge(read_back.explain(), read_back.message or "", True)
    print(f"linux-{kernel}, tests of {tree}: {c['refusals']} refusals, {c['not supported']} programs not supported")
    for label, of in (("specific", "refusals"), ("read", "logs"), ("specific from logs", "logs")):
        print(f"  {label:20}{c[label]:>7} of {c[of]:<6}{100 * c[label] / max(c[of], 1):6.1f} %")
    for line in differences[:show]:
        print("   ", line)
    return c["specific"] >= 0.95 * c["refusals"]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", choices=("6.1", "6.12", "6.18", "all"), default="all")
    parser.add_argument("--reduced", action="store_true", help="only 6.18 without CAP_PERFMON")
    parser.add_argument("--logs", action="store_true", help="from the logs alone, without the programs")
    parser.add_argument("--show", type=int, default=0, help="how many that are not specific to list")
    parser.add_argument("--match", default="", help="only programs whose name contains this")
    parser.add_argument("--selftests", default="", metavar="TREE", help="an unpacked kernel source tree")
    options = parser.parse_args()
    if options.selftests:
        kernels = ("6.18", "6.12", "6.1") if options.kernel == "all" else (options.kernel,)
        return 0 if all([run_selftests(options.selftests, k, options.show, options.match) for k in kernels]) else 1
    if not recordings().is_dir():
        print(f"no recordings at {recordings()}; set BPFBENCH_RECORDINGS", file=sys.stderr)
        return 2
    kernels = ("6.18", "6.12", "6.1") if options.kernel == "all" else (options.kernel,)
    good = True
    for kernel in kernels:
        if not options.reduced:
            good &= run(kernel, False, options.logs, options.show, options.match)
        if kernel == "6.18" and not options.logs and (options.reduced or options.kernel == "all"):
            good &= run(kernel, True, False, options.show, options.match)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
