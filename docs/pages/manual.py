"""What the tables of the library say: instructions, rules, kernels."""

from __future__ import annotations

from pathlib import Path

from bpfbench.errors import BpfbenchError
from bpfbench.isa.ops import KIND_NAMES, OPS
from bpfbench.isa.reference import page as manual_page
from bpfbench.notebook.html import section
from bpfbench.profiles import PROFILES
from bpfbench.program.program import Program, from_assembly
from bpfbench.verifier.rules import RULES, Rule
from bpfbench.verifier.verification import verify
from docs.pages.shell import esc, page, slug, write

KERNELS = [name for name in PROFILES if name.startswith("linux-")]


def write_manual(out: Path) -> Path:
    """One entry an operation, from the op table."""
    parts = ["<h1>The eBPF instruction set</h1>"]
    for kind, name in enumerate(KIND_NAMES):
        rows = [op for op in OPS if op.kind == kind]
        if rows:
            links = " · ".join(f'<a href="#{esc(op.name)}">{esc(op.name)}</a>' for op in rows)
            parts.append(section(name, "kind-" + slug(name), f"<p>{links}</p>", *(_entry(op.name) for op in rows)))
    return write(out, "manual.html", page("The eBPF instruction set", "\n".join(parts), 0, "manual.html"))


def _entry(name: str) -> str:
    return f'<h3 id="{esc(name)}">{esc(name)}</h3><pre tabindex="0">{esc(manual_page(name))}</pre>'


def example(rule: Rule) -> Program:
    """The smallest program that breaks the rule."""
    return from_assembly(rule.example, "xdp", rule.code)


def verdicts(rule: Rule) -> dict[str, str]:
    """What each kernel says about the rule's program: its message, or "accepted"."""
    found = {}
    for kernel in KERNELS:
        try:
            v = verify(example(rule), kernel, privileged=not rule.unprivileged)
        except BpfbenchError as error:
            found[kernel] = f"({error.message})"
            continue
        found[kernel] = "accepted" if v.accepted else str(v.message)
    return found


def write_rules(out: Path, rules: list[Rule] = RULES) -> dict[str, dict[str, str]]:
    """The catalogue of reasons to refuse a program; returns what each kernel says about each smallest program."""
    said = {rule.code: verdicts(rule) for rule in rules if rule.example}
    index = " · ".join(f'<a href="#{esc(rule.code)}">{esc(rule.code)}</a>' for rule in rules)
    intro = (
        f"<h1>Why programs are refused</h1><p>{len(rules)} rules: the messages that the kernels give ({{}} stands for a "
        "number, a name or a state), why the rule is there, what to do, and the smallest program that breaks it, with the "
        "verdict of each kernel profile. <code>bpfbench explain FILE</code> finds the rule behind a refusal.</p>"
        f"<p>{index}</p>")
    parts = [_rule(rule, said.get(rule.code, {})) for rule in rules]
    write(out, "rules.html", page("Rules", intro + "\n".join(parts), 0, "rules.html"))
    return said


def _rule(rule: Rule, said: dict[str, str]) -> str:
    messages = "".join(f"<li><code>{esc(m)}</code></li>" for m in rule.messages)
    parts = [f"<p>{esc(rule.why)}</p>", f"<p><b>Instead:</b> {esc(rule.fix)}</p>",
             f"<details><summary>{len(rule.messages)} message{'s' * (len(rule.messages) != 1)}</summary>"
             f"<ul>{messages}</ul></details>"]  # fmt: skip
    if rule.example:
        who = " (for a process without CAP_PERFMON)" if rule.unprivileged else ""
        parts.append(f'<p class="dim">The smallest program{who}:</p><pre tabindex="0">{esc(rule.example)}</pre>')
        groups: dict[str, list[str]] = {}
        for kernel, message in said.items():
            groups.setdefault(message, []).append(kernel.removeprefix("linux-"))
        parts.append("<ul>" + "".join(f"<li>{esc(', '.join(k))}: <code>{esc(m)}</code></li>" for m, k in groups.items())
                     + "</ul>")
    return f'<section id="{esc(rule.code)}"><h2>{esc(rule.code)}</h2>' + "".join(parts) + "</section>"
