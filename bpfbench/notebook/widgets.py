"""Widgets: one anywidget each, whose browser part is one ES module that also runs without a kernel.

>>> import bpfbench as bb
>>> from bpfbench.notebook.widgets import time_machine
>>> prog = bb.assemble("r0 = 2\\nexit")
>>> time_machine(bb.verify(prog, trace=True), prog)
TimeMachine(prog: 2 steps, accepted)
"""

from __future__ import annotations

import json
from typing import Any

import anywidget
import traitlets

from bpfbench.errors import NotebookError
from bpfbench.notebook.html import STATIC, esc, static
from bpfbench.notebook.timeline import timeline
from bpfbench.program.program import Program


class TimeMachine(anywidget.AnyWidget):
    """Scrubs through every processed instruction of a verification; `step` is where it stands (from 0)."""

    _esm = STATIC / "time_machine.js"
    _css = STATIC / "bpfbench.css"
    trace = traitlets.Unicode("{}").tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    def __init__(self, document: dict[str, Any], verdict: str, step: int = 0) -> None:
        super().__init__(trace=json.dumps(document, separators=(",", ":")), step=step)
        self._says = f"TimeMachine({document['name']}: {document['steps']} steps, {verdict})"

    def __repr__(self) -> str:
        return self._says

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        content = bundle[0] if isinstance(bundle, tuple) else bundle
        if content is not None:
            content["text/plain"] = self._says
        return bundle


def time_machine(v: Any, prog: Program | None = None, step: int = 0) -> TimeMachine:
    """The time machine of a verification made with `trace=True`."""
    return TimeMachine(_document(v, prog), "accepted" if v.accepted else "rejected", step)


def _document(v: Any, prog: Program | None) -> dict[str, Any]:
    found = prog if prog is not None else v.program
    if v.trace is None or not len(v.trace):
        raise NotebookError("there is no trace to show: verify with trace=True")
    return timeline(v, found)


def static_time_machine(v: Any, prog: Program, anchor: str) -> str:
    """The same widget as HTML that needs no kernel and no network."""
    document = json.dumps({"trace": json.dumps(_document(v, prog), separators=(",", ":")), "step": 0})
    safe = document.replace("</", "<\\/")
    return (
        f'<div id="{esc(anchor)}"></div><script type="application/json" id="{esc(anchor)}-state">{safe}</script>'
        f'<script type="module">{_HOST.replace("ANCHOR", anchor)}</script>'
    )


def module() -> str:
    """The widget's code, once per page, for `static_time_machine`."""
    safe = static("time_machine.js").replace("</", "<\\/")
    return f'<script type="text/plain" id="bb-time-machine">{safe}</script>'


# The smallest model that a widget can live with: get, set, on, save_changes.
_HOST = """
const code = document.getElementById("bb-time-machine").textContent.replaceAll("<\\\\/", "</");
const widget = (await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})))).default;
const state = JSON.parse(document.getElementById("ANCHOR-state").textContent);
const model = {get: (k) => state[k], set: (k, v) => { state[k] = v; }, save_changes() {}, on() {}};
const wanted = new URLSearchParams(location.hash.slice(1));
if (wanted.get("at") === "ANCHOR") state.step = Number(wanted.get("step"));
widget.render({model, el: document.getElementById("ANCHOR")});
"""
