"""The program of CVE-2021-29154: jumps that make a code generator's last pass disagree with the one before.

x86-64 has short jumps (2 bytes, +-128) and long ones (6 with a condition).  The code generator sweeps until two passes give
the same *length*, and then once more to write the image, with the addresses of the pass before.  If in this last sweep
something shrinks and something else grows by as much, the length is the same, and a jump between the two has a wrong
distance.  A program can arrange that, because a jump sees others change one pass late:

    forward    |distance| from the last pass's addresses: shrinks one pass after something inside it has shrunk
    backward   from the new address of its target to the old one of its end: for one pass, a shrink before its target
               makes it *longer*, and near the limit it grows

      pass                    2  3  4  5  6  7 |  8  |  image
      chain G7 … G2          -4 -4 -4 -4 -4 -4 |     |             each jumps over the next
      F1 F2 H                                  | -12 |             jump over the chain
      B1 B2 B3               -4 -4 -4          | +12 |             back, to behind the top
      F3 F4 F5                                 |     |  -12        jump over all of the above
      B4 B5 B6                        -4 -4 -4 |     |  +12        back, behind B3
      length                 the same in 7 and 8 ^     ^  the same: "converged", and written

K, a jump from behind the target of B4 to behind B6, is 12 bytes short: it lands inside of B5.

Source: Linux commit e4d4d456436b; arch/x86/net/bpf_jit_comp.c `do_jit`, `bpf_int_jit_compile` before it.
"""

from __future__ import annotations

from typing import Final

SWEEPS: Final = 8                   # the pass after which the length is the same
LONG: Final = 9                     # bytes of `if r0 == r2 goto` with a long jump; 5 with a short one
SAVED: Final = 4
REACH: Final = 127
BACK: Final = 117                   # distance of B1 … B6, all short: 12 bytes more are too far, 8 are not
NEVER: Final = "if r0 == r2 goto"


def filler(size: int) -> list[str]:
    """Instructions of `size` bytes in all: 3 for a 64-bit operation on r0, 2 for a 32-bit one."""
    out: list[str] = []
    while size:
        step = 2 if size in (2, 4) else 3
        out.append("w0 |= w0" if step == 2 else "r0 |= r0")
        size -= step
    return out


def placed(labels: dict[str, int], size: int) -> list[str]:
    """Filler of `size` bytes with labels at byte offsets."""
    out: list[str] = []
    at = 0
    for name, offset in sorted(labels.items(), key=lambda one: one[1]):
        out += [*filler(offset - at), f"{name}:"]
        at = offset
    return out + filler(size - at)


def top() -> list[str]:
    """F3 F4 F5 F1 F2 H and the chain, each with a target that is just too far until its time has come."""
    fires = {"F3": SWEEPS + 1, "F4": SWEEPS + 1, "F5": SWEEPS + 1, "F1": SWEEPS, "F2": SWEEPS, "H": SWEEPS}
    fires |= {f"G{n}": n for n in range(SWEEPS - 1, 1, -1)}
    names = list(fires)
    targets: dict[str, int] = {}
    for number, name in enumerate(names):
        behind = names[number + 1 :]
        saved = SAVED * sum(fires[other] < fires[name] for other in behind)
        targets[f"to_{name}"] = REACH + saved - LONG * len(behind) if fires[name] > 2 else 20
    return [f"{NEVER} to_{name}" for name in names] + placed(targets, max(targets.values()) + 4)


def back(names: tuple[str, ...], jump: str = "") -> list[str]:
    """Backward jumps one behind the other, and before them their targets; `jump` goes 40 bytes before them."""
    first = BACK - 5 * len(names)                       # the last one's target comes first
    room = {f"to_{name}": 5 * (n + 1) + first - BACK for n, name in enumerate(names)}
    lowest = min(room.values())
    room = {name: at - lowest for name, at in room.items()}
    size = first - lowest
    if not jump:
        return placed(room, size) + [f"{NEVER} to_{name}" for name in names]
    return placed(room, size - 40) + [jump, *filler(35)] + [f"{NEVER} to_{name}" for name in names]


def displacement() -> str:
    """The program: it answers 2, on paths that all do nothing.

    >>> displacement().count("goto")
    19
    """
    lines = ["r0 = 0", "r2 = 1", "r3 = *(u32 *)(r1 + 0)", "r4 = 0", *top(), *back(("B1", "B2", "B3"))]
    lines += [*back(("B4", "B5", "B6"), "if r3 != r4 goto end"), "end:", *filler(9), "r0 = 2", "exit"]
    return "\n".join(lines)
