"""Widgets: one anywidget each, whose browser part is one ES module that also runs without a kernel.

>>> import bpfbench as bb
>>> from bpfbench.notebook.widgets import time_machine
>>> prog = bb.assemble("r0 = 2\\nexit")
>>> time_machine(bb.verify(prog, trace=True), prog)
TimeMachine(prog: 2 steps, accepted)
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import anywidget
import traitlets

from bpfbench.errors import NotebookError
from bpfbench.notebook.html import STATIC, esc, static
from bpfbench.notebook.timeline import Steps
from bpfbench.program.program import Program


class TimeMachine(anywidget.AnyWidget):
    """Scrubs through every processed instruction of a verification; `step` is where it stands (from 0).

    The browser is given the trace as a whole and the chunk it begins with; it asks for others when their steps are looked
    at.  With BPFBENCH_EXPORT=1 in the environment the view is HTML that holds them all and needs no kernel.
    """

    _esm = STATIC / "time_machine.js"
    _css = STATIC / "bpfbench.css"
    trace = traitlets.Unicode("{}").tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    def __init__(self, steps: Steps, verdict: str, step: int = 0) -> None:
        document = steps.document()
        chunks: list[dict[str, Any] | None] = [None] * steps.chunks
        first = min(max(step, 0), document["steps"] - 1) // document["size"]
        chunks[first] = steps.chunk(first)
        document["chunks"] = chunks
        super().__init__(trace=json.dumps(document, separators=(",", ":")), step=step)
        self._steps = steps
        self._says = f"TimeMachine({document['name']}: {document['steps']} steps, {verdict})"
        self.on_msg(self._asked)

    def _asked(self, widget: Any, content: Any, buffers: Any) -> None:
        number = content.get("want") if isinstance(content, dict) else None
        if isinstance(number, int) and 0 <= number < self._steps.chunks:
            self.send({"chunk": number, "changes": self._steps.chunk(number)})

    def __repr__(self) -> str:
        return self._says

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if os.environ.get("BPFBENCH_EXPORT"):
            return {"text/plain": self._says, "text/html": self._still()}
        bundle = super()._repr_mimebundle_(**options)
        content = bundle[0] if isinstance(bundle, tuple) else bundle
        if content is not None:
            content["text/plain"] = self._says
        return bundle

    def _still(self) -> str:
        document = _whole(self._steps)
        anchor = "tm-" + hashlib.sha1(document.encode()).hexdigest()[:8]
        return f"<style>{static('bpfbench.css')}</style>{module()}{_hosted(document, anchor, self.step)}"


def time_machine(v: Any, prog: Program | None = None, step: int = 0) -> TimeMachine:
    """The time machine of a verification made with `trace=True`."""
    return TimeMachine(_steps(v, prog), "accepted" if v.accepted else "rejected", step)


def _steps(v: Any, prog: Program | None) -> Steps:
    if v.trace is None or not len(v.trace):
        raise NotebookError("there is no trace to show: verify with trace=True")
    steps = Steps(v, prog if prog is not None else v.program)
    if not steps.chunks:
        raise NotebookError("no instruction was processed: there is nothing to step through")
    return steps


def _whole(steps: Steps) -> str:
    document = {**steps.document(), "chunks": [steps.chunk(n) for n in range(steps.chunks)]}
    return json.dumps(document, separators=(",", ":"))


def static_time_machine(v: Any, prog: Program, anchor: str) -> str:
    """The same widget as HTML that needs no kernel and no network."""
    return _hosted(_whole(_steps(v, prog)), anchor, 0)


def _hosted(trace: str, anchor: str, step: int) -> str:
    document = json.dumps({"trace": trace, "step": step})
    safe = document.replace("</", "<\\/")
    return (
        f'<div id="{esc(anchor)}"></div><script type="application/json" id="{esc(anchor)}-state">{safe}</script>'
        f'<script type="module">{_HOST.replace("ANCHOR", anchor)}</script>'
    )


def module() -> str:
    """The widget's code, once per page, for `static_time_machine`."""
    safe = static("time_machine.js").replace("</", "<\\/")
    return f'<script type="text/plain" id="bb-time-machine">{safe}</script>'


# The smallest model that a widget can live with: get, set, on, save_changes.  The step is kept in the address.
_HOST = """
const code = document.getElementById("bb-time-machine").textContent.replaceAll("<\\\\/", "</");
const widget = (await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})))).default;
const state = JSON.parse(document.getElementById("ANCHOR-state").textContent);
let timer = 0;
const link = () => history.replaceState(null, "", `#at=ANCHOR&step=${state.step}`);
const model = {get: (k) => state[k], set: (k, v) => { state[k] = v; }, on() {},
  save_changes() { clearTimeout(timer); timer = setTimeout(link, 400); }};
const wanted = new URLSearchParams(location.hash.slice(1));
const el = document.getElementById("ANCHOR");
const linked = wanted.get("at") === "ANCHOR";
if (linked) state.step = Number(wanted.get("step")) || 0;
await widget.render({model, el});
if (linked) el.scrollIntoView();
"""
