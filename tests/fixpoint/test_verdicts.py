"""What the static analysis accepts and refuses, one small program per rule."""

from __future__ import annotations

from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench.errors import UsageError
from bpfbench.fixpoint.failures import RULES

KEY = "*(u64 *)(r10 -8) = 0\nr2 = r10\nr2 += -8\n"
VALUE = ".map m hash 8 16 4\n" + KEY + "r1 = map[m]\ncall map_lookup_elem\nif r0 == 0 goto out\n"
OUT = "\nout: r0 = 0\nexit"
END = "\nr0 = 0\nexit"
PACKET = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\n"
RECORD = ".map m ringbuf 0 0 4096\nr1 = map[m]\nr2 = 8\nr3 = 0\ncall ringbuf_reserve\n"

REFUSED = {
    "shape": "r0 = 0",
    "unreachable": "r0 = 0\nexit\nr0 = 1\nexit",
    "encoding": "r0 = 0\n.insn b700010000000000\nexit",
    "uninitialised": "if r1 == 0 goto +1\nr0 = 0\nexit",
    "not-a-pointer": "r2 = 4096\nr0 = *(u8 *)(r2 +0)\nexit",
    "maybe-null": ".map m hash 8 16 4\n" + KEY + "r1 = map[m]\ncall map_lookup_elem\nr0 = *(u8 *)(r0 +0)\nexit",
    "frame-pointer": "r10 = 0" + END,
    "pointer-arithmetic": "r1 *= 2" + END,
    "unbounded-offset": VALUE + "r1 = *(u64 *)(r0 +0)\nr0 += r1\nr0 = *(u8 *)(r0 +0)" + OUT,
    "out-of-bounds": VALUE + "r1 = *(u64 *)(r0 +0)\nr1 &= 15\nr0 += r1\nr0 = *(u16 *)(r0 +0)" + OUT,
    "packet-bounds": PACKET + "r4 = r2\nr4 += 14\nif r4 > r3 goto out\nr0 = *(u16 *)(r2 +13)" + OUT,
    "stack-bounds": "*(u64 *)(r10 -520) = 0" + END,
    "alignment": "*(u32 *)(r10 -6) = 0" + END,
    "partial-pointer": "*(u64 *)(r10 -8) = r1\nr0 = *(u32 *)(r10 -8)\nexit",
    "caller-stack": "call F\nr0 = 0\nexit\nF: r0 = r10\nexit",
    "context": "r0 = *(u32 *)(r1 +100)\nexit",
    "read-only": ".map m array 4 8 1 128\nr1 = map[m]+0\n*(u8 *)(r1 +0) = 1" + END,
    "write-only": ".map m array 4 8 1 256\nr1 = map[m]+0\nr0 = *(u8 *)(r1 +0)\nexit",
    "mixed-pointers": "r6 = r1\ncall get_prandom_u32\nr7 = r10\nr7 += -8\n*(u64 *)(r10 -8) = 0\n"
                      "if r0 == 0 goto +1\nr7 = r6\nr0 = *(u32 *)(r7 +0)\nexit",
    "atomic": PACKET + "r4 = r2\nr4 += 8\nif r4 > r3 goto out\nr5 = 1\nlock *(u64 *)(r2 +0) += r5" + OUT,
    "divide": "r0 = 1\nr0 /= 0\nexit",
    "helper": "call probe_write_user\nexit",
    "argument": "r2 = 0\ncall map_lookup_elem\nexit",
    "size": ".type kprobe\nr2 = *(u64 *)(r1 +0)\nr1 = r10\nr1 += -8\nr3 = 0\ncall probe_read_kernel" + END,
    "map-kind": ".map m prog_array 4 4 1\n" + KEY + "r1 = map[m]\ncall map_lookup_elem" + END,
    "reference": RECORD + END,
    "return-value": ".type cgroup_device\nr0 = 2\nexit",
    "call-depth": "call F\nexit\nF: call F\nexit",
    "stack-depth": "*(u64 *)(r10 -304) = 0\ncall F\nr0 = 0\nexit\nF: *(u64 *)(r10 -304) = 0\nr0 = 0\nexit",
    "callback": "r1 = 3\nr2 = func pc+5\nr3 = 0\nr4 = 0\ncall loop\nexit\nr0 = 0\nexit",
    "endless": "A: call get_prandom_u32\nif r0 != 5 goto A\nexit",
    "dynptr": ".map m ringbuf 0 0 4096\nr1 = r10\nr1 += -16\nr2 = 0\ncall ringbuf_submit_dynptr" + END,
    "special-field": VALUE + "r1 = r0\ncall spin_lock" + OUT,
    "not-supported": ".type netfilter\nr1 = *(u64 *)(r1 +0)\nr0 = *(u32 *)(r1 +0)\nexit",
}
NEVER_HERE = {"load", "lock", "too-complex"}       # see test_the_rest


@pytest.mark.parametrize("rule", sorted(REFUSED))
def test_each_rule_refuses(rule: str) -> None:
    prog = bb.assemble(REFUSED[rule])
    if rule == "not-supported":
        prog.attach_type = 45
    v = bb.verify_static(prog)
    assert v.rejection is not None and v.rejection.rule == rule, repr(v)
    assert v.rejection.row.why and str(v.message) and v.explain()
    assert v.supported == (rule != "not-supported")


def test_every_rule_has_its_program() -> None:
    assert set(REFUSED) | NEVER_HERE == set(RULES)


def test_the_rest(datasets: Path) -> None:
    v = bb.verify_static(next(iter(bb.load(datasets / "xdp_rate_limiter_locked.o").programs.values())))
    assert v.rejection is not None and v.rejection.rule == "lock"       # a lock needs type information
    prog = bb.assemble("r0 = 0\nexit")
    prog.type = "sk_lookup"
    v = bb.verify_static(prog)
    assert v.rejection is not None and v.rejection.rule == "load"
    with pytest.raises(UsageError):
        bb.verify_static(prog, privileged=False)
    with pytest.raises(UsageError, match="there are all, division"):
        bb.verify_static(prog, beyond=("nonsense",))


ACCEPTED = {
    "two nullable copies": VALUE.replace("if r0", "r6 = r0\nif r0") + "r0 = *(u64 *)(r6 +8)" + OUT,
    "null check through the stack": VALUE.replace("if r0", "*(u64 *)(r10 -16) = r0\nif r0")
                                    + "r1 = *(u64 *)(r10 -16)\nr0 = *(u8 *)(r1 +0)" + OUT,
    "copies are refined": VALUE + "r1 = *(u64 *)(r0 +0)\nr2 = r1\nif r2 > 8 goto out\nr0 += r1\nr0 = *(u64 *)(r0 +0)" + OUT,
    "variable packet offset": PACKET + "r4 = r2\nr4 += 1\nif r4 > r3 goto out\nr5 = *(u8 *)(r2 +0)\nr2 += r5\nr4 = r2\n"
                              "r4 += 8\nif r4 > r3 goto out\nr0 = *(u64 *)(r2 +0)" + OUT,
    "pointers joined": VALUE + "r1 = *(u64 *)(r0 +0)\nr2 = r0\nif r1 > 5 goto A\nr2 += 8\nA: r0 = *(u64 *)(r2 +0)" + OUT,
    "flag and pointer": VALUE + "r6 = 0\nr7 = 0\nr1 = *(u64 *)(r0 +0)\nif r1 > 5 goto A\nr6 = 1\nr7 = r0\n"
                        "A: if r6 == 0 goto out\nr0 = *(u64 *)(r7 +0)" + OUT,
    "loop over a value": VALUE + "r1 = 0\nA: r2 = r0\nr2 += r1\nr3 = *(u8 *)(r2 +0)\nr1 += 1\nif r1 < 16 goto A" + OUT,
    "long loop": "r1 = 0\nr0 = 0\nA: r0 += r1\nr1 += 1\nif r1 < 1000000 goto A\nr0 = 0\nexit",
    "long loop with an index": VALUE + "r1 = 0\nA: r2 = r1\nr2 &= 15\nr3 = r0\nr3 += r2\nr4 = *(u8 *)(r3 +0)\nr1 += 1\n"
                               "if r1 < 500000 goto A" + OUT,
    "nested loops": "r1 = 0\nr0 = 0\nA: r2 = 0\nB: r0 += 1\nr2 += 1\nif r2 < 3000 goto B\nr1 += 1\n"
                    "if r1 < 2000 goto A\nexit",
    "may_goto ends": "A: may_goto B\ngoto A\nB: r0 = 0\nexit",
    "a record released": RECORD + "if r0 == 0 goto out\nr1 = r0\nr2 = 0\ncall ringbuf_submit" + OUT,
    "a function by summary": VALUE + "r6 = r0\nr1 = *(u64 *)(r0 +0)\ncall F\nr6 += r0\nr0 = *(u8 *)(r6 +0)" + OUT
                             + "\nF: r0 = r1\nr0 &= 7\nexit",
    "a function that writes the caller's frame": "r1 = r10\nr1 += -8\ncall F\nr0 = *(u64 *)(r10 -8)\nexit\n"
                                                 "F: *(u64 *)(r1 +0) = 1\nr0 = 0\nexit",
}


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_accepts(name: str) -> None:
    v = bb.verify_static(bb.assemble(ACCEPTED[name]))
    assert v.accepted, v.explain()


BEYOND = {
    "division": VALUE + "r1 = *(u64 *)(r0 +0)\nr1 %= 9\nr0 += r1\nr0 = *(u64 *)(r0 +0)" + OUT,
    "tests": VALUE + "r1 = *(u64 *)(r0 +0)\nr1 &= 15\nif r1 & 9 goto out\nif r1 > 8 goto out\nif r1 & 64 goto out\n"
             "r2 = r1\nr0 += r1\nr0 = *(u64 *)(r0 +0)" + OUT,
    "offsets": VALUE + "r1 = *(u64 *)(r0 +0)\nr1 &= 7\nr0 += 8\nr0 -= r1\nr0 = *(u64 *)(r0 +0)" + OUT,
    "nulls": ".map m hash 8 16 4\n" + KEY + "r1 = map[m]\ncall map_lookup_elem\nr6 = 0\nif r0 == r6 goto out\n"
             "r0 = *(u64 *)(r0 +0)" + OUT,
    "keys": ".map a array 4 8 4\n*(u32 *)(r10 -4) = 3\nr2 = r10\nr2 += -4\nr1 = map[a]\ncall map_lookup_elem\n"
            "r0 = *(u64 *)(r0 +0)\nexit",
    "bytes": VALUE + "*(u64 *)(r10 -16) = 0x0403\nr1 = *(u8 *)(r10 -15)\nr0 += r1\nr0 = *(u64 *)(r0 +0)" + OUT,
    "relations": VALUE + "r1 = *(u64 *)(r0 +0)\nr2 = *(u64 *)(r0 +8)\nif r1 > r2 goto out\nif r1 <= r2 goto out\n"
                 "r0 = *(u64 *)(r0 +100)" + OUT,
    "lengths": PACKET + "r3 -= r2\nif r3 < 8 goto out\nr0 = *(u64 *)(r2 +0)" + OUT,
}


@pytest.mark.parametrize("name", sorted(BEYOND))
def test_safe_programs_that_linux_refuses(name: str) -> None:
    """Refused like there, accepted with the facts of that name."""
    prog = bb.assemble(BEYOND[name])
    if name != "tests":                         # Linux finds this range in the known bits
        assert not bb.verify(prog).accepted and not bb.verify_static(prog).accepted
    assert bb.verify_static(prog, beyond=(name,)).accepted
