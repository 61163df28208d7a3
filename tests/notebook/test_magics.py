"""The magics in a shell of this process: cells that assemble, compile and verify; completion, help and interrupts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bpfbench.notebook import assist, magics
from bpfbench.program.program import Program
from bpfbench.toolchain import clang
from bpfbench.verifier.verification import Verification

LONG = "r6 = 0\nloop: r6 += 1\nif r6 < 400000 goto loop\nr0 = 0\nexit"


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "bpfbench.notebook")
    yield shell
    shell.run_line_magic("unload_ext", "bpfbench.notebook")
    InteractiveShell.clear_instance()


def run(shell: Any, cell: str) -> Any:
    """What a cell gives; what it raises."""
    done = shell.run_cell(cell)
    done.raise_error()
    return done.result


def error_of(shell: Any, cell: str, capsys: Any) -> str:
    """The one line that a wrong cell says."""
    capsys.readouterr()
    done = shell.run_cell(cell)
    assert not done.success
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert "Traceback" not in said
    return str(said)


def test_a_cell_is_assembled_shown_and_kept(shell: Any) -> None:
    prog = run(shell, "%%bpf --type socket_filter -o mine\nr0 = 7\nexit")
    assert isinstance(prog, Program) and prog.type == "socket_filter" and shell.user_ns["mine"] is prog
    shown = shell.display_formatter.format(prog)[0]
    assert shown["text/plain"] == "Program(prog, socket_filter, 2 slots, 0 maps)" and "<table>" in shown["text/html"]


def test_verify_and_explain(shell: Any) -> None:
    run(shell, "%%bpf\nr0 = *(u64 *)(r1 +0)\nexit")
    v = run(shell, "%verify")
    assert isinstance(v, Verification) and not v.accepted and v.trace is not None and len(v.trace) > 1
    shown = shell.display_formatter.format(v.explain())[0]
    assert "It knew:" in shown["text/plain"] and "It knew</b></dt>" in shown["text/html"]
    assert run(shell, "%verify prog --kernel linux-6.1 --no-trace").trace is None
    assert run(shell, "%%bpf --verify\nr0 = 0\nexit").accepted


def test_what_is_wrong_is_one_line(shell: Any, capsys: Any) -> None:
    run(shell, "%%bpf\nr0 = 0\nexit")
    said = error_of(shell, "%%bpf\nr0 = 0\nr0 = banana + 1\nexit", capsys)
    assert "UsageError: cell:2" in said and "r0 = banana + 1" in said
    assert "no program type 'nonsense'" in error_of(shell, "%%bpf --type nonsense\nr0 = 0\nexit", capsys)
    assert "is a int, not a program" in error_of(shell, "%verify 5", capsys)
    assert "name 'nobody' is not defined" in error_of(shell, "%verify nobody", capsys)
    assert "unrecognized arguments: --speed" in error_of(shell, "%verify prog --speed 9", capsys)
    assert "No closing quotation" in error_of(shell, "%verify 'prog", capsys)
    assert "no name of a variable" in error_of(shell, "%%bpf -o 5x\nexit", capsys)
    assert "linux-1.0" in error_of(shell, "%verify prog --kernel linux-1.0", capsys)


def test_c_is_compiled_or_says_how_to_get_a_compiler(shell: Any, capsys: Any, monkeypatch: Any) -> None:
    cell = '%%bpf_c\n#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\nSEC("xdp") int pass(struct xdp_md *c)\n' \
           '{ return XDP_PASS; }\nchar LICENSE[] SEC("license") = "GPL";\n'
    if clang.available():
        obj = run(shell, cell)
        assert list(obj.programs) == ["pass"] and run(shell, "%verify obj").accepted
        assert "no program 'x'; there are: pass" in error_of(shell, cell.replace("%%bpf_c", "%%bpf_c --program x"), capsys)
        assert "UsageError" in error_of(shell, "%%bpf_c\nint f( {", capsys)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(clang, "_find", lambda *places: None)
    said = error_of(shell, cell, capsys)
    assert said.startswith("UsageError: ") and "clang" in said


def test_an_interrupt_keeps_what_was_found(shell: Any, monkeypatch: Any) -> None:
    def interrupted(self: Any, processed: int, waiting: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(magics, "PATIENCE", 0.0)
    monkeypatch.setattr(magics.Bar, "show", interrupted)
    run(shell, f"%%bpf\n{LONG}")
    v = run(shell, "%verify prog")
    assert not v.accepted and v.rejection.rule == "interrupted" and v.rejection.errno == "EAGAIN"
    assert v.insns_processed == magics.EVERY and len(v.trace.of("visit")) == magics.EVERY - 1
    assert str(v.explain()).startswith("No verdict: interrupted after 2048 instructions")


def test_long_walks_show_how_far_they_are(shell: Any, monkeypatch: Any) -> None:
    shown: list[int] = []
    monkeypatch.setattr(magics, "PATIENCE", 0.0)
    monkeypatch.setattr(magics, "BETWEEN", 0.0)
    monkeypatch.setattr(magics.Bar, "show", lambda self, processed, waiting: shown.append(processed))
    run(shell, f"%%bpf\n{LONG.replace('400000', '4000')}")
    assert run(shell, "%verify prog --no-trace").accepted
    assert shown == sorted(shown) and len(shown) >= 3


@pytest.mark.parametrize("cell, expected", [
    ("%%bpf\ncall get_prandom_|", ["get_prandom_u32"]),
    ("%%bpf\nr1|", ["r10"]),
    ("%%bpf\n.ma|", [".map"]),
    ("%%bpf\n.type sched_|", ["sched_act", "sched_cls"]),
    ("%%bpf\n.map m percpu_a|", ["percpu_array"]),
    ("%%bpf\n.map counts hash 4 8 1\nr1 = map[co|", ["counts"]),
    ("%%bpf\nagain: r0 = 0\nif r0 == 0 goto ag|", ["again"]),
    ("%%bpf\nr0 = 0\nex|", ["exit"]),
    ("%%bpf_c\nvoid *v = bpf_map_lookup_e|", ["bpf_map_lookup_elem"]),
    ("%%bpf --ty|", []), ("print(ex|", []),
])  # fmt: skip
def test_completion(cell: str, expected: list[str]) -> None:
    at = cell.index("|")
    assert assist.completions(cell.replace("|", ""), at) == expected


def test_completion_reaches_the_shell(shell: Any) -> None:
    cell = "%%bpf\ncall map_look"
    with _quiet():
        found = [c.text for c in shell.Completer.completions(cell, len(cell))]
    assert found == ["map_lookup_elem", "map_lookup_percpu_elem"]
    with _quiet():
        assert all("map_lookup" not in c.text for c in shell.Completer.completions("map_look", 8))


def _quiet() -> Any:
    from IPython.core.completer import provisionalcompleter

    return provisionalcompleter()


@pytest.mark.parametrize("cell, expected", [
    ("%%bpf\ncall map_lo|okup_elem", "bpf_map_lookup_elem, helper 1"),
    ("%%bpf\nr0 = *(u3|2 *)(r1 +4)", "LDXW: load, word"),
    ("%%bpf\nout: r0 |+= 1 ; one", "ADD64_K: addition"),
    ("%%bpf\n.ma|p m hash 4 8 1", "a map: .map name type"),
    ("%%bpf_c\nx = bpf_redir|ect(1, 0);", "bpf_redirect, helper 23"),
    ("print(5|)", ""), ("%%bpf\nnonsens|e", ""),
])  # fmt: skip
def test_help(cell: str, expected: str) -> None:
    text = assist.help_at(cell.replace("|", ""), cell.index("|"))
    assert text.startswith(expected) and bool(text) == bool(expected)


def test_help_reaches_the_kernel(shell: Any) -> None:
    """The kernel's answer to Shift+Tab, with a kernel that knows nothing itself."""
    class Kernel:
        def do_inspect(self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()) -> Any:
            return {"status": "ok", "found": False, "data": {}, "metadata": {}}

    class Shell:
        kernel = Kernel()

    magics._hover(Shell())
    magics._hover(Shell())                                          # loading twice is once
    answer = Shell.kernel.do_inspect("%%bpf\ncall redirect", 12)
    assert answer["found"] and answer["data"]["text/plain"].startswith("bpf_redirect, helper 23")
    assert not Shell.kernel.do_inspect("5 + 5", 2)["found"]
    assert asyncio.iscoroutinefunction(Shell.kernel.do_inspect) is False


def test_a_real_kernel_completes_helps_and_is_interrupted() -> None:
    """Through the protocol that JupyterLab speaks: Tab, Shift+Tab, and the ■ button while a program is verified."""
    manager = pytest.importorskip("jupyter_client.manager", reason="no jupyter_client (pip install jupyterlab)")
    km, kc = manager.start_new_kernel(kernel_name="python3")
    try:
        kc.execute_interactive("%load_ext bpfbench.notebook", timeout=60, output_hook=lambda message: None)
        found = kc.complete("%%bpf\ncall map_look", 19, reply=True, timeout=30)["content"]
        assert found["matches"] == ["map_lookup_elem", "map_lookup_percpu_elem"] and found["cursor_start"] == 11
        helped = kc.inspect("%%bpf\nr0 = *(u32 *)(r1 +4)", 12, reply=True, timeout=30)["content"]
        assert helped["found"] and helped["data"]["text/plain"].startswith("LDXW")
        kc.execute_interactive(f"%%bpf\n{LONG}", timeout=60, output_hook=lambda message: None)
        said: list[str] = []

        def hook(message: Any) -> None:
            content = message["content"]
            if message["msg_type"] == "display_data" and "progress" in content["data"].get("text/html", ""):
                km.interrupt_kernel()                               # as soon as the bar appears
            said.append(str(content.get("text", "")))

        reply = kc.execute_interactive("v = %verify --no-trace\nprint(v)", timeout=120, output_hook=hook)
        assert reply["content"]["status"] == "ok" and "interrupted after" in "".join(said)
    finally:
        kc.stop_channels()
        km.shutdown_kernel(now=True)
