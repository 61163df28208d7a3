"""Calls of kernel functions, open-coded iterators, casts: judged from a BTF, and as the running kernel judges them.

`call NAME` stands for the call of the kernel function; its number is looked up in the BTF used.
"""

from __future__ import annotations

import functools
import random
import re
import struct
from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench.elf.btf import Btf, read_btf
from bpfbench.elf.btf_types import FUNC, FUNC_PROTO, INT, PTR, STRUCT, BtfType, Param
from bpfbench.errors import BpfbenchError, BtfError
from bpfbench.program.program import Program
from bpfbench.verifier.verification import Verification, verify
from tests.verifier_fuzz import Bounded, mutated


def small_btf() -> Btf:
    """Just the number iterator: three functions over `struct bpf_iter_num`, one of them returning `int *`."""
    btf = Btf()
    number = btf.add(BtfType(INT, "int", size=4))
    pointer = btf.add(BtfType(PTR, type=number))
    state = btf.add(BtfType(PTR, type=btf.add(BtfType(STRUCT, "bpf_iter_num", size=8))))
    for name, returns, params in (("new", number, ("it", "start", "end")), ("next", pointer, ("it",)),
                                  ("destroy", 0, ("it",))):
        proto = BtfType(FUNC_PROTO, type=returns)
        proto.params = [Param(p, state if p == "it" else number) for p in params]
        btf.add(BtfType(FUNC, f"bpf_iter_num_{name}", type=btf.add(proto)))
    btf.add(BtfType(FUNC, "schedule", type=btf.add(BtfType(FUNC_PROTO))))
    return btf


@functools.cache
def running() -> Btf | None:
    path = Path("/sys/kernel/btf/vmlinux")
    return read_btf(path.read_bytes()) if path.is_file() else None


def program(text: str, btf: Btf) -> Program:
    def call(found: re.Match[str]) -> str:
        number = btf.find(found.group(1), FUNC)
        if number is None:
            pytest.skip(f"the kernel BTF has no {found.group(1)}")
        return ".insn 85200000" + struct.pack("<i", number).hex()

    return bb.assemble(re.sub(r"call (\w+)", call, text), type="sched_cls")


def judged(text: str, **options: object) -> Verification:
    btf = small_btf()
    return verify(program(text, btf), kernel_btf=btf, **options)  # type: ignore[arg-type]


BEGIN = "r6 = r10\nr6 += -8\nr1 = r6\nr2 = 0\nr3 = 10\ncall bpf_iter_num_new\nr7 = 0\n"
NEXT = "again: r1 = r6\ncall bpf_iter_num_next\nif r0 == 0 goto done\n"
END = "goto again\ndone: r1 = r6\ncall bpf_iter_num_destroy\nr0 = r7\nexit"
LOOP = BEGIN + NEXT + "r1 = *(u32 *)(r0 +0)\nr7 += r1\n" + END
NESTED = (BEGIN + NEXT + "r8 = r10\nr8 += -16\nr1 = r8\nr2 = 0\nr3 = 5\ncall bpf_iter_num_new\n"
          "inner: r1 = r8\ncall bpf_iter_num_next\nif r0 == 0 goto out\nr7 += 1\ngoto inner\n"
          "out: r1 = r8\ncall bpf_iter_num_destroy\n" + END)

#            what is wrong                       program                                          message
REFUSED = {
    "never destroyed":        (LOOP.replace("call bpf_iter_num_destroy\n", ""), "would lead to reference leak"),
    "never made":             ("r1 = r10\nr1 += -8\ncall bpf_iter_num_next\nr0 = 0\nexit",
                               "expected an initialized iter_num as arg #0"),
    "made twice":             (BEGIN + BEGIN + "exit", "expected uninitialized iter_num as arg #0"),
    "misaligned":             (BEGIN.replace("-8", "-12") + "exit", "expected uninitialized iter_num as arg #0"),
    "null not checked":       (LOOP.replace("if r0 == 0 goto done", "if r7 == 77 goto done"),
                               "R0 invalid mem access 'scalar'"),
    "element written":        (LOOP.replace("r1 = *(u32 *)(r0 +0)", "*(u32 *)(r0 +0) = 1"),
                               "R0 cannot write into rdonly_mem"),
    "element after destroy":  (BEGIN + "r1 = r6\ncall bpf_iter_num_next\nr7 = r0\nr1 = r6\ncall bpf_iter_num_destroy\n"
                               "if r7 == 0 goto +1\nr7 = *(u32 *)(r7 +0)\nr0 = 0\nexit",
                               "R7 invalid mem access 'scalar'"),
    "iterator read":          (BEGIN + "r1 = *(u64 *)(r10 -8)\nexit", "invalid read from stack off -8+0 size 8"),
    "a pointer for a number": (BEGIN.replace("r2 = 0", "r2 = r10") + "exit", "R2 is not a scalar"),
    "not on the stack":       ("call bpf_iter_num_next\nr0 = 0\nexit",
                               "arg#0 expected pointer to an iterator on stack"),
    "not for programs":       ("call schedule\nr0 = 0\nexit", "calling kernel function schedule is not allowed"),
    "no function":            (".insn 8520000001000000\nr0 = 0\nexit", "kernel btf_id 1 is not a function"),
}  # fmt: skip

ACCEPTED = {"sum": LOOP, "nested": NESTED, "early exit": LOOP.replace("r7 += r1\n", "r7 += 1\nif r7 > 8 goto done\n")}

MORE = {
    "cast": "call bpf_cast_to_kern_ctx\nr0 = *(u32 *)(r0 +112)\nr0 = 0\nexit",
    "cast of the stack": "r1 = r10\ncall bpf_cast_to_kern_ctx\nr0 = 0\nexit",
    "read as memory": "r2 = 0\ncall bpf_rdonly_cast\nr0 = *(u32 *)(r0 +400)\nr0 = 0\nexit",
    "read as a number": "r2 = 1\ncall bpf_rdonly_cast\nr0 = 0\nexit",
    "critical section left open": "call bpf_rcu_read_lock\nr0 = 0\nexit",
    "critical sections": "call bpf_rcu_read_lock\ncall bpf_rcu_read_lock\nr0 = 0\nexit",
    "no critical section": "call bpf_rcu_read_unlock\nr0 = 0\nexit",
    "preemption": "call bpf_preempt_disable\nr0 = 0\nexit",
    "slice": "r2 = 0\nr3 = r10\nr3 += -16\ncall bpf_dynptr_from_skb\nr1 = r10\nr1 += -16\nr2 = 0\nr3 = 0\nr4 = 14\n"
             "call bpf_dynptr_slice\nif r0 == 0 goto +1\nr1 = *(u8 *)(r0 +12)\nr0 = 0\nexit",
    "slice beyond": "r2 = 0\nr3 = r10\nr3 += -16\ncall bpf_dynptr_from_skb\nr1 = r10\nr1 += -16\nr2 = 0\nr3 = 0\n"
                    "r4 = 14\ncall bpf_dynptr_slice\nif r0 == 0 goto +1\nr1 = *(u8 *)(r0 +14)\nr0 = 0\nexit",
    "task kept": "r1 = 1\ncall bpf_task_from_pid\nr0 = 0\nexit",
    "task released twice": "r1 = 1\ncall bpf_task_from_pid\nif r0 == 0 goto +4\nr6 = r0\nr1 = r0\n"
                           "call bpf_task_release\nr0 = *(u32 *)(r6 +0)\nr0 = 0\nexit",
    "task maybe null": "r1 = 1\ncall bpf_task_from_pid\nr1 = r0\ncall bpf_task_release\nr0 = 0\nexit",
    "number released": "r1 = 5\ncall bpf_task_release\nr0 = 0\nexit",
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_iterators_converge(name: str) -> None:
    assert judged(ACCEPTED[name]).accepted
    assert judged(ACCEPTED[name], kernel="linux-6.12").accepted


@pytest.mark.parametrize("name", REFUSED)
def test_misuse_is_refused(name: str) -> None:
    text, message = REFUSED[name]
    verdict = judged(text)
    assert not verdict.accepted and message in (verdict.message or "")


def test_a_type_file_is_read_and_a_missing_one_has_a_place(tmp_path: Path) -> None:
    path = tmp_path / "kernel.btf"
    path.write_bytes(small_btf().to_bytes())
    assert bb.verify(program(LOOP, small_btf()), kernel_btf=path).accepted
    with pytest.raises(BtfError, match=r"cannot read the kernel's types from .*missing"):
        bb.verify(program(LOOP, small_btf()), kernel_btf=tmp_path / "missing")


def test_without_types_nothing_is_claimed() -> None:
    with pytest.raises(BpfbenchError, match="needs the kernel's type information"):
        bb.verify(program(LOOP, small_btf()), kernel="linux-6.1")


@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED, *MORE])
def test_as_the_running_kernel(live_kernel: None, name: str) -> None:
    btf = running()
    if btf is None:
        pytest.skip("no kernel BTF: a kernel built with CONFIG_DEBUG_INFO_BTF has /sys/kernel/btf/vmlinux")
    text = ACCEPTED.get(name) or MORE.get(name) or REFUSED[name][0]
    prog = program(text, btf)
    mine, kernel = verify(prog, kernel_btf=btf), bb.kernel.verify(prog)
    assert (mine.accepted, mine.message, mine.insns_processed, mine.total_states) == \
        (kernel.accepted, kernel.message, kernel.insns_processed, kernel.total_states)


def test_mutated_programs_as_the_running_kernel(live_kernel: None) -> None:
    btf = running()
    if btf is None:
        pytest.skip("no kernel BTF: a kernel built with CONFIG_DEBUG_INFO_BTF has /sys/kernel/btf/vmlinux")
    progs = [program(text, btf) for text in (*ACCEPTED.values(), *MORE.values())]
    for number in range(150):
        rng = random.Random(number)
        prog = mutated(rng.choice(progs), rng)
        mine, kernel = verify(prog, kernel_btf=btf, observer=Bounded()), bb.kernel.verify(prog)
        assert (number, mine.accepted, mine.message) == (number, kernel.accepted, kernel.message)
