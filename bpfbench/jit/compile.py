"""The public entry points: a program, or a line of a recording, to native code.

    program -> partition -> facts -> check -> two rounds of compile_function -> Code

`compile_program` is `bb.jit`.  `jit_record` compiles what a recording's kernel JIT was given (`xlated`), as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from bpfbench.collector import paused
from bpfbench.errors import BpfbenchError, UsageError
from bpfbench.isa import ops
from bpfbench.isa.codec import decode
from bpfbench.isa.insn import Instruction
from bpfbench.jit.check import check, check_jumps
from bpfbench.jit.code import Code
from bpfbench.jit.facts import TAIL_CALL, Facts, direct_depth, estimate
from bpfbench.jit.features import features_of
from bpfbench.jit.link import Linkage, compile_all, join, units
from bpfbench.jit.partition import Function, partition
from bpfbench.jit.targets import NFP, target_class, target_name
from bpfbench.profiles import profile
from bpfbench.program.program import Program

RECORDED_TYPE = "socket_filter"         # what recordings that name no type were loaded as
PRIVATE_STACK_MIN = 64
PRIVATE_STACK_TYPES = ("kprobe", "tracepoint", "perf_event", "raw_tracepoint")


def compile_program(
    prog: Program, target: str = "x86_64", kernel: str = "linux-6.18", verification: object = None,
    facts: Facts | None = None, features: dict[str, bool] | None = None, rewritten: bool = False,
    addresses: dict[str, int] | None = None, fault: str = "", without: tuple[str, ...] = (),
) -> Code:  # fmt: skip
    """Native code for `prog` as the JIT of `kernel` on `target` emits it.

    `verification`  a `Verification` of the program: marks the code as verified and supplies the facts
    `facts`         overrides what is known about stack and tail calls
    `features`      changes to the processor and configuration features of the profile, see `features.py`
    `rewritten`     the program has been through the kernel's rewriting (helper numbers are call offsets)
    `addresses`     addresses of kernel symbols, where the code's form depends on them
    `fault`         compile as before the fix of a published bug (`history.py`); never the right code
    `without`       target nfp: names of passes that are left out (nfp/passes.py)
    Raises JitError or NotSupported naming the instruction.

    >>> from bpfbench.program.program import from_assembly
    >>> compile_program(from_assembly("r0 = 2\\nexit"), features={"return_thunk": False, "sls": False}).bytes.hex(" ")
    '0f 1f 44 00 00 0f 1f 00 55 48 89 e5 b8 02 00 00 00 c9 c3'
    """
    if target_name(target) == NFP:
        return for_the_card(prog, kernel, fault, features, without)
    if without:
        raise UsageError(f"target {target} has no passes that can be left out")
    return compile_insns(
        prog.insns, target, kernel, verification, facts, features, rewritten, addresses, dict(prog.symbols), prog.type,
        fault,
    )  # fmt: skip


def for_the_card(
    prog: Program, kernel: str, fault: str = "", features: dict[str, bool] | None = None, without: tuple[str, ...] = ()
) -> Code:
    """Code for the NFP, which has a generator of its own; its `NfpCode` answers what a `Code` answers."""
    from bpfbench.jit.nfp import OWN, compile_nfp

    if kernel != OWN:
        profile(kernel)
    if fault or features:
        raise UsageError("target nfp has no features and no published faults to choose")
    return cast(Code, compile_nfp(prog, kernel, without))


def recorded_for_the_card(record: Mapping[str, Any], prog: Program, kernel: str) -> Code:
    """The same from a recording of the driver, with what it says of each instruction, the card and its maps."""
    from bpfbench.jit.nfp import compile_notes
    from bpfbench.nfp.notes import device_from, notes_from

    try:
        notes, device = notes_from(record["annotations"]), device_from(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the recording's 'annotations' or 'config' is not as it should be: {error}") from None
    if len(notes) != len(prog.insns):
        raise UsageError(f"{len(notes)} annotations for {len(prog.insns)} slots")
    return cast(Code, compile_notes(prog.insns, notes, device, kernel))


def compile_insns(
    insns: list[Instruction | None], target: str, kernel: str, verification: object = None, facts: Facts | None = None,
    features: dict[str, bool] | None = None, rewritten: bool = False, addresses: dict[str, int] | None = None,
    names: dict[str, int] | None = None, prog_type: str = "", fault: str = "",
) -> Code:  # fmt: skip
    """`compile_program` on slot-indexed instructions."""
    chosen = target_class(target)
    if fault:
        from bpfbench.jit.history import faulty_class

        chosen = faulty_class(chosen.name, fault)
    version = profile(kernel).version
    switched = features_of(chosen.name, kernel, features)
    check(insns)
    functions = partition(insns, rewritten, names)
    check_jumps(insns, functions)
    if facts is None:
        facts = facts_from(verification, insns, functions, rewritten) or estimate(insns, functions, rewritten)
    if private_stack_supported(chosen.name, version, prog_type, facts):
        facts.private_stack = [depth >= PRIVATE_STACK_MIN for depth in facts.stack_depth]
    if len(facts.stack_depth) != len(functions):
        raise UsageError(f"facts are about {len(facts.stack_depth)} functions, the program has {len(functions)}")
    with paused():
        made = [chosen(u, switched, version) for u in units(insns, functions, facts)]
        for t in made:
            t.addresses = addresses or {}
        linkage = Linkage()
        spans = compile_all(made, linkage)
        return join(made, spans, functions, kernel, insns, accepted(verification), linkage)


def private_stack_supported(target: str, kernel: tuple[int, int], prog_type: str, facts: Facts) -> bool:
    """Do functions with much stack get a stack of their own?  `bpf_enable_priv_stack`, `check_max_stack_depth`."""
    able = target == "x86_64" and kernel >= (6, 13)
    return able and prog_type in PRIVATE_STACK_TYPES and not any(facts.tail_call_reachable)


def accepted(verification: object) -> bool:
    return bool(getattr(verification, "accepted", False))


def facts_from(
    verification: object, insns: list[Instruction | None], functions: list[Function], zext: bool
) -> Facts | None:
    """The facts that a `Verification` holds; None without one, or when it is about another function partition.

    Read by name, because a code generator does not import the verifier: `stats.stack_depths` per function, and for each
    tail call `walk.aux[pc]`: one map (`map_of_call`, not `map_poisoned`) and one constant index (`map_key` >= 0).
    """
    if verification is None or not accepted(verification):
        return None
    depths = live_depths(verification)
    if len(depths) != len(functions):
        return None
    facts = estimate(insns, functions, zext)
    # rewriting may use stack of its own (inlined bpf_loop, may_goto), so what the instructions touch counts too
    facts.stack_depth = [max(a, direct_depth(insns, f)) for a, f in zip(depths, functions)]
    facts.pokes = direct_tail_calls(verification, insns)
    return facts


def live_depths(verification: object) -> list[int]:
    """Stack depths of the functions that rewriting keeps: those that some path entered."""
    subprogs = getattr(getattr(verification, "walk", None), "subprogs", None)
    seen = getattr(getattr(verification, "walk", None), "seen", None)
    if subprogs is None or seen is None:
        return list(getattr(getattr(verification, "stats", None), "stack_depths", None) or [])
    return [s.stack_depth for s in subprogs if s.start < len(seen) and seen[s.start]]


def direct_tail_calls(verification: object, insns: list[Instruction | None]) -> list[int]:
    """Slots of tail calls that the kernel patches.  Rewriting moves instructions but keeps their order."""
    program = getattr(verification, "program", None)
    walk = getattr(verification, "walk", None)
    aux, seen = getattr(walk, "aux", None), getattr(walk, "seen", None)
    if program is None or aux is None or seen is None:
        return []
    flags: list[bool] = []
    for pc, insn in enumerate(program.insns):
        if is_tail_call(insn) and seen[pc]:
            flags.append(aux[pc].map_key >= 0 and not aux[pc].map_poisoned)
    slots = [pc for pc, insn in enumerate(insns) if is_tail_call(insn)]
    return [pc for pc, flag in zip(slots, flags) if flag] if len(slots) == len(flags) else []


def is_tail_call(insn: Instruction | None) -> bool:
    return insn is not None and insn.kind == ops.CALL and insn.imm == TAIL_CALL


def jit_record(
    record: Mapping[str, Any], target: str, kernel: str, verify: Callable[..., object] | None = None,
    features: dict[str, bool] | None = None,
) -> Code:  # fmt: skip
    """Compile a line of a recording: `xlated` as it stands, with the facts from verifying `insns`.

    Without `xlated` the program's own instructions are compiled.  `verify` is a function like `bb.verify`; without one
    the facts are read off the instructions.  Raises BpfbenchError naming what is wrong with the record.
    """
    if not isinstance(record, Mapping):
        raise UsageError("a record must be a JSON object")
    prog = Program.from_json({"prog_type": RECORDED_TYPE, **record} if "xlated" in record else record)
    text = record.get("xlated")
    if target_name(target) == NFP:
        return recorded_for_the_card(record, prog, kernel) if "annotations" in record else for_the_card(
            prog, kernel, "", features)  # fmt: skip
    if text is None:
        return compile_program(prog, target, kernel, verify(prog, kernel=kernel) if verify else None, features=features)
    try:
        raw = bytes.fromhex(text)
    except (ValueError, TypeError):
        raise UsageError("'xlated' is not hex") from None
    insns = decode(raw, internal=True)
    functions = partition(insns, True)
    facts = record_facts(prog, insns, functions, kernel, verify)
    return compile_insns(insns, target, kernel, None, facts, features, True, prog_type=prog.type)


def record_facts(
    prog: Program, insns: list[Instruction | None], functions: list[Function], kernel: str,
    verify: Callable[..., object] | None,
) -> Facts:  # fmt: skip
    """Stack depths come from the program as it was loaded: rewriting may have removed the access that set them."""
    facts = estimate(insns, functions, zext_inserted=True)
    if verify is not None:
        found = facts_from(verify(prog, kernel=kernel), insns, functions, True)
        if found is not None:
            return found
    try:
        original = partition(prog.insns, False)
        loaded = estimate(prog.insns, original, True)
    except BpfbenchError:
        return facts
    if len(loaded.stack_depth) == len(facts.stack_depth):
        facts.stack_depth = [max(a, b) for a, b in zip(facts.stack_depth, loaded.stack_depth)]
    return facts
