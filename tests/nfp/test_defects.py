"""Where the driver's code is wrong: on the card it differs from the interpreter or runs into a hazard, ours agrees.

A case is the middle of an XDP program (TC where the name says so).  r2 points to 512 bytes of the packet, r5, r7, r8 and r9
are numbers from it; r7 goes back into the packet at the end.
"""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.errors import Hazard, JitError
from bpfbench.execute.nfp_card import action_of
from bpfbench.execute.nfp_sim import run
from bpfbench.program.program import Program

SMALL = (5).to_bytes(8, "little")
PACKET = (bytes(range(12)) + b"\x88\xb5" + bytes((7 * n + 3) % 256 for n in range(50)) + SMALL
          + bytes(range(1, 250)) * 2)  # fmt: skip
HEAD = """
.map a array 4 8 4
*(u64 *)(r10 - 8) = r1
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r4 = r2
r4 += 512
if r4 <= r3 goto begin
r0 = 1
exit
begin:
r5 = *(u32 *)(r2 + 40)
r7 = *(u64 *)(r2 + 48)
r8 = *(u64 *)(r2 + 56)
r9 = *(u8 *)(r2 + 3)
"""
TAIL = "\n*(u64 *)(r2 + 500) = r7\nr0 = 2\nexit"
TC = ".type sched_cls\nr6 = r1\n"


def pairs(size: str, places: list[int], apart: int, base: int = 100) -> str:
    return "\n".join(f"r7 = *({size} *)(r2 + {base + at})\n*({size} *)(r2 + {base + at + apart}) = r7" for at in places)


def whole(body: str) -> str:
    return HEAD + body + TAIL


# fmt: off
CASES = {
    "E1 the constant -2^31 has no opposite": whole("r7 += -2147483648"),
    "E1 nor in comparisons": whole("r8 = *(u64 *)(r2 + 64)\nif r8 s>= -2147483648 goto big\nr7 = 6\nbig:"),
    "E2 a left shift by 0": whole("r9 = *(u8 *)(r2 + 0)\nr7 <<= r9"),
    "E3 a division by 1": whole("r7 &= 0xffff\nr7 /= 1"),
    "E3 a division by 28": whole("r7 &= 0xffff\nr7 /= 28"),
    "E4 the upper half after a 32-bit division": whole("r7 = -1\nw7 &= 0xffff\nw7 /= 3\nr7 >>= 1"),
    "E4 and after a short product": whole("r7 = -1\nw7 &= 0xff\nw7 *= 3\nr7 >>= 1"),
    "E5 what is in the register after a copy": whole(pairs("u32", [0, 4, 8], 100)),
    "E5 of bytes, downwards": whole(pairs("u8", [3, 2, 1, 0], 100)),
    "E6 the tail of a long copy far away": whole(pairs("u16", list(range(0, 46, 2)), 300)),
    "E8 a copy that overlaps itself": whole(pairs("u32", [0, 4, 8], 6)),
    "E10 a constant of two halves": whole("*(u32 *)(r2 + 100) = 0x12345678"),
    "E16 a copy that turns round": whole(pairs("u32", [0, 4, 0], 100)),
    "E7 a copy at the very end": HEAD.replace("begin:", "begin:\nr0 = 2") + pairs("u32", [0, 4], 100) + "\nexit",
    "E9 right by 32, then left (TC)": TC + "r0 = *(u32 *)skb[20]\nr0 >>= 32\nr0 <<= 32\nr7 = r0\nif r7 == 0 goto zero\n"
                                           "r0 = 4\nexit\nzero: r0 = 2\nexit",
    # by the time of the checkpoint at `wide` no check needs r4, so the path on which it is large ends there
    "a range that is not walked": whole("r4 = 0x12345678\nif r9 < 5 goto wide\nr4 = r9\nif r5 == 7 goto wide\n"
                                        + "r8 ^= 1\n" * 9 + "wide:\nw7 &= 0xffff\nw7 *= w4"),
    "pointers that are equal on the last path": whole("r1 = r2\nif r9 >= 5 goto same\nr1 += 8\nsame:\n"
                                                      "r7 = *(u8 *)(r2 + 100)\nr8 = *(u8 *)(r1 + 100)\nr7 <<= 8\nr7 |= r8"),
    "an indirect load just below 2^32 (TC)": TC + "r7 = 0xffffffff ll\nr0 = *(u8 *)skb[r7 + 0]\nr0 = 4\nexit",
}
# fmt: on


def agrees(prog: Program, kernel: str) -> bool:
    try:
        found = run(prog, PACKET, kernel=kernel)
    except (Hazard, JitError):
        return False
    expected = bb.run(prog, PACKET)
    return (found.data, found.code) == (expected.data, action_of(prog.type, expected.r0))


@pytest.mark.parametrize("name", CASES)
def test_our_code_is_right(name: str) -> None:
    assert agrees(bb.assemble(CASES[name]), "bpfbench")


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("E7")])     # there the driver crashes
def test_the_drivers_code_is_not(name: str) -> None:
    assert not agrees(bb.assemble(CASES[name]), "linux-6.1")
