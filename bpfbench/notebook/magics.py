"""Magics: eBPF in a cell of its own, and verification of what a cell made.

    %load_ext bpfbench.notebook

    %%bpf --type xdp -o prog          assemble the cell, show it, keep it as `prog`
    %%bpf_c -o obj                    compile the cell with clang, show its programs, keep the object as `obj`
    %verify prog --kernel linux-6.1   verify; an interrupt (■) keeps what was found until then

In these cells Tab completes registers, helpers, directives, labels and maps, and Shift+Tab shows the manual page of the
instruction or the prototype of the helper under the cursor (assist.py).  What is wrong with a cell is one line, with the
place and a caret, not a traceback.
"""

from __future__ import annotations

import argparse
import shlex
import time
from typing import Any, Final, NoReturn

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.error import UsageError as Refused
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.display import display

from bpfbench.errors import BpfbenchError
from bpfbench.interrupts import whole
from bpfbench.notebook import assist
from bpfbench.profiles import DEFAULT
from bpfbench.program.program import PROG_TYPES, Program, from_assembly
from bpfbench.verifier.observe import Observer, Recorder
from bpfbench.verifier.verification import Verification, verify

EVERY: Final = 2048                 # instructions between two looks at the clock
PATIENCE: Final = 0.5               # seconds before a progress bar appears
BETWEEN: Final = 0.2                # seconds between two updates of it
LIMIT: Final = 1_000_000


class _Options(argparse.ArgumentParser):
    """Options of a magic; what is wrong with them is one line."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{self.prog}: {message}; {' '.join(self.format_usage().split())}")

    def of(self, line: str) -> argparse.Namespace:
        try:
            return self.parse_args(shlex.split(line))
        except ValueError as error:
            raise Refused(f"{self.prog}: {error}") from None
        except SystemExit:
            raise Refused(self.format_help()) from None


def _options(name: str, about: str) -> _Options:
    return _Options(prog=name, description=about, add_help=False, formatter_class=argparse.RawDescriptionHelpFormatter)


class Bar:
    """How far a walk is, drawn when it takes longer than a moment; `None` where nothing can be updated."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.shown = ""

    def show(self, processed: int, waiting: int) -> None:
        done = 100 * processed // LIMIT
        text = f"{processed:,} of at most {LIMIT:,} instructions; {waiting} paths taken up"
        self.shown = text
        html = (f'<label>{text}<br><progress max="{LIMIT}" value="{processed}" aria-label="verification">{done} %'
                f"</progress></label>")
        bundle = {"text/plain": text, "text/html": html}
        with whole():
            if self.handle is None:
                self.handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
            else:
                self.handle.update(bundle, raw=True)

    def end(self) -> None:
        if self.handle is not None:
            with whole():
                self.handle.update({"text/plain": ""}, raw=True)


class Progress(Observer):
    """Counts what is processed for a `Bar`, and tells a recorder, if there is one, the rest."""

    def __init__(self, recorder: Recorder | None, bar: Bar) -> None:
        self.recorder = recorder
        self.bar = bar
        self.due = time.monotonic() + PATIENCE
        self.next = EVERY
        self.paths = 0

    def visit(self, step: int, pc: int, state: Any) -> None:
        if step >= self.next:
            self.next = step + EVERY
            now = time.monotonic()
            if now > self.due:
                self.due = now + BETWEEN
                self.bar.show(step, self.paths)
        if self.recorder is not None:
            self.recorder.visit(step, pc, state)

    def resume(self, step: int, pc: int, prev: int, state: Any) -> None:
        self.paths += 1
        if self.recorder is not None:
            self.recorder.resume(step, pc, prev, state)

    def fork(self, step: int, pc: int, target: int, state: Any, speculative: bool) -> None:
        if self.recorder is not None:
            self.recorder.fork(step, pc, target, state, speculative)

    def keep(self, step: int, pc: int, state: Any) -> None:
        if self.recorder is not None:
            self.recorder.keep(step, pc, state)

    def prune(self, step: int, pc: int, old: Any, state: Any) -> None:
        if self.recorder is not None:
            self.recorder.prune(step, pc, old, state)

    def kept(self, step: int, pc: int, old: Any, state: Any, why: str) -> None:
        if self.recorder is not None:
            self.recorder.kept(step, pc, old, state, why)

    def precise(self, step: int, pc: int, frame: int, reg: int, slot: int, state: Any) -> None:
        if self.recorder is not None:
            self.recorder.precise(step, pc, frame, reg, slot, state)

    def loop(self, step: int, pc: int, state: Any) -> None:
        if self.recorder is not None:
            self.recorder.loop(step, pc, state)

    def end(self, step: int, pc: int, state: Any) -> None:
        if self.recorder is not None:
            self.recorder.end(step, pc, state)

    def reject(self, step: int, pc: int, message: str, state: Any) -> None:
        if self.recorder is not None:
            self.recorder.reject(step, pc, message, state)


def verify_with_progress(prog: Program, kernel: str = DEFAULT, privileged: bool = True, trace: bool = True,
                         without: tuple[str, ...] = ()) -> Verification:
    """`verify` with a progress bar; an interrupt returns what was found until then (rule "interrupted")."""
    bar = Bar()
    recorder = Recorder() if trace else None
    try:
        v = verify(prog, kernel, privileged, False, without, Progress(recorder, bar), keep=True)
    finally:
        bar.end()
    v.trace = recorder.trace if recorder is not None else None
    return v


@magics_class
class BpfMagics(Magics):
    """See the module text."""

    @cell_magic
    def bpf(self, line: str, cell: str) -> Any:
        """%%bpf [--type TYPE] [--name NAME] [--license L] [-o VARIABLE] [--verify]: assemble the cell."""
        options = _options("%%bpf", "Assemble the cell.")
        options.add_argument("--type", default="xdp")
        options.add_argument("--name", default="prog")
        options.add_argument("--license", default="GPL")
        options.add_argument("-o", dest="output", default="prog", help="variable to keep the program in")
        options.add_argument("--verify", action="store_true", help="verify it as well, and show that")
        args = options.of(line)
        if args.type not in PROG_TYPES:
            raise Refused(f"%%bpf: no program type '{args.type}'; there are: {', '.join(PROG_TYPES[1:])}")

        prog = self._attempt(lambda: from_assembly(cell, args.type, args.name, args.license, file="cell"))
        self._keep(args.output, prog)
        return self._attempt(lambda: verify_with_progress(prog)) if args.verify else prog

    @cell_magic
    def bpf_c(self, line: str, cell: str) -> Any:
        """%%bpf_c [--program NAME] [-o VARIABLE]: compile the cell with clang."""
        options = _options("%%bpf_c", "Compile the cell with clang.")
        options.add_argument("--program", default="", help="keep only this program of the object")
        options.add_argument("-o", dest="output", default="obj", help="variable to keep the object in")
        args = options.of(line)
        from bpfbench.toolchain.clang import compile_c

        found = self._attempt(lambda: compile_c(cell))
        if args.program:
            if args.program not in found.programs:
                raise Refused(f"%%bpf_c: no program '{args.program}'; there are: {', '.join(found.programs) or 'none'}")
            found = found.programs[args.program]
        self._keep(args.output, found)
        return found

    @line_magic
    def verify(self, line: str) -> Any:
        """%verify EXPRESSION [--kernel K] [--unprivileged] [--no-trace] [--without NAMES]: verify a program."""
        options = _options("%verify", "Verify a program (an expression, `prog` if there is none).")
        options.add_argument("expression", nargs="?", default="prog")
        options.add_argument("--kernel", default=DEFAULT)
        options.add_argument("--unprivileged", action="store_true")
        options.add_argument("--no-trace", action="store_true")
        options.add_argument("--without", default="")
        args = options.of(line)
        prog = self._program(args.expression)
        without = tuple(name for name in args.without.split(",") if name)
        return self._attempt(lambda: verify_with_progress(prog, args.kernel, not args.unprivileged, not args.no_trace,
                                                          without))

    def _program(self, expression: str) -> Program:
        """The program that an expression of the user's names; of an object with one program, that."""
        try:
            found = self._shell().ev(expression)
        except Exception as error:
            raise Refused(f"%verify: {expression}: {error}") from None
        programs = getattr(found, "programs", None)
        if isinstance(programs, dict):
            if len(programs) != 1:
                raise Refused(f"%verify: which program? {expression}.programs has {', '.join(programs) or 'none'}")
            found = next(iter(programs.values()))
        if not isinstance(found, Program):
            raise Refused(f"%verify: {expression} is a {type(found).__name__}, not a program")
        return found

    def _keep(self, name: str, value: Any) -> None:
        if not name.isidentifier():
            raise Refused(f"'{name}' is no name of a variable")
        self._shell().user_ns[name] = value

    def _shell(self) -> Any:
        return self.shell

    @staticmethod
    def _attempt(work: Any) -> Any:
        """What is wrong with the input is one line."""
        try:
            return work()
        except BpfbenchError as error:
            raise Refused(str(error)) from None


# Completion and help -------------------------------------------------------------------------------------------------


@context_matcher(identifier="bpfbench")  # type: ignore[untyped-decorator]
def matcher(context: Any) -> Any:
    """Completions in `%%bpf` and `%%bpf_c` cells, and then no others."""
    if not assist.magic_of(context.full_text):
        return {"completions": []}
    lines = context.full_text.split("\n")
    at = sum(len(line) + 1 for line in lines[: context.cursor_line]) + context.cursor_position
    found = assist.completions(context.full_text, at)
    fragment = _fragment(context.full_text, at)
    return {"completions": [SimpleCompletion(text, type="bpf") for text in found], "matched_fragment": fragment,
            "suppress": bool(found), "ordered": True}


def _fragment(text: str, at: int) -> str:
    begin = at
    while begin > 0 and (text[begin - 1].isalnum() or text[begin - 1] in "_."):
        begin -= 1
    return text[begin:at]


def inspect_cell(code: str, at: int) -> dict[str, str] | None:
    """The help for what is at the cursor of a cell, as a bundle of MIME types; None when there is none."""
    text = assist.help_at(code, at)
    if not text:
        return None
    from bpfbench.notebook.html import esc

    return {"text/plain": text, "text/html": f"<pre>{esc(text)}</pre>"}


def _hover(shell: Any) -> None:
    """Let the kernel ask us first about cells that are ours."""
    kernel = getattr(shell, "kernel", None)
    original = getattr(kernel, "do_inspect", None)
    if kernel is None or original is None or getattr(original, "bpfbench", False):
        return

    def do_inspect(code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()) -> Any:
        bundle = inspect_cell(code, cursor_pos)
        if bundle is not None:
            return {"status": "ok", "found": True, "data": bundle, "metadata": {}}
        return original(code, cursor_pos, detail_level, omit_sections)

    do_inspect.bpfbench = True  # type: ignore[attr-defined]
    kernel.do_inspect = do_inspect


def load(shell: Any) -> None:
    """Everything that `%load_ext bpfbench.notebook` brings."""
    shell.register_magics(BpfMagics)
    if matcher not in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.append(matcher)
    _hover(shell)


def unload(shell: Any) -> None:
    if matcher in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(matcher)
