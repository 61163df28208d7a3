"""The kernel's own code generators as a command: image in, image out, to hold ours to on any program.

    arch/*/net/*.c of an unpacked kernel tree  +  kernel_source/{stubs,TARGET}.h  +  driver.c   --cc-->   a program

Nothing of the kernel is in this repository: its sources are read from the tree in BPFBENCH_KERNEL_TREE (Debian: apt-get
install linux-source-6.1, and unpack it).  Without their #include lines they compile as one translation unit behind our
stubs; offsets in kernel structures, which the stubs do not have, are put in as numbers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from bpfbench.isa import ops
from bpfbench.isa.codec import encode
from bpfbench.isa.insn import Instruction
from bpfbench.jit import a32
from bpfbench.jit.features import tail_call_layout

HERE: Final = Path(__file__).parent / "kernel_source"
#: target -> the sources in the order in which they build on each other
SOURCES: Final = {
    "arm": ["arm/net/bpf_jit_32.h", "arm/net/bpf_jit_32.c"],
    "mips64": [
        "mips/include/uapi/asm/inst.h", "mips/include/asm/uasm.h", "mips/mm/uasm-mips.c", "mips/net/bpf_jit_comp.h",
        "mips/net/bpf_jit_comp.c", "mips/net/bpf_jit_comp64.c",
    ],
    "ppc64": [
        "powerpc/include/asm/ppc-opcode.h", "powerpc/net/bpf_jit.h", "powerpc/net/bpf_jit_comp.c",
        "powerpc/net/bpf_jit_comp64.c",
    ],
    "riscv64": ["riscv/net/bpf_jit.h", "riscv/net/bpf_jit_comp64.c", "riscv/net/bpf_jit_core.c"],
    "aarch64": [
        "arm64/include/asm/insn-def.h", "arm64/include/asm/insn.h", "arm64/lib/insn.c", "arm64/net/bpf_jit.h",
        "arm64/net/bpf_jit_comp.c",
    ],
    "x86_64": ["x86/net/bpf_jit_comp.c"],
}  # fmt: skip
#: file -> parts that are left out (trampolines, patching): from the first text up to the second, "" = the end
CUTS: Final = {
    "riscv/net/bpf_jit_comp64.c": [("static int gen_jump_or_nops", "int bpf_jit_emit_insn")],
    "riscv/net/bpf_jit_core.c": [("u64 bpf_jit_alloc_exec_limit", "")],
    "arm64/net/bpf_jit_comp.c": [
        ("/* Clobbers BPF registers 1-4, aka x0-x3 */", "static void build_epilogue"),
        ("asm (\n\"\t.pushsection", "/* build a plt"), ("void *bpf_arch_text_copy", ""),
        ("int bpf_arch_text_invalidate", "static inline int epilogue_offset"),
    ],
    "x86/net/bpf_jit_comp.c": [
        ("static int __bpf_arch_text_poke", "#define EMIT_LFENCE"),
        ("int bpf_arch_text_invalidate", "struct jit_context {"),
        ("static void bpf_tail_call_direct_fixup", "static void emit_mov_imm32"),
        ("static void clean_stack_garbage", "struct x64_jit_data {"),
        ("static void save_regs", "struct x64_jit_data {"),
        ("static void emit_indirect_jump", "static void emit_return"), ("bool bpf_jit_supports_kfunc_call", ""),
    ],
}  # fmt: skip
#: what stands in for a part that was cut, or for a call into it
INSTEAD: Final = [
    ("build_bhb_mitigation(ctx);", ";"), ("emit_jump(&prog, x86_return_thunk, ip);", ""),
    ("bpf_tail_call_direct_fixup(prog);", ""), ("func = (u8 *)clear_bhb_loop;", ""),
    ("static void emit_return(", """static void emit_indirect_jump(u8 **pprog, int reg, u8 *ip)
{
	u8 *prog = *pprog;
	EMIT2(0xFF, 0xE0 + reg);
	EMIT1(0xCC);
	*pprog = prog;
}
static void emit_return("""),
]
TAIL_CALL: Final = 12


def kernel_tree() -> tuple[Path, str]:
    """The unpacked tree and the kernel's name; skips where there is none."""
    given = os.environ.get("BPFBENCH_KERNEL_TREE", "")
    if not given or not (Path(given) / "arch").is_dir():
        pytest.skip("no linux-source tree: unpack one (apt-get install linux-source-6.1) and set BPFBENCH_KERNEL_TREE")
    makefile = Path(given) / "Makefile"
    text = makefile.read_text() if makefile.is_file() else ""
    numbers = re.findall(r"^(?:VERSION|PATCHLEVEL) = (\d+)$", text, re.M) or re.findall(r"\d+", Path(given).name)[:2]
    version = ".".join(numbers)
    if version not in ("6.1", "6.12"):
        pytest.skip(f"the linux-source tree is Linux {version or 'of unknown version'}; 6.1 and 6.12 are compared")
    return Path(given), f"linux-{version}"


def kernel_generator(tree: Path, kernel: str, target: str, folder: Path) -> Path:
    """Compile the generator of `target`; the path of the program."""
    compiler = shutil.which("cc") or shutil.which("clang-19")
    if compiler is None:
        pytest.skip("no C compiler: install one (apt-get install gcc)")
    text = f'#define KERNEL_{kernel[6:].replace(".", "_")}\n#include "{target}.h"\n'
    text += "".join(source(tree / "arch" / name, kernel, target) for name in SOURCES[target])
    text += (HERE / "driver.c").read_text()
    unit, made = folder / f"{target}.c", folder / target
    unit.write_text(text)
    done = subprocess.run(
        [compiler, "-O1", "-w", "-no-pie", "-fno-pie", "-I", str(HERE), "-o", str(made), str(unit)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:1000]
    return made


def source(path: Path, kernel: str, target: str) -> str:
    """One file of the kernel, made to stand in our translation unit."""
    text = path.read_text()
    if path.name == "uasm-mips.c":              # includes its other half in the middle, and has a build_insn as well
        text = text.replace('#include "uasm.c"', (path.parent / "uasm.c").read_text())
        text = re.sub(r"\bbuild_insn\b", "build_machine_insn", text)
    text = re.sub(r"^#include.*$", "", text, flags=re.M)
    own = path.as_posix().split("/arch/")[1]
    for first, last in CUTS.get(own, []):
        if first in text:
            start = text.index(first)
            text = text[:start] + (text[text.index(last, start) :] if last else "")
    if own in CUTS:
        for old, new in INSTEAD:
            text = text.replace(old, new, 1)
        text = re.sub(r"bpf_arch_text_copy\(&\w.*?\);", ";", text, flags=re.S)
    if path.name == "bpf_jit_comp64.c":         # a routine in assembly that only other processors call
        barrier = re.compile(r"^void bpf_stf_barrier\(void\);\n\nasm \(.*?^\);$", re.M | re.S)
        text = barrier.sub("void bpf_stf_barrier(void) {}", text)
    version = (6, 1) if kernel == "linux-6.1" else (6, 12)
    entries, programs, entry = tail_call_layout(version)
    if target == "arm":
        entries, programs, entry = a32.MAX_ENTRIES, a32.PROGRAMS[version >= (6, 8)], a32.ENTRY
    for member, offset in (
        ("struct bpf_array, map.max_entries", entries), ("struct bpf_array, ptrs", programs),
        ("struct bpf_prog, bpf_func", entry), ("struct paca_struct, kernel_toc", 16),
        ("struct thread_info, cpu", 32 if target == "riscv64" else 16),
    ):  # fmt: skip
        text = text.replace(f"offsetof({member})", str(offset))
    return text


def kernel_images(generator: Path, programs: list[tuple[list[Instruction | None], int, bool]]) -> list[str]:
    """The kernel's image of each (instructions, stack depth, zero extensions inserted), as hex, or "refused"."""
    lines = []
    for insns, depth, zext in programs:
        raw = bytearray(encode(insns))
        for pc, insn in enumerate(insns):
            if insn is not None and insn.kind == ops.CALL and insn.imm == TAIL_CALL:
                raw[8 * pc] = 0xF5              # the opcode that a verified tail call has inside the kernel
        lines.append(f"{depth} {int(zext)} {raw.hex()}\n")
    done = subprocess.run([str(generator)], input="".join(lines), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"the kernel's generator ended with {done.returncode}"
    return done.stdout.split()
