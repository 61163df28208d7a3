"""Help while writing eBPF in a cell: what could come next, and what the thing under the cursor is.

Both work on the text of a whole cell and the position of the cursor, so that a notebook, a terminal and a test ask alike:

    %%bpf
    r1 = map[co|            completions: counts
    call map_lo|            map_lookup_elem, map_lookup_percpu_elem
    r0 = *(u32 *)(r1 +4)    help: the manual page of LDXW

Instructions come from isa/ (the op table and its manual), helpers from verifier/helper_protos.py.
"""

from __future__ import annotations

import re
from typing import Final

from bpfbench.errors import BpfbenchError
from bpfbench.isa import reference
from bpfbench.isa.helpers import helper_id, helper_name
from bpfbench.isa.text import parse_insn
from bpfbench.program.program import MAP_TYPES, PROG_TYPES
from bpfbench.verifier import helper_protos

ASSEMBLY: Final = "%%bpf"
C: Final = "%%bpf_c"
DIRECTIVES: Final = {
    ".type": "the program's type: .type xdp",
    ".license": "the licence: .license GPL",
    ".map": "a map: .map name type key_size value_size max_entries [flags]",
    ".func": "the next label begins a function: .func name",
    ".insn": "the bytes of an instruction: .insn b700000000000000",
}
STATEMENTS: Final = ("exit", "call ", "goto ", "if ", "lock ", "may_goto ", "gotol ")
CASTS: Final = tuple(f"*({letter}{bits} *)(" for letter in "us" for bits in (8, 16, 32, 64))
REGISTERS: Final = tuple(f"r{n}" for n in range(11)) + tuple(f"w{n}" for n in range(10))
HELPERS: Final = tuple(name for number in range(1, 256) if (name := helper_name(number)))

_WORD: Final = re.compile(r"[\w.]*$")
_LABEL: Final = re.compile(r"^\s*([A-Za-z_]\w*):", re.MULTILINE)
_MAP: Final = re.compile(r"^\s*\.map\s+(\w+)", re.MULTILINE)
_AROUND: Final = re.compile(r"[\w.]+")


def magic_of(cell: str) -> str:
    """`%%bpf`, `%%bpf_c`, or "" for any other cell."""
    first = cell.lstrip().split("\n", 1)[0].split(None, 1)
    return first[0] if first and first[0] in (ASSEMBLY, C) else ""


# Completion ----------------------------------------------------------------------------------------------------------


def completions(cell: str, at: int) -> list[str]:
    """What the word before position `at` may become; [] outside of these cells.

    >>> completions("%%bpf\\ncall map_look", 19)
    ['map_lookup_elem', 'map_lookup_percpu_elem']
    >>> completions("%%bpf\\n.map counts hash 4 8 1\\nr1 = map[co", 40)
    ['counts']
    """
    magic = magic_of(cell)
    begin = cell.rfind("\n", 0, at) + 1
    if not magic or begin == 0:
        return []
    line = cell[begin:at]
    found = _WORD.search(line)
    word = found.group(0) if found is not None else ""
    if magic == C:
        names = [f"bpf_{name}" for name in HELPERS] if word.startswith("bpf") else []
        return [name for name in names if name.startswith(word)]
    return sorted(c for c in dict.fromkeys(_candidates(cell, line[: len(line) - len(word)])) if c.startswith(word)
                  and c != word)


def _candidates(cell: str, before: str) -> list[str]:
    """Everything that may stand behind `before` on a line."""
    head = before.split()
    if re.search(r"map\[\s*$", before):
        return _MAP.findall(cell)
    if head[:1] == ["call"]:
        return [*HELPERS, *_LABEL.findall(cell)]
    if head[-1:] in (["goto"], ["gotol"], ["may_goto"]):
        return _LABEL.findall(cell)
    if head[:1] == [".type"]:
        return PROG_TYPES[1:]
    if head[:1] == [".license"]:
        return ["GPL", "Dual BSD/GPL", "proprietary"]
    if head[:1] == [".map"]:
        return MAP_TYPES[1:] if len(head) == 2 else []
    if not head:
        return [*DIRECTIVES, *STATEMENTS, *REGISTERS, *(c for c in CASTS)]
    if before.rstrip().endswith("="):
        return [*REGISTERS, "map["]
    return [*REGISTERS, "goto "] if head[0] == "if" else list(REGISTERS)


# Help -----------------------------------------------------------------------------------------------------------------


def help_at(cell: str, at: int) -> str:
    """What is under the cursor: a helper's prototype, a directive, or the manual page of the instruction; "" if nothing.

    >>> print(help_at("%%bpf\\ncall map_lookup_elem", 15))
    bpf_map_lookup_elem, helper 1
      arguments: r1 map, r2 key
      returns: value or NULL
    """
    magic = magic_of(cell)
    begin = cell.rfind("\n", 0, at) + 1
    if not magic or begin == 0:
        return ""
    end = cell.find("\n", at)
    line = cell[begin : end if end >= 0 else len(cell)]
    word = next((m.group(0) for m in _AROUND.finditer(line) if m.start() <= at - begin <= m.end()), "")
    if word.startswith("."):
        return DIRECTIVES.get(word, "")
    name = word.removeprefix("bpf_")
    if name in HELPERS:
        return helper_page(name)
    return instruction_page(line) if magic == ASSEMBLY else ""


def helper_page(name: str) -> str:
    """The prototype of a helper and who may call it.

    >>> helper_page("redirect").splitlines()[0]
    'bpf_redirect, helper 23'
    """
    number = helper_id(name)
    lines = [f"bpf_{name}, helper {number}"]
    rows = [row for row in helper_protos.PROTOS if row[0] == name]
    if rows:
        _, returns, arguments, flags = rows[0]
        takes = [f"r{i} {_words(token)}" for i, token in enumerate(arguments.split(), 1)]
        lines.append("  arguments: " + (", ".join(takes) or "none"))
        lines.append("  returns: " + returns.replace("?", " or NULL").replace("int", "a number"))
        lines += [f"  {text}" for letter, text in (("g", "only for programs under the GPL"),
                                                    ("s", "may sleep")) if letter in flags]
    return "\n".join(lines)


def _words(token: str) -> str:
    return token.replace("?", " or NULL").replace("size0", "size (0 allowed)")


def instruction_page(line: str) -> str:
    """The manual page of the instruction on a line of assembly, "" when there is none.

    >>> instruction_page("  r0 += 1   ; a comment").splitlines()[0]
    'ADD64_K: addition by an immediate, 64 bit'
    """
    text = re.split(r";|//|(?<=\s)#", re.sub(r"^\s*[A-Za-z_.$][\w.$]*:(?!:)", "", line))[0].strip()
    text = re.sub(r"map\[\w+\]", "map[0]", text)
    try:
        insn, _ = parse_insn(text)
    except BpfbenchError:
        return ""
    return reference.page(insn.op.name)


