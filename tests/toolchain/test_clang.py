"""C to objects: what the compiler is told, and what comes back when it refuses or is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfbench.elf import ElfFile
from bpfbench.errors import ToolchainError, UsageError
from bpfbench.toolchain import available, clang, compile_c, compile_object, find_compiler

needs_clang = pytest.mark.skipif(
    not available(), reason="no clang with the BPF target: apt install clang, or pip install ziglang"
)
DROP = '#include <bpf/helpers.h>\nSEC("xdp") int drop(struct xdp_md *ctx) { return XDP_DROP; }\n'
PROBE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("tc") int twice(struct __sk_buff *skb) { return skb->len < 64 ? (int)skb->len * 2 : (int)(skb->len >> 3); }
"""


@needs_clang
def test_text_or_file(tmp_path: Path) -> None:
    (tmp_path / "drop.c").write_text(DROP)
    from_text, from_file = compile_c(DROP, name="drop"), compile_c(tmp_path / "drop.c")
    assert from_text.programs == from_file.programs
    assert str(from_text.program().insns) == "[<w0 = 1>, <exit>]"
    assert from_text.source == DROP and from_text.name == "drop"


@needs_clang
def test_the_same_bytes_wherever_it_is_done(tmp_path: Path) -> None:
    raws = []
    for folder in (tmp_path / "one", tmp_path / "quite another"):
        folder.mkdir()
        (folder / "drop.c").write_text(DROP)
        raws.append(compile_object(folder / "drop.c"))
    assert raws[0] == raws[1] and str(tmp_path).encode() not in raws[0]


@needs_clang
def test_processor_debug_and_byte_order() -> None:
    v1, v3 = compile_c(PROBE, cpu="v1").program(), compile_c(PROBE, cpu="v3").program()
    assert not any("32" in i.op.name for i in v1.insns if i is not None)
    assert any("32" in i.op.name for i in v3.insns if i is not None)
    assert compile_c(PROBE, debug=False).btf is None
    assert ElfFile(compile_object(PROBE, big_endian=True)).big_endian


@needs_clang
def test_a_refused_source_gives_place_and_line() -> None:
    with pytest.raises(ToolchainError) as caught:
        compile_c("int f(void *ctx)\n{\n    return missing;\n}\n", name="bad")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("bad.c:3:12: use of undeclared identifier 'missing'")
    assert lines[1:] == ["        return missing;", "               ^"]


@needs_clang
def test_wrong_options() -> None:
    with pytest.raises(UsageError, match="no BPF processor 'v9'"):
        compile_c(DROP, cpu="v9")
    with pytest.raises(UsageError, match="no optimisation level '-O9'"):
        compile_c(DROP, opt="-O9")
    with pytest.raises(UsageError, match="no such file"):
        compile_c("nowhere.c")


def test_without_a_compiler_the_message_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFBENCH_CLANG", "/nonexistent/clang")
    assert not available()
    with pytest.raises(ToolchainError, match="apt install clang.*pip install ziglang.*prebuilt objects"):
        compile_c(DROP)


@needs_clang
def test_the_compiler_is_named() -> None:
    compiler = find_compiler()
    assert compiler.command and compiler.version[0].isdigit() and compiler.version in repr(compiler)


@needs_clang
def test_every_header_stands_alone() -> None:
    for header in sorted(clang.INCLUDE.rglob("*.h")):
        name = header.relative_to(clang.INCLUDE)
        source = f"#include <{name}>\nint f(void *ctx) {{ return 0; }}\n"
        compile_object(source, extra=["-Werror", "-Wno-unused-variable"])


@needs_clang
def test_helper_numbers_are_the_kernel_s() -> None:
    from bpfbench.isa.helpers import helper_id

    texts = [(clang.INCLUDE / "bpf" / name).read_text() for name in ("helpers.h", "helpers_more.h")]
    rows = [line for text in texts for line in text.splitlines() if line.startswith("BPF_HELPER(")]
    numbers = []
    for row in rows:
        number, _, name = (part.strip() for part in row.removeprefix("BPF_HELPER(").split(",")[:3])
        assert helper_id(name) == int(number), row
        numbers.append(int(number))
    assert sorted(numbers) == list(range(1, 212))
