"""Builds the site into a folder: `make docs`, or `python -m docs.build out/docs`.

    index.html             where everything is            manual.html     one entry an operation
    lectures/              the notebooks, as saved        rules.html      why programs are refused
    exercises.html         the tasks                      profiles.html   what differs between kernels
    documents/             docs/*.md                      reports/        each data set, from C to machine code
    api/                   the reference                  search.html      titles, headings, names

It works from a disk, without a network; the last step follows every link (pages/links.py).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from docs.pages import api, find, kernels, lectures, links, manual, papers, reports, shell

STARTS = (
    ("lectures/index.html", "Lectures", "thirty notebooks, from a static compiler to research on the verifier"),
    ("exercises.html", "Exercises", "holes in the real engine, graded"),
    ("documents/index.html", "Documents", "how true it is, how fast, and the longer explanations"),
    ("rules.html", "Rules", "every reason to refuse a program, with the smallest one that shows it"),
    ("profiles.html", "Kernels", "what differs between 4.18, 6.1, 6.12 and 6.18"),
    ("manual.html", "Instructions", "the eBPF instruction set, operation by operation"),
    ("reports/index.html", "Data sets", "real programs through every stage: graph, walk, native code on six machines"),
    ("api/index.html", "API", "the reference, from the docstrings"),
)


def write_index(out: Path) -> None:
    cards = "".join(f'<li><a href="{to}">{name}</a><br>{text}</li>' for to, name, text in STARTS)
    start, _ = shell.markdown("```python\n" + START + "```\n")
    body = ("<h1>bpfbench</h1><p>A workbench that opens up the eBPF JIT compiler: the verifier and the code generators, "
            f'step by step, as the Linux kernel does it.</p><ul class="starts">{cards}</ul><h2>A first look</h2>{start}')
    shell.write(out, "index.html", shell.page("bpfbench", body, 0, "index.html"))


START = """\
import bpfbench as bb
prog = bb.load("datasets/xdp_firewall.o").programs["xdp_firewall"]
v = bb.verify(prog, trace=True)                # the path walk, every step of it
code = bb.jit(prog, target="aarch64")          # what Linux would emit
print(v, code.listing(), sep="\\n")
"""


def build(out: Path) -> list[str]:
    """Writes all parts; returns the links that lead nowhere."""
    out.mkdir(parents=True, exist_ok=True)
    addresses = papers.addresses()
    shell.write(out, "site.css", shell.sheet())
    steps = (
        ("index", lambda: write_index(out)),
        ("lectures", lambda: lectures.write_lectures(out, addresses)),
        ("exercises", lambda: lectures.write_exercises(out)),
        ("documents", lambda: papers.write_papers(out, addresses)),
        ("instructions", lambda: manual.write_manual(out)),
        ("rules and kernels", lambda: kernels.write_kernels(out, manual.write_rules(out), kernels.objects())),
        ("reports", lambda: reports.write_reports(out, kernels.objects())),
        ("api", lambda: api.write_api(out)),
        ("search", lambda: find.write_search(out)),
        ("sources", lambda: papers.write_sources(out, links.sources(out))),
    )
    for name, step in steps:
        begin = time.perf_counter()
        step()
        print(f"{name}: {time.perf_counter() - begin:.1f} s", flush=True)
    return links.problems(out)


def main() -> int:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/docs")
    wrong = build(out)
    for line in wrong:
        print(line, file=sys.stderr)
    pages = sum(1 for _ in out.rglob("*.html"))
    print(f"{out}: {pages} pages, {len(wrong)} links that lead nowhere; open {out / 'index.html'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
