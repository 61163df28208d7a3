"""An explanation of a refusal as HTML: the message, what was known and wanted, the steps that matter, what to do."""

from __future__ import annotations

from typing import Any

from bpfbench.notebook.html import Raw, details, esc, row, table


def explanation(e: Any) -> str:
    """A fragment for one `verifier.explanation.Explanation`."""
    if e.verdict:
        return f'<p class="{"ok" if e.accepted else "bad"}">{esc(e.verdict)}</p>'
    place = f"at instruction {e.pc}" if e.pc >= 0 else "before any path was walked"
    errno = f' <span class="dim">[{esc(e.errno)}]</span>' if e.errno else ""
    parts = [f'<p class="bad" role="status">Refused {esc(place)}: {esc(e.message or "(no message)")}{errno}</p>']
    if e.line is not None:
        where = f"{e.line.file}:{e.line.line}" if e.line.line else "C"
        parts.append(f"<p><code>{esc(e.line.text.strip())}</code> <span class=\"dim\">{esc(where)}</span></p>")
    parts.append(f"<dl><dt><b>It knew</b></dt><dd>{_code(e.knew)}</dd><dt><b>It wanted</b></dt><dd>{_code(e.wanted)}</dd>"
                 f'<dt><b>Rule</b></dt><dd><code>{esc(e.rule)}</code> {esc(e.why)}</dd></dl>')
    parts.append("<p>What to do:</p><ul>" + "".join(f"<li>{_code(fix)}</li>" for fix in e.fixes) + "</ul>")
    if e.path:
        parts.append(_path(e))
    for subject in e.subjects:
        if len(subject.history) > 1:
            rows = (row(["start" if pc < 0 else pc, text, value]) for pc, text, value in subject.history)
            parts.append(details(f"history of {subject.name}: {subject.words}",
                                 table(["pc", "instruction", f"{subject.name} after it"], rows,
                                       f"history of {subject.name}")))
    return "".join(parts)


def _path(e: Any) -> str:
    rows: list[str] = []
    shown = None
    for step in e.path:
        if step.line is not None and step.line.text != shown:
            shown = step.line.text
            rows.append(row(["", step.line.text.strip(), ""], kind="src"))
        last = step is e.path[-1]
        note = Raw(f'<span class="bad">{esc(step.note)}</span>') if last else step.note
        rows.append(row([step.pc, step.text, note], e.name, step.pc, kind="now" if last else ""))
    omitted = f" ({e.omitted} more left out)" if e.omitted else ""
    return f"<p>The steps that matter{omitted}:</p>" + table(["pc", "instruction", "what it did"], rows,
                                                             f"the way to the refusal of {e.name}")


def _code(text: str) -> str:
    """Text in which backquotes mark code."""
    parts = text.split("`")
    return "".join(f"<code>{esc(part)}</code>" if i % 2 else esc(part) for i, part in enumerate(parts))


def read_log(log: Any) -> str:
    """A log that was read: its verdict and the explanation."""
    figures = f"{len(log.trace.of('visit'))} steps read from a log of level {log.level}, {log.kernel}"
    unread = f"; {len(log.unread)} lines not understood" if log.unread else ""
    return f'<p class="dim">{esc(figures + unread)}</p>' + explanation(log.explain())
