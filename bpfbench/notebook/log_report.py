"""A page about a verifier's log, without the program: the explanation, the steps in the time machine, the log itself."""

from __future__ import annotations

from bpfbench.notebook import views
from bpfbench.notebook.explained import read_log as explained
from bpfbench.notebook.html import details, esc, page, section
from bpfbench.notebook.report import MOST_EVENTS
from bpfbench.notebook.widgets import module, static_time_machine
from bpfbench.verifier.logread import ReadLog


def log_report(log: ReadLog, title: str = "verifier log") -> str:
    """One self-contained page; what the log does not show is not there.

    >>> from bpfbench.verifier.logread import read_log
    >>> "holds nothing" in log_report(read_log("0: R1=ctx() R10=fp0\\n0: (95) exit\\nR0 !read_ok\\n"))
    True
    """
    machine = ""
    if 0 < len(log.trace) < MOST_EVENTS:
        machine = static_time_machine(log, log.program, "tm-log")
    partly = "" if log.complete else "<p>Only the instructions that the log shows are listed.</p>"
    name = log.program.name
    parts = [
        f"<h1>{esc(title)}</h1>", module(),
        section("Why", "why", explained(log)),
        section("Step by step", "steps", machine or "<p>The log shows no step.</p>"),
        section("Instructions", "instructions", partly + views.program(log.program)),
        section("The log", "log", details(f"log of {name}", f"<pre>{esc(log.text)}</pre>", opened=False)),
    ]  # fmt: skip
    return page(title, "\n".join(parts))
