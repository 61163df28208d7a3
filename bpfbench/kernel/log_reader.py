"""Reading the verifier's log: which lines are messages, what the statistics line says, maps instead of addresses.

The kernel's log mixes four kinds of lines: the instruction being walked, the state after it, narration of the walk
("from 4 to 7", "propagating r6"), and messages.  Only messages say why a program was refused, so telling them apart is
all that is needed; the shapes of the other three are few and listed in `_TRACE`.

Sources: `kernel/bpf/log.c` (print_verifier_state), `kernel/bpf/verifier.c` (do_check, print_verification_stats).
"""

from __future__ import annotations

import re
from typing import Final

# Lines that are not messages, by how they begin
_TRACE: Final = re.compile(
    r"""\d+:\ (?!\Z)                        # 12: (b7) r0 = 0   and   12: R0=1 R10=fp0
      | from\ \d+\ to\ \d+                  # from 4 to 7 (speculative execution): R0=…
      | \ *(R\d+|frame\d+:|fp-?\d+)(_\w+)?(=|\ R|:)  # a state, with or without the frame it is in
      | ;\                                  # a line of the source
      | func\#\d+\ @\d+ | Live\ regs\ before\ insn | \ +\d+:\ [.0-9]{10}
      | caller:|callee:|returning\ from\ callee|to\ caller\ at | returning\ from\ \S+\ to
      | processed\ \d+\ insns | verification\ time\ \d+ | stack\ depth\ [\d+]+ | insns\ processed
      | mark_precise: | propagating\ | regs=|stack=|last_idx\ |parent\ (didn't|already)
      | Validating\ .*\(\)\ func | Func\#\d+\ .*is\ safe | Func\#\d+\ .*(unreach|global)
      | (cur|old|cb)\ state: | safe$ | live\ regs | hit\ | \(\w\w\)\ |  add_subprog |  reg\ type\ unsupported\ for
    """,
    re.VERBOSE,
)
_STATS: Final = re.compile(
    r"processed (\d+) insns \(limit \d+\) max_states_per_insn (\d+) "
    r"total_states (\d+) peak_states (\d+) mark_read (\d+)"
)
_DEPTH: Final = re.compile(r"^stack depth ([\d+]+)(?: max (\d+))?", re.MULTILINE)
_TIME: Final = re.compile(r"verification time (\d+) usec", re.MULTILINE)
# one message of the kernel lacks its newline, so that the statistics follow on the same line
_GLUED: Final = re.compile(r"(?<=\S)(verification time \d+ usec|processed \d+ insns \(limit).*")
_WIDE: Final = re.compile(r"(?:^|\s)(\d+): (?:[.0-9]{10} )?\(18\) r\d+ = (0x[0-9a-f]+)(?=\s|$)")

STATS_KEYS: Final = ("insns_processed", "max_states_per_insn", "total_states", "peak_states", "mark_read")


def messages(log: str) -> list[str]:
    """The lines of a log that are messages, oldest first.

    >>> messages("0: R1=ctx() R10=fp0\\n0: (95) exit\\nR0 !read_ok\\nprocessed 1 insns (limit 1000000) …")
    ['R0 !read_ok']
    """
    lines = (_GLUED.sub("", line) for line in log.splitlines())
    return [line for line in lines if line.strip() and not _TRACE.match(line)]


def statistics(log: str) -> dict[str, int]:
    """The numbers of the statistics line; empty when the verifier stopped before printing it.

    >>> statistics("processed 8 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0")
    {'insns_processed': 8, 'max_states_per_insn': 0, 'total_states': 1, 'peak_states': 1, 'mark_read': 0}
    """
    found = _STATS.findall(log)
    return dict(zip(STATS_KEYS, map(int, found[-1]), strict=True)) if found else {}


def stack_depth(log: str) -> str | None:
    """Bytes of stack per function, as the kernel prints them (`64+32`), or None."""
    found = _DEPTH.search(log)
    return found.group(1) if found else None


def microseconds(log: str) -> int | None:
    """How long the kernel says the verification took, or None."""
    found = _TIME.search(log)
    return int(found.group(1)) if found else None


def name_maps(log: str, references: dict[int, str]) -> str:
    """Replace the kernel address a wide load shows by the map it stands for; `references` maps pc to that text.

    >>> name_maps("0: (18) r1 = 0xffff888004c2a800   ; R1=map_ptr()", {0: "map[0]+0"})
    '0: (18) r1 = map[0]+0   ; R1=map_ptr()'
    """

    def replaced(match: re.Match[str]) -> str:
        text = references.get(int(match.group(1)))
        whole = match.group(0)
        return whole if text is None else whole.replace(match.group(2), text)

    return "\n".join(_WIDE.sub(replaced, line) if "(18)" in line else line for line in log.split("\n"))
