"""Kernel functions: prototypes from a small BTF made here and from the running kernel's."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bpfbench.elf.btf import Btf, read_btf
from bpfbench.errors import BtfError
from bpfbench.program.program import Program
from bpfbench.verifier import kfuncs


@pytest.fixture(scope="module")
def kernel_btf() -> Btf:
    path = Path("/sys/kernel/btf/vmlinux")
    if not path.is_file():
        pytest.skip(f"no {path}: a kernel built with CONFIG_DEBUG_INFO_BTF has it")
    return read_btf(path.read_bytes())


def test_flags_are_words_that_are_explained() -> None:
    known = set("acquire release ret_null trusted rcu rcu_protected sleepable destructive".split())
    known |= {"iter_new", "iter_next", "iter_destroy"}
    assert all(set(flags.split()) <= known for flags in kfuncs.FLAGS.values())


def test_iterators_come_in_threes() -> None:
    for name in [n for n, flags in kfuncs.FLAGS.items() if "iter_new" in flags]:
        stem = name.removesuffix("_new")
        assert (
            kfuncs.FLAGS[stem + "_next"] == "iter_next ret_null" and kfuncs.FLAGS[stem + "_destroy"] == "iter_destroy"
        )


def test_a_prototype_is_the_c_prototype(kernel_btf: Btf) -> None:
    slice_ = kfuncs.named(kernel_btf, "bpf_dynptr_slice")
    assert slice_ is not None and slice_.ret == kfuncs.POINTER and slice_.flags == {"ret_null"}
    assert [(a.kind, a.struct) for a in slice_.args[:2]] == [("pointer", "bpf_dynptr"), ("scalar", "")]
    assert [a.suffix for a in slice_.args] == ["", "", "__opt", "__szk"]
    assert slice_.args[2].maybe_null and slice_.args[1].size == 4 or slice_.args[1].size == 8


def test_what_is_no_function_says_so(kernel_btf: Btf) -> None:
    with pytest.raises(BtfError, match="kernel btf_id 1 is not a function"):
        kfuncs.prototype(kernel_btf, 1)


@pytest.mark.parametrize("kind", ["xdp", "sched_cls", "socket_filter", "cgroup_skb", "lwt_in"])
def test_who_may_call_what_as_the_running_kernel(live_kernel: None, kernel_btf: Btf, kind: str) -> None:
    from bpfbench import kernel

    different = []
    for name in kfuncs.FLAGS:
        found = kernel_btf.find(name, 12)
        if found is None or name.startswith("bpf_xdp_metadata_"):
            continue  # not in this kernel, or only for programs of one device
        raw = struct.pack("<BBhiBBhiBBhi", 0x85, 2 << 4, 0, found, 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
        verdict = kernel.verify(Program.from_json({"name": "p", "prog_type": kind, "insns": raw.hex()}))
        if ("is not allowed" in (verdict.message or "")) == kfuncs.available(name, kind):
            different.append((name, verdict.message))
    assert different == []
