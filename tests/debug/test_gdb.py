"""A real gdb on natively running JITed code: break on a C line, step, walk the stack, print."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bpfbench.debug import gdbjit
from bpfbench.debug.elf_image import PAGE
from bpfbench.debug.targets import debug_target

SOURCE = """\
#include <bpf/helpers.h>
static __attribute__((noinline)) int twice(int x)
{
	int y = x + x;
	y ^= (int)bpf_get_smp_processor_id();
	return y + 1;
}

SEC("xdp") int entry(struct xdp_md *ctx)
{
	int n = ctx->data_end - ctx->data;
	int sum = twice(n);
	sum += twice(sum);
	return sum & 3;
}
char _license[] SEC("license") = "BSD";
"""
SCRIPT = """\
from bpfbench.debug import c_variables, describe, gdbjit
from bpfbench.execute import native
from bpfbench.toolchain import clang

obj = clang.compile_c("traced.c")
native.run(obj.programs["entry"], bytes(64), in_process=True, placed=lambda program, ready, linked: gdbjit.register(
    describe(linked.code, program, linked.base, ready.origin, linked.bytes, c_variables(obj.elf.raw))))
print("ended")
"""
COMMANDS = """\
set pagination off
set confirm off
set breakpoint pending on
set startup-with-shell off
break traced.c:6
run
echo ## stopped\\n
backtrace 2
print r0
print y
up
print n
echo ## next\\n
next
print sum
echo ## again\\n
continue
backtrace 2
delete
continue
"""


@pytest.fixture
def gdb_output(tmp_path: Path) -> str:
    clang = pytest.importorskip("bpfbench.toolchain.clang")
    if not clang.available():
        pytest.skip("no clang with the BPF target: install clang, or bpfbench[c]")
    if shutil.which("gdb") is None or platform.machine() not in gdbjit.RETURN:
        pytest.skip("no gdb for this machine: install gdb")
    (tmp_path / "traced.c").write_text(SOURCE)
    (tmp_path / "run.py").write_text(SCRIPT)
    (tmp_path / "commands").write_text(COMMANDS)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        ["gdb", "-q", "-batch", "-nx", "-x", "commands", "--args", sys.executable, "run.py"], cwd=tmp_path, text=True,
        capture_output=True, timeout=120, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "HOME": str(tmp_path)},
    )  # fmt: skip
    if "ptrace: Operation not permitted" in done.stderr:
        pytest.skip("tracing processes is not permitted here")
    return done.stdout


def test_gdb_breaks_steps_and_walks_the_stack(gdb_output: str) -> None:
    first, stopped, stepped, again = gdb_output.partition("## stopped")[0], *gdb_output.split("## ")[1:4]
    assert "twice (x=" in first and "traced.c:6" in first and "return y + 1;" in first
    assert "#0  twice (x=" in stopped and "in entry (ctx=" in stopped and "traced.c:12" in stopped
    assert "$1 = 128" in stopped and "$2 = 128" in stopped  # r0 and the C variable y: 64 + 64
    assert "$3 = <optimized out>" in stopped  # n was in a register that the call loses
    assert "entry (ctx=" in stepped and "sum += twice(sum);" in stepped and "$4 = 129" in stepped
    assert "#0  twice (x=" in again and "in entry (ctx=" in again and "traced.c:13" in again
    assert gdb_output.rstrip().splitlines()[-2:][0].startswith("ended")


def test_interface_library_has_no_page_writable_and_executable() -> None:
    from io import BytesIO

    from elftools.elf.elffile import ELFFile

    elf = ELFFile(BytesIO(gdbjit.interface_library(debug_target("x86_64"))))
    flags = [segment["p_flags"] for segment in elf.iter_segments() if segment["p_type"] != "PT_DYNAMIC"]
    assert all(flag & 3 != 3 for flag in flags)
    assert {segment["p_vaddr"] % PAGE for segment in elf.iter_segments("PT_LOAD")} == {0}
    assert {s.name for s in elf.get_section_by_name(".dynsym").iter_symbols()} >= {gdbjit.REGISTER, gdbjit.DESCRIPTOR}


def test_registrations_form_a_list_and_leave_it() -> None:
    if platform.machine() not in gdbjit.RETURN:
        pytest.skip(f"no debugger interface for {platform.machine()}")
    from bpfbench import assemble, jit
    from bpfbench.debug import describe

    target = {"AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    prog = assemble("r0 = 1\nexit")
    entries = [gdbjit.register(describe(jit(prog, target=target), prog, 0x1000 * n)) for n in (1, 2, 3)]
    entries[1].close()
    assert gdbjit._interface is not None and gdbjit._interface.entries[-2:] == [entries[0], entries[2]]
    assert entries[0].entry.next == gdbjit.ctypes.addressof(entries[2].entry)
    entries[0].close()
    entries[2].close()
    assert gdbjit._interface.descriptor.action == 0
