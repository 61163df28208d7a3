"""The kernel's own tests: when has a test passed? (stage 11)

The tests here are our own, in the kernel's notation; the kernel's tables have another licence.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if, inside
from bpfbench.course.exercises.support import first_difference
from bpfbench.kernel import selftests

LOOKUP: Final = """
    BPF_ST_MEM(BPF_DW, BPF_REG_10, -8, 0),
    BPF_MOV64_REG(BPF_REG_2, BPF_REG_10), BPF_ALU64_IMM(BPF_ADD, BPF_REG_2, -8),
    BPF_LD_MAP_FD(BPF_REG_1, 0), BPF_EMIT_CALL(BPF_FUNC_map_lookup_elem),
    BPF_JMP_IMM(BPF_JEQ, BPF_REG_0, 0, {skip}),"""
LEAVE: Final = "BPF_MOV64_IMM(BPF_REG_0, 0), BPF_EXIT_INSN(),"
Fields = dict[str, str]

# name, instructions, other fields, what is expected
TESTS: Final[list[tuple[str, str, str, Fields]]] = [
    ("unpriv: return the context",
     "BPF_MOV64_REG(BPF_REG_0, BPF_REG_1), BPF_EXIT_INSN(),", "",
     {"result": "ACCEPT", "result_unpriv": "REJECT", "errstr_unpriv": "R0 leaks addr"}),
    ("unpriv: compare two addresses",
     "BPF_MOV64_IMM(BPF_REG_0, {n}), BPF_JMP_REG(BPF_JEQ, BPF_REG_1, BPF_REG_10, 0), BPF_EXIT_INSN(),", "",
     {"result": "ACCEPT", "result_unpriv": "REJECT", "errstr": "comparison prohibited"}),
    ("unpriv: half of a saved pointer",
     "BPF_STX_MEM(BPF_DW, BPF_REG_10, BPF_REG_1, -8), BPF_ST_MEM(BPF_W, BPF_REG_10, -8, {n}), " + LEAVE, "",
     {"result": "ACCEPT", "result_unpriv": "REJECT", "errstr_unpriv": "corrupt spilled\tstack"}),
    ("XDP: read behind the packet",
     "BPF_LDX_MEM(BPF_W, BPF_REG_2, BPF_REG_1, 0), BPF_LDX_MEM(BPF_B, BPF_REG_0, BPF_REG_2, {n}), BPF_EXIT_INSN(),",
     ".prog_type = BPF_PROG_TYPE_XDP, ",
     {"result": "REJECT", "errstr": "invalid access to packet\toutside of the packet"}),
    ("map: behind the value",
     LOOKUP.format(skip=1) + "\n    BPF_LDX_MEM(BPF_DW, BPF_REG_3, BPF_REG_0, 4{d}), " + LEAVE,
     ".fixup_map_hash_48b = {{ 3 }}, ", {"result": "REJECT", "errstr": "value_size=48\toutside of the allowed"}),
    ("map: an offset nobody knows",
     LOOKUP.format(skip=3) + "\n    BPF_LDX_MEM(BPF_W, BPF_REG_1, BPF_REG_0, 0), "
     "BPF_ALU64_REG(BPF_ADD, BPF_REG_0, BPF_REG_1),\n    BPF_LDX_MEM(BPF_DW, BPF_REG_3, BPF_REG_0, 0), " + LEAVE,
     ".fixup_map_hash_48b = {{ 3 }}, ",
     {"result": "REJECT", "errstr": "unbounded memory", "errstr_unpriv": "unbounded\tprohibited for !root"}),
    ("div: by zero",
     "BPF_MOV64_IMM(BPF_REG_0, {n}), BPF_ALU64_IMM(BPF_DIV, BPF_REG_0, 0), BPF_EXIT_INSN(),", "",
     {"result": "REJECT", "errstr": "div by zero"}),
    ("arithmetic: a product", "BPF_MOV64_IMM(BPF_REG_0, {n}), BPF_ALU64_IMM(BPF_MUL, BPF_REG_0, 6), BPF_EXIT_INSN(),", "",
     {"result": "ACCEPT", "retval": "6 * {n}"}),
]  # fmt: skip

# What verifiers have said: the lines of a refusal, and pieces of them in their order
REFUSALS: Final[list[tuple[list[str], list[str]]]] = [
    (["invalid access to packet, off=0 size=1, R2(id=0,off=0,r=0)", "R2 offset is outside of the packet"],
     ["invalid access to packet", "outside of the packet"]),
    (["invalid access to map value, value_size=48 off=44 size=8", "R0 min value is outside of the allowed memory range"],
     ["value_size=48", "allowed memory range"]),
    (["R0 unbounded memory access, make sure to bounds check any such access",
      "R0 pointer arithmetic of map value goes out of range, prohibited for !root"],
     ["unbounded memory access", "prohibited for !root"]),
    (["attempt to corrupt spilled pointer on stack"], ["corrupt spilled", "stack"]),
]  # fmt: skip


def spoiled(random: Random, fields: Fields) -> Fields:
    """The fields of a test, sometimes with an expectation that is wrong."""
    made, how = dict(fields), random.randrange(6)
    key = random.choice([k for k in made if k.startswith("errstr")] or ["result"])
    if how == 0 and "\t" in made[key]:
        made[key] = "\t".join(reversed(made[key].split("\t")))
    elif how == 1 and key != "result":
        made[key] = made[key].replace("r", "R")
    elif how == 2:
        made.pop("result_unpriv", None)
    elif how == 3:
        made["result_unpriv"] = made["result"]
    return made


def written(test: tuple[str, str, str, Fields], fields: Fields, n: int, d: int) -> str:
    """A test as the kernel writes it, with two numbers put in."""
    name, insns, more, _ = test
    said = ", ".join(f'.{key} = "{value}"' if key.startswith("errstr") else f".{key} = {value}"
                     for key, value in fields.items()).replace("\t", "\\t")
    body = insns.format(n=n, d=d).strip()
    return f'{{\n    "{name}",\n    .insns = {{ {body} }},\n    {more.format()}{said.format(n=n)},\n}},'


def table(random: Random, size: int = 4) -> str:
    """Some tests, with expectations of which some are wrong."""
    return "\n".join(written(test, spoiled(random, test[3]), random.randrange(1, 99), random.randrange(1, 8))
                     for test in random.sample(TESTS, size))


def whole_table(n: int, d: int) -> str:
    """All tests, with the right expectations."""
    return "\n".join(written(test, test[3], n, d) for test in TESTS)


def agreement(text: str) -> list[str]:
    """Every test of a table for root and for others: has it passed?"""
    lines: list[str] = []
    for test in selftests.read_text(text):
        for unprivileged in (False, True):
            answer = selftests.ask_ours(test, privileged=not unprivileged)
            good = selftests.as_expected(test, answer, unprivileged)
            lines.append(f"{'unprivileged' if unprivileged else 'root':12} {'as expected' if good else 'DIFFERENT':11} "
                         f"{test.name}: {answer.verdict}")
    return lines


def _passed(answer: Any, test: Any, said: Any, unprivileged: bool) -> bool:
    found = answer(test, said, unprivileged)
    if not isinstance(found, bool):
        raise Failed(f"passed returns True or False, this is {found!r}"[:200])
    return found


def _passed_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "program" not in case:
        return [_passed(answer, dict(one["test"]), dict(one["answer"]), one["unprivileged"]) for one in case["asked"]]

    def step(test: selftests.Selftest, said: selftests.Answer, unprivileged: bool = False) -> bool:
        expectation = {"result": test.expected, "errstr": list(test.message), "result_unpriv": test.expected_unpriv,
                       "errstr_unpriv": list(test.message_unpriv)}  # fmt: skip
        return _passed(answer, expectation, {"verdict": said.verdict, "messages": list(said.messages)}, unprivileged)

    return inside("bpfbench.kernel.selftests.as_expected", step, lambda: agreement(case["program"]))


def _rule(own: bool = True, silent: bool = True, apart: bool = True, words: bool = True, order: bool = True,
          lines: bool = True, always: bool = False) -> Any:  # fmt: skip
    """passed with one thing wrong; without options, the reference."""

    def rule(test: Any, answer: Any, unprivileged: bool) -> bool:
        result, pieces = test["result"], test["errstr"]
        if unprivileged and own:
            result = test["result_unpriv"] or (result if silent else "")
            whole = apart or not test["result_unpriv"]
            pieces = test["errstr_unpriv"] or (pieces if silent and whole else [])
        if answer["verdict"] != result or not words:
            return bool(answer["verdict"] == result)
        if result == "accept" and not always:
            return True
        text, at = "\n".join(answer["messages"] if lines else answer["messages"][-1:]), 0
        for piece in pieces:
            at = text.find(piece, at if order else 0)
            if at < 0:
                return False
            at += len(piece)
        return True

    return rule


def question(refusal: list[str], result: str, errstr: list[str], result_unpriv: str = "",
             errstr_unpriv: tuple[str, ...] = (), unprivileged: bool = False) -> dict[str, Any]:  # fmt: skip
    """One test and one answer: the lines of a refusal, or none from who accepts."""
    test = {"result": result, "errstr": errstr, "result_unpriv": result_unpriv, "errstr_unpriv": list(errstr_unpriv)}
    answer = {"verdict": "reject" if refusal else "accept", "messages": refusal}
    return {"test": test, "answer": answer, "unprivileged": unprivileged}


def passed_cases(random: Random) -> list[Any]:
    """Small cases of three questions, each a way to misread a table, and two tables."""
    made: list[Any] = []
    for said, pieces in random.sample(REFUSALS, 3):
        first, last = pieces
        other = random.choice([p for _, p in REFUSALS if p is not pieces])[0]
        one = random.choice([first, other])
        made.append({"asked": [question(said, "reject", pieces), question(said, "reject", [last, first]),
                               question(said, "accept", [], "reject", (last,), True)]})
        made.append({"asked": [question(said, "reject", [first, other]),
                               question(said, "reject", [first], unprivileged=True),
                               question(said, "accept", [one], "reject", (), True)]})
        made.append({"asked": [question([], "accept", [first], "reject"),
                               question(said, "reject", [other], "", (first,), random.random() < 0.5),
                               question([], "reject", [first], random.choice(["accept", "reject"]), (), True)]})
    return [*made, *({"program": table(random)} for _ in range(3))]


def draw_passed(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    at = next((i for i, (w, g) in enumerate(zip(wanted, got, strict=True)) if w != g), 0)
    test, answer, unprivileged = (case["asked"][at][key] for key in ("test", "answer", "unprivileged"))
    rows = [f"  {key:13} {test[key] if key.startswith('result') else ', then '.join(map(repr, test[key]))}"
            for key in ("result", "errstr", "result_unpriv", "errstr_unpriv")]
    rows += [f"  {'unprivileged' if unprivileged else 'root'}: {answer['verdict']}"]
    rows += [f"      {line}" for line in answer["messages"]]
    return "\n".join([*(row.rstrip() for row in rows), f"  passed: expected {wanted[at]}, got {got[at]}"])


_HERE: Final = "bpfbench.course.exercises.selftests."

EXERCISES: Final = [
    Exercise("selftest-passed", "passed", "When has a test passed?", 2, 4, "11 the kernel's own tests", "20, 21",
             public=passed_cases(Random(49)), more=passed_cases, attempt=_passed_attempt,
             expected=lambda case: _passed_attempt(_rule(), case), draw=draw_passed,
             mistakes=(("unprivileged processes have expectations of their own, where the table gives any",
                        as_if(_passed_attempt, _rule(own=False))),
                       ("where the table says nothing for unprivileged processes, what it says for root holds",
                        as_if(_passed_attempt, _rule(silent=False))),
                       ("verdict and words are asked for apart: errstr holds where errstr_unpriv is empty, also if there "
                        "is a result_unpriv", as_if(_passed_attempt, _rule(apart=False))),
                       ("the right verdict for another reason is no success: look for the words",
                        as_if(_passed_attempt, _rule(words=False))),
                       ("each piece has to stand behind the one before it", as_if(_passed_attempt, _rule(order=False))),
                       ("the words may be in any line of the messages", as_if(_passed_attempt, _rule(lines=False))),
                       ("who is accepted need not say anything: the words are for refusals",
                        as_if(_passed_attempt, _rule(always=True)))),
             seals=("bpfbench.kernel.selftests.as_expected", "bpfbench.kernel.selftests._in_order", _HERE + "_rule")),
]  # fmt: skip
