"""Logs read back: forms of all kernels, what loaders put around them, the states that they leave out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bpfbench as bb
from bpfbench.errors import BpfbenchError, UsageError
from bpfbench.program.program import Program
from bpfbench.verifier.logread import read_log
from bpfbench.verifier.logvalues import register, slot, state
from bpfbench.verifier.verification import verify
from tests.parity_logread import GENERATION, compare

PACKET = """\
0: R1=ctx() R10=fp0
; void *data = (void *)(long)ctx->data; @ xdp.c:12
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2_w=pkt(r=0)
; return *(__u8 *)data; @ xdp.c:14
1: (71) r0 = *(u8 *)(r2 +12)
invalid access to packet, off=12 size=1, R2(id=0,off=12,r=0)
R2 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
LIBBPF = ("libbpf: prog 'count': BPF program load failed: Permission denied\n"
          "libbpf: prog 'count': -- BEGIN PROG LOAD LOG --\n{}-- END PROG LOAD LOG --\n"
          "libbpf: prog 'count': failed to load: -13\nlibbpf: failed to load object 'xdp.o'\n")
KERNEL_5_15 = """\
func#0 @0
0: R1=ctx(id=0,off=0,imm=0) R10=fp0
0: (62) *(u32 *)(r10 -4) = 0
1: R1=ctx(id=0,off=0,imm=0) R10=fp0 fp-8=mmmm????
1: (bf) r2 = r10
2: R1=ctx(id=0,off=0,imm=0) R2_w=fp0 R10=fp0 fp-8=mmmm????
2: (07) r2 += -4
3: R1=ctx(id=0,off=0,imm=0) R2_w=fp-4 R10=fp0 fp-8=mmmm????
3: (18) r1 = 0xffff8881049e3800
5: R1_w=map_ptr(id=0,off=0,ks=4,vs=16,imm=0) R2_w=fp-4 R10=fp0 fp-8=mmmm????
5: (85) call bpf_map_lookup_elem#1
6: R0_w=map_value_or_null(id=1,off=0,ks=4,vs=16,imm=0) R10=fp0 fp-8=mmmm????
6: (79) r0 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
KERNEL_4_18 = """\
0: (b7) r2 = 3
1: (bf) r6 = r1
2: (61) r0 = *(u32 *)(r6 +16)
3: (25) if r0 > 0xff goto pc+2
 R0=inv(id=0,umax_value=255,var_off=(0x0; 0xff)) R1=ctx(id=0,off=0,imm=0) R2=inv3 R6=ctx(id=0,off=0,imm=0) R10=fp0,call_-1
4: (0f) r6 += r0
5: (61) r0 = *(u32 *)(r6 +0)
variable ctx access var_off=(0x0; 0xff) disallowed
processed 6 insns (limit 131072), stack depth 0
"""


def test_a_log_is_read_like_a_verification() -> None:
    log = read_log(PACKET)
    assert log.accepted is False and log.pc == 1 and log.rejection is not None
    assert log.rejection.rule == "packet-bounds" and log.insns_processed == 2 and not log.unread
    assert [e.pc for e in log.trace.of("visit")] == [0, 1]
    assert log.program.lines[1].line == 14 and log.program.lines[1].file == "xdp.c"
    assert repr(log.program.insns[1]) == "<r0 = *(u8 *)(r2 +12)>"
    e = log.explain()
    assert e.rule == "packet-bounds" and "needs 13 bytes" in e.knew and e.path[0].pc == 0
    assert e.line is not None and e.line.text == "return *(__u8 *)data;"


@pytest.mark.parametrize("wrapped", [
    LIBBPF.format(PACKET),
    "".join(f"[ 1234.567890] {line}\n" for line in PACKET.splitlines()),
    "".join(f"Nov  7 10:00:00 host kernel: {line}\n" for line in PACKET.splitlines()),
    "load program: permission denied:\n" + "".join(f"\t{line}\n" for line in PACKET.splitlines()),
    PACKET.replace("\n", "\r\n"),
    "Verifier analysis:\n\n" + PACKET,
], ids=["libbpf", "dmesg", "journal", "tabs", "crlf", "bpftool"])  # fmt: skip
def test_what_loaders_put_around_a_log_does_not_matter(wrapped: str) -> None:
    e, plain = read_log(wrapped).explain(), read_log(PACKET).explain()
    assert (e.rule, e.knew, e.pc) == (plain.rule, plain.knew, plain.pc)
    assert [p.pc for p in e.path] == [p.pc for p in plain.path]


def test_libbpf_tells_the_program_and_the_error() -> None:
    log = read_log(LIBBPF.format(PACKET))
    assert log.program.name == "count" and log.errno == "EACCES"


def test_older_kernels_print_whole_states_or_hardly_any() -> None:
    e = read_log(KERNEL_5_15).explain()
    assert e.rule == "deref-maybe-null" and [p.pc for p in e.path] == [3, 5, 6] and "16 bytes" in e.knew
    log = read_log(KERNEL_4_18)
    assert log.version == (4, 18) and log.explain().path[0].text == "r6 = r1"
    assert register("inv(id=0,umax_value=255,var_off=(0x0; 0xff))", 0, False) is not None


def test_values_in_every_notation() -> None:
    for new, old in (("5", "inv5"), ("scalar(umax=7,var_off=(0x0; 0x7))", "inv(id=0,umax_value=7,var_off=(0x0; 0x7))"),
                     ("map_value_or_null(id=1,ks=4,vs=16)", "map_value_or_null(id=1,off=0,ks=4,vs=16,imm=0)")):
        a, b = register(new, 0, False), register(old, 0, False)
        assert a is not None and b is not None and a.same_but_ids(b) or repr(a) == repr(b)
    assert repr(register("fp[0]-24", 1)) == "<fp[0]-24>" or register("fp[0]-24", 1).frame == 0  # type: ignore[union-attr]
    found = slot("mmmmscalar(umax=255,var_off=(0x0; 0xff))", 0, True, None)
    assert found is not None and list(found.types) == [2, 2, 2, 2, 1, 1, 1, 1] and found.reg.scalar.umax == 255
    assert state(" R0=trusted_ptr_task_struct(id=1) refs=2,4", True).refs == [2, 4]


def test_copies_are_refined_although_the_log_does_not_print_them() -> None:
    source = """
        .type sched_cls
        r0 = *(u32 *)(r1 +0)
        r6 = r0
        r2 = *(u32 *)(r1 +76)
        r3 = *(u32 *)(r1 +80)
        r4 = r2
        r4 += 8
        if r4 > r3 goto out
        r5 = *(u64 *)(r2 +0)
        if r0 > 7 goto out
        r7 = r6
        r6 = *(u8 *)(r2 +8)
    out: r0 = 0
        exit
    """
    for kernel in ("linux-6.18", "linux-6.12", "linux-6.1"):
        v = bb.verify(bb.assemble(source), kernel=kernel, trace=True)
        c: Counter[str] = Counter()
        log = read_log(v.log(2))
        difference = compare(c, v.trace.of("visit"), log.trace.of("visit"), GENERATION[kernel.removeprefix("linux-")])
        assert difference == "" and c["registers"] > 100
        assert log.rejection is not None and log.message == v.message and log.explain().knew


@pytest.mark.parametrize("kernel", ["6.18", "6.12", "6.1"])
def test_recorded_logs_rebuild_our_own_states(kernel: str, records: Callable[[str], Iterator[dict[str, Any]]]) -> None:
    """Every tenth; all of them: tests/parity_logread.py."""
    results = {r["name"]: r for r in records(f"kernel-verifier/linux-{kernel}")}
    c: Counter[str] = Counter()
    for record in list(records("kernel-verifier/programs"))[::10]:
        result = results[record["name"]]
        text = result.get("log2") or ""
        if not text.strip() or result.get("log2_truncated") or (result.get("processed") or 0) > 2000:
            continue
        log = read_log(text)
        assert not log.unread, (record["name"], log.unread[:1])
        assert (log.accepted, log.message or None) == (result["verdict"] == "accept", result["error"])
        v = verify(Program.from_json(record), kernel=f"linux-{kernel}", trace=True)
        assert v.trace is not None
        compare(c, v.trace.of("visit"), log.trace.of("visit"), GENERATION[kernel])
    assert c["steps"] == c["same place"] > 500
    assert c["same registers"] >= 0.999 * c["registers"] and c["same slots"] >= 0.995 * c["slots"]


@pytest.mark.parametrize("text", ["", "hello\n", "r1 = 0 ; the callback of it\nexit", "; reject: R0 !read_ok\nexit",
                                  "the callback function is called here", "int main(void) { return 0; }",
                                  "\0\1\2", "5\n6\n", "0:\n"])
def test_what_is_no_log_is_one_clear_error(text: str) -> None:
    with pytest.raises(UsageError, match="not a verifier log"):
        read_log(text)


def test_damaged_logs_never_crash() -> None:
    rng = random.Random(7)
    for i in range(400):
        base = (PACKET, KERNEL_5_15, KERNEL_4_18, bb.verify(bb.assemble("r6 = r1\ncall pc+2\nr0 = 0\nexit\nexit")).log(2),
                )[i % 4]
        chars = list(base)
        for _ in range(rng.randint(1, 30)):
            at = rng.randrange(len(chars))
            chars[at : at + rng.randint(0, 9)] = rng.choices("0123456789abcdefR=(),:;_ \n-x", k=rng.randint(0, 5))
        try:
            str(read_log("".join(chars)).explain())
        except BpfbenchError:
            pass


@pytest.mark.parametrize("name", ["tc_library", "xdp_sampler", "xdp_dispatcher", "perf_profiler", "xdp_conntrack"])
def test_logs_of_compiled_programs_rebuild_our_own_states(name: str, datasets: Path) -> None:
    """Global functions, dynamic pointers, tail calls, narrow spills, C lines."""
    for prog in bb.load(datasets / f"{name}.o").programs.values():
        v = bb.verify(prog, trace=True)
        log = read_log(v.log(2))
        c: Counter[str] = Counter()
        assert compare(c, v.trace.of("visit"), log.trace.of("visit"), 2) == "" and c["steps"] > 20
        assert not log.unread and log.accepted and log.complete
        assert len(log.program.lines) > 5 and all(line.text for line in log.program.lines.values())
