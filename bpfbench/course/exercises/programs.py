"""Programs to write: accepted and right, or refused for one reason and no other (stages 06, 09, 15).

The answer is text, so a student's process has nothing to do but hand it over; the judge assembles it, verifies it as several
kernels do, and runs it.
"""

from __future__ import annotations

import functools
from random import Random
from typing import Any, Final, final

from bpfbench.course.exercise import Exercise, Failed, Plain
from bpfbench.course.exercises.support import marked_listing, program
from bpfbench.errors import BpfbenchError, CourseError
from bpfbench.interp import run
from bpfbench.program.cfg import build
from bpfbench.verifier import rules
from bpfbench.verifier.observe import Observer
from bpfbench.verifier.verification import Verification, verify

LONGEST: Final = 4000                # characters of a program
PATIENCE: Final = 20_000             # instructions of the walk


@final
class _Patience(Observer):
    def visit(self, step: int, pc: int, state: Any) -> None:
        if step > PATIENCE:
            raise CourseError(f"the verifier is still walking after {PATIENCE} instructions: too costly for this exercise")


@functools.lru_cache(64)
def walked(text: str, kernel: str, type: str, privileged: bool = True) -> Verification | str:
    """What the kernel says, or why the text is no program."""
    try:
        return verify(program(text, type), kernel=kernel, privileged=privileged, observer=_Patience())
    except BpfbenchError as error:
        return str(error)


def refusal(text: str, kernel: str, type: str = "xdp") -> str:
    """Why this kernel refuses the text, with the rule and what to do about it; "" if it accepts."""
    v = walked(text, kernel, type)
    if isinstance(v, str):
        return v
    if v.rejection is None:
        return ""
    rule = rules.rule(v.rejection.rule)
    advice = f"\n  rule {rule.code}: {rule.why}\n  {rule.fix}" if rule is not None else ""
    return f"{kernel} refuses the program at insn {v.rejection.pc}: {v.rejection.message}{advice}"


def as_text(answer: Any, case: Any) -> Plain:
    """The attempt: the text itself."""
    if not isinstance(answer, str):
        raise Failed(f"the answer must be a text, the program in assembly, not {type(answer).__name__}")
    if not answer.strip() or "YOUR CODE HERE" in answer:
        raise NotImplementedError
    if len(answer) > LONGEST:
        raise Failed(f"the program is longer than {LONGEST} characters")
    return answer


def result(text: str, packet: bytes) -> int | str:
    """r0 of a run, or what went wrong."""
    out = run(program(text), packet, budget=20_000)
    return out.r0 if out.trap is None else f"the program stops: {out.trap}"


def draw_text(case: Any, wanted: Plain, got: Plain) -> str:
    v = walked(str(got), case.get("kernel", "linux-6.18"), "xdp")
    if isinstance(v, str):
        return "\n".join(f"  line {i:3}  {line}" for i, line in enumerate(str(got).splitlines()[:60], 1))
    return marked_listing(str(got), {v.rejection.pc: "<- refused here"} if v.rejection is not None else {})


# A bounded loop ------------------------------------------------------------------------------------------------------

SUMMED: Final = 32


def _loop_judge(case: Any, got: Plain) -> str:
    if "kernel" in case:
        return refusal(got, case["kernel"])
    if refusal(got, "linux-6.18"):
        return "a program that is not accepted does not run"
    if "loops" in case:
        graph = build(program(got))
        if not graph.loops:
            return "there is no loop in it: a loop has an edge back to a block that dominates where it comes from"
        if len(graph.program.insns) > case["slots"]:
            return f"longer than {case['slots']} slots: is the loop unrolled?"
        return ""
    packet = bytes.fromhex(case["packet"])
    wanted = sum(packet[:SUMMED]) if len(packet) >= SUMMED else 0
    found = result(got, packet)
    if found == wanted:
        return ""
    for much, why in ((SUMMED - 1, "the last byte is missing"), (SUMMED + 1, "one byte too many"),
                      (len(packet), "it should stop after 32 bytes")):
        if len(packet) >= SUMMED and found == sum(packet[:much]):
            return f"r0 = {found}, expected {wanted}: {why}"
    if len(packet) == SUMMED and found == 0:
        return f"r0 = 0, expected {wanted}: a packet of exactly 32 bytes is long enough"
    return f"r0 = {found}, expected {wanted}" if isinstance(found, int) else found


def loop_cases(random: Random) -> list[Any]:
    lengths = (SUMMED, SUMMED + 1, random.randrange(40, 200), SUMMED - 1, 0)
    return [{"packet": random.randbytes(length).hex()} for length in lengths]


_LOOP_PUBLIC: Final[list[Any]] = [{"kernel": "linux-6.18"}, {"kernel": "linux-6.1"}, {"loops": 1, "slots": 24},
                                  *loop_cases(Random(16))]

# Reading a packet ----------------------------------------------------------------------------------------------------


def frame(random: Random, kind: str) -> bytes:
    """An Ethernet frame: kind udp, tcp, ipv6, fragment, short, or options."""
    port = random.randrange(1, 256) << 8 | random.randrange(0, 256)
    l4 = random.randbytes(2) + port.to_bytes(2, "big") + (b"\x00\x08\x00\x00" if kind != "tcp" else bytes(16))
    ip = bytearray(random.randbytes(20))
    ip[0], ip[9] = 0x45, 6 if kind == "tcp" else 17
    ether = random.randbytes(12) + (b"\x86\xdd" if kind == "ipv6" else b"\x08\x00")
    if kind == "options":
        ip[0] = 0x46
        ip += random.randbytes(4)
    whole = bytes(ether + ip + l4)
    return whole[:random.randrange(15, 37)] if kind == "short" else whole


def port_of(packet: bytes) -> int:
    """The destination port of a UDP packet over IPv4 without options; 0 for anything else."""
    if len(packet) < 42 or packet[12:14] != b"\x08\x00" or packet[14] != 0x45 or packet[23] != 17:
        return 0
    return int.from_bytes(packet[36:38], "big")


def _port_judge(case: Any, got: Plain) -> str:
    if "kernel" in case:
        return refusal(got, case["kernel"])
    if refusal(got, "linux-6.18"):
        return "a program that is not accepted does not run"
    packet = bytes.fromhex(case["packet"])
    wanted, found = port_of(packet), result(got, packet)
    if found == wanted:
        return ""
    if not isinstance(found, int):
        return found
    said = f"r0 = {found}, expected {wanted}"
    if wanted and found == int.from_bytes(packet[36:38], "little"):
        return f"{said}: the port is in network byte order, the lowest byte last (be16)"
    if wanted and found == int.from_bytes(packet[34:36], "big"):
        return f"{said}: that is the source port"
    if not wanted and found and case["kind"] in _OTHERS:
        return f"{said}: {_OTHERS[case['kind']]}"
    return said


_OTHERS: Final = {"tcp": "this is TCP, the protocol field says 6", "ipv6": "this is not IPv4, the Ethernet type says 86dd",
                  "options": "this header has options, its length is 6 words: the ports are elsewhere",
                  "short": "the packet ends before the UDP header does"}  # fmt: skip


def port_cases(random: Random) -> list[Any]:
    kinds = ("udp", "udp", "tcp", "ipv6", "options", "short")
    return [{"kind": kind, "packet": frame(random, kind).hex()} for kind in kinds]


_PORT_PUBLIC: Final[list[Any]] = [{"kernel": "linux-6.18"}, {"kernel": "linux-6.1"}, *port_cases(Random(17))]

# Refused, and mended -------------------------------------------------------------------------------------------------

RULES: Final = ("uninitialised", "deref-maybe-null", "packet-bounds", "memory-unbounded", "infinite-loop", "reference-leak")
MENDED_BY: Final = 3                 # lines


def _pair(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function from a rule to two programs, not {type(answer).__name__}")
    found = answer(case["rule"])
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Failed(f"broken_and_mended returns two programs, this is {found!r}"[:200])
    return [as_text(text, case) for text in found]


def _lines(text: str) -> list[str]:
    return [line.split(";")[0].strip() for line in text.splitlines() if line.split(";")[0].strip()]


def _pair_judge(case: Any, got: Plain) -> str:
    broken, mended = got
    v = walked(broken, "linux-6.18", "xdp")
    if isinstance(v, str):
        return v
    if v.rejection is None:
        return "the first program is accepted, so it breaks no rule"
    if v.rejection.rule != case["rule"]:
        return f"the first program is refused for another reason, rule {v.rejection.rule}: {v.rejection.message}"
    wrong = refusal(mended, "linux-6.18")
    if wrong:
        return f"the second program should be accepted: {wrong}"
    left = iter(_lines(mended))
    if not all(line in left for line in _lines(broken)):
        return "the second program has to keep every line of the first, in this order"
    more = len(_lines(mended)) - len(_lines(broken))
    if more > MENDED_BY:
        return f"the second program has {more} lines more than the first; {MENDED_BY} suffice"
    return ""


def draw_pair(case: Any, wanted: Plain, got: Plain) -> str:
    return "\n".join(["  first:", draw_text(case, wanted, got[0]), "  second:", draw_text(case, wanted, got[1])])


# What only root may do -----------------------------------------------------------------------------------------------

LEAKS: Final = ("return-pointer", "pointer-compare", "pointer-partial-copy", "helper-leak", "spill-corrupt")


def _leak(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function from a rule to a program, not {type(answer).__name__}")
    return as_text(answer(case["rule"]), case)


def _leak_judge(case: Any, got: Plain) -> str:
    root, user = (walked(got, "linux-6.18", "socket_filter", privileged) for privileged in (True, False))
    if isinstance(root, str) or isinstance(user, str):
        return str(root)
    if root.rejection is not None:
        return f"root may not do this either: {root.message} at insn {root.pc} (rule {root.rejection.rule})"
    if user.rejection is None:
        return "without privileges it is accepted as well: nothing leaks"
    if user.rejection.rule != case["rule"]:
        return f"refused for another reason, rule {user.rejection.rule}: {user.message}"
    graph = build(program(got, "socket_filter"))
    here = graph.block_of[user.rejection.pc]
    exits = [block.index for block in graph.blocks if block.reachable and not graph.successors[block.index]]
    if all(graph.dominates(here, leaving) for leaving in exits):
        return f"every way to an exit goes through insn {user.rejection.pc}: there has to be a way that leaks nothing"
    return ""


def draw_leak(case: Any, wanted: Plain, got: Plain) -> str:
    v = walked(str(got), "linux-6.18", "socket_filter", False)
    where = {} if isinstance(v, str) or v.rejection is None else {v.rejection.pc: "<- refused without privileges"}
    return marked_listing(str(got), where)


EXERCISES: Final = [
    Exercise("bounded-loop", "PROGRAM", "A loop that every kernel accepts", 2, 5, "15 loops", "28, 33",
             public=_LOOP_PUBLIC, more=loop_cases, attempt=as_text, judge=_loop_judge, draw=draw_text),
    Exercise("packet-parse", "PROGRAM", "Find the port in the packet", 2, 5, "09 packets, maps, helpers", "30, 31",
             public=_PORT_PUBLIC, more=port_cases, attempt=as_text, judge=_port_judge, draw=draw_text),
    Exercise("refused-and-mended", "broken_and_mended", "Refused for the right reason", 3, 6, "06 static checks", "20-34",
             public=[{"rule": rule} for rule in RULES], more=lambda random: [], attempt=_pair, judge=_pair_judge,
             draw=draw_pair),
    Exercise("only-root", "leak", "What only root may do", 2, 5, "10 pointer leaks", "18, 34",
             public=[{"rule": rule} for rule in LEAKS], more=lambda random: [], attempt=_leak, judge=_leak_judge,
             draw=draw_leak),
]  # fmt: skip
