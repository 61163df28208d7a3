"""What differs between the kernels that bpfbench speaks for: switches, words, costs, code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from bpfbench.cli.inputs import read
from bpfbench.errors import BpfbenchError
from bpfbench.jit.features import FEATURES, features_of
from bpfbench.notebook.html import Raw, row, section, table
from bpfbench.verifier import features
from bpfbench.verifier.verification import verify
from docs.pages.manual import KERNELS
from docs.pages.shell import ROOT, esc, page, write

#: switches of `verifier/features.py` that have no comment beside them
MEANING = {
    "deduce": "which bounds follow from which (bounds.DEDUCE_…)",
    "compare": "what a comparison decides and teaches: with constants, both sides, bits too (refine.…)",
    "liveness": "0: read marks travel along the parents of a state; 1: computed before the walk",
    "loops": "loops are walked; before, every back edge is refused",
    "insn_limit": "processed instructions after which the walk gives up",
    "scc": "states inside a strongly connected component are compared as those of a loop",
    "const_keys": "the key of an array lookup is looked at: a constant one in range is found",
    "nospec": "an error on a speculative path becomes a barrier instead of a refusal",
    "history_limit": "jumps and stack accesses after which a checkpoint is forced (0: never)",
    "log_gen": "the notation of the log",
    "retval_precise": "what a callback returns is checked as a range, and becomes precise",
    "fastcall": "helper calls may leave caller-saved registers alone",
    "may_goto": "the instruction may_goto",
    "movsx": "version 4 instructions: sign-extending moves and loads, signed division",
    "resource_text": "one wording for locks, references and sections that must not be interrupted",
    "priv_stack": "functions of tracing programs may have stacks of their own",
    "zext_fill_ids": "a number that is read back from the stack is linked with its slot",
    "fork_ranges": "r1 &= 8 and r1 |= 8, where r1 is -1 or 0, fork into both",
    "load_acquire": "load-acquire and store-release",
    "pkt_data_subprogs": "calling a global function that changes the packet ends packet pointers",
    "null_slot_retain": "bytes beside a narrow spill keep their kind",
    "callbacks_as_loops": "a callback is walked again until its state repeats",
    "precision": "numbers count only where they matter",
    "halves": "bounds of the low 32 bits",
}


def switches() -> list[tuple[str, str, list[object]]]:
    """(field, what it says, value for each kernel) where the kernels differ."""
    rows = [features.features(kernel) for kernel in KERNELS]
    code = "".join(path.read_text() for path in (ROOT / "bpfbench" / "verifier").rglob("*.py") if path.name != "features.py")
    comments = _comments()
    found = []
    for field in _fields():
        values = [getattr(r, field) for r in rows]
        plain = all(isinstance(v, int | str) for v in values)
        if field not in ("name", "version") and f".{field}" in code and plain and len({str(v) for v in values}) > 1:
            found.append((field, comments.get(field) or MEANING.get(field, ""), values))
    return found


def _fields() -> list[str]:
    """The switches, in the order of the source (which a compiled class does not tell)."""
    source = (ROOT / "bpfbench" / "verifier" / "features.py").read_text()
    return list(dict.fromkeys(re.findall(r"^\s+self\.(\w+)(?:: [^=\n]+)? = ", source, re.M)))


def _comments() -> dict[str, str]:
    """The comment beside the assignment of each field."""
    source = (ROOT / "bpfbench" / "verifier" / "features.py").read_text()
    return dict(re.findall(r"^\s+self\.(\w+) = .*?\s#\s+(.+)$", source, re.M))


def write_kernels(out: Path, said: dict[str, dict[str, str]], objects: Iterable[Path]) -> Path:
    """The page; `said` is what `write_rules` found."""
    heads = [k.removeprefix("linux-") for k in KERNELS]
    parts = [
        "<h1>Kernels</h1><p>linux-4.18 is the verifier of the slides, linux-6.18 today's. Here is where the profiles "
        "differ.</p>",
        section("Switches of the verifier", "switches", table(["switch", *heads, "what it says"], [
            row([field, *(_value(v) for v in values), text], numbers=0) for field, text, values in switches()], "switches")),
        section("Switches of the code generators", "code", table(
            ["target", "feature", *heads], [row(cells, numbers=0) for cells in code_switches()], "features")),
        section("The same program, other words", "words",
                "<p>The smallest programs of the <a href=\"rules.html\">rules</a> about which the profiles say different "
                "things.</p>", *_words(said)),
        section("The same program, another cost", "cost",
                "<p>Instructions processed and states kept for each data set; a dash where that kernel refuses it.</p>",
                table(["program", *heads], [row(cells, numbers=0) for cells in costs(objects)], "costs")),
    ]
    return write(out, "profiles.html", page("Kernels", "\n".join(parts), 0, "profiles.html"))


def _value(value: object) -> object:
    return Raw("✓") if value is True else Raw("·") if value is False else value


def code_switches() -> list[list[object]]:
    """[target, feature, value for each kernel] where kernels with a list of their own differ; "" for one without."""
    found: list[list[object]] = []
    for target in sorted({t for t, _ in FEATURES}):
        rows = [features_of(target, k) if (target, k) in FEATURES else None for k in KERNELS]
        for name in sorted({n for r in rows if r for n in r}):
            values = [r and r.get(name, False) for r in rows]
            if len({v for v in values if v is not None}) > 1:
                found.append([target, name, *("" if v is None else _value(v) for v in values)])
    return found


def _words(said: dict[str, dict[str, str]]) -> list[str]:
    parts = []
    for code, by_kernel in said.items():
        if len(set(by_kernel.values())) > 1:
            lines = "".join(f"<li>{esc(k.removeprefix('linux-'))}: <code>{esc(m)}</code></li>" for k, m in by_kernel.items())
            parts.append(f'<h3><a href="rules.html#{esc(code)}">{esc(code)}</a></h3><ul>{lines}</ul>')
    return parts


def costs(objects: Iterable[Path]) -> list[list[object]]:
    """[program, "processed / states" for each kernel]."""
    found: list[list[object]] = []
    for path in objects:
        try:
            programs = read(str(path))
        except BpfbenchError:
            continue
        for prog in programs:
            cells: list[object] = [prog.name]
            for kernel in KERNELS:
                try:
                    v = verify(prog, kernel)
                    cells.append(f"{v.insns_processed:,} / {v.total_states:,}" if v.accepted else "–")
                except BpfbenchError:
                    cells.append("–")
            found.append(cells)
    return found


def objects() -> list[Path]:
    return sorted((ROOT / "datasets").glob("*.o"))
