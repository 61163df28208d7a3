"""The micro-engine: a code store, local memory, four contexts, and the clock.

    fetch -> decoded once -> run -> slots of a branch or swap -> next pc        one instruction a cycle
    swap: the context sleeps until memory answers, another one runs             a lone context waits

Memory latencies are in cycles of the engine and *chosen*: nobody has published measurements for the BPF firmware.  What
a count of cycles is good for is to compare two translations of one program.

A *hook* stands for firmware at an address: a function that is called when a context arrives there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, final

from bpfbench.errors import ExecuteError, Hazard, MachineError, Where
from bpfbench.execute import nfp_arith, nfp_commands, nfp_fields, nfp_flow
from bpfbench.execute.nfp_arith import Run
from bpfbench.execute.nfp_operands import Operands, Place
from bpfbench.execute.nfp_state import CONTEXTS, LOCAL_WORDS, Bus, Context
from bpfbench.machine import nfp
from bpfbench.trace import Trace

DEFAULT_CYCLES: Final = 10_000_000
Hook = Callable[[Context], None]

FORMATS: Final[dict[str, Callable[[dict[str, int], Operands], Run]]] = {
    "cmd": nfp_commands.command,
    "alu_shf": nfp_arith.alu_shf,
    "alu": nfp_arith.alu,
    "immed": nfp_fields.immed,
    "ld_field": nfp_fields.ld_field,
    "ctx_arb": nfp_flow.arbitrate,
    "local_csr": nfp_fields.local_csr,
    "br": nfp_flow.br,
    "br_byte": nfp_flow.br_byte,
    "br_bit": nfp_flow.br_bit,
    "br_alu": nfp_flow.br_alu,
    "mul_step": nfp_fields.mul_step,
}


@final
class Decoded:
    """One instruction: what it does, and where its result goes."""

    __slots__ = ("run", "name", "places")

    def __init__(self, run: Run, name: str, places: list[Place]) -> None:
        self.run = run
        self.name = name
        self.places = places


@lru_cache(maxsize=1 << 15)
def decode(word: int) -> Decoded:
    """What a word does, for any context; MachineError when it is no instruction, or one that is not simulated."""
    row = nfp.format_of(word)
    operands = Operands(row.unpack(word))
    run = FORMATS[row.name](operands.f, operands)
    return Decoded(run, row.name, operands.places)


@final
class CodeStore:
    """The instructions of an engine, decoded when they are reached for the first time; engines can share it.

    `before`  functions that look at a context when it arrives at an instruction (it is executed all the same)
    """

    __slots__ = ("words", "decoded", "before")

    def __init__(self) -> None:
        self.words = [-1] * nfp.CODE_STORE
        self.decoded: list[Decoded | None] = [None] * nfp.CODE_STORE
        self.before: dict[int, Hook] = {}

    def load(self, words: list[int], at: int = 0) -> None:
        """Put protected words there; ExecuteError when one is damaged or there is no room."""
        if at < 0 or at + len(words) > nfp.CODE_STORE:
            raise ExecuteError(f"{len(words)} instructions from {at} on exceed the code store of {nfp.CODE_STORE}")
        for number, word in enumerate(words, at):
            try:
                self.words[number] = nfp.check(word)
            except MachineError as error:
                raise ExecuteError(f"NFP {error.message}", Where(pc=number)) from None
            self.decoded[number] = None

    def fetch(self, c: Context) -> Decoded:
        """The instruction at the context's pc, decoded."""
        if not 0 <= c.pc < nfp.CODE_STORE or self.words[c.pc] < 0:
            raise c.hazard("pc", "nothing was loaded there, and no firmware is there")
        try:
            found = decode(self.words[c.pc])
        except MachineError as error:
            raise c.hazard("not simulated", error.message) from None
        look = self.before.get(c.pc)
        if look is not None:
            found = Decoded(_looked_at(look, found.run), found.name, found.places)
        self.decoded[c.pc] = found
        return found


def _looked_at(look: Hook, run: Run) -> Run:
    def both(c: Context) -> None:
        look(c)
        run(c)

    return both


@final
class Engine:
    """A micro-engine with memory behind it.

    >>> from bpfbench.machine.nfp import protect
    >>> from bpfbench.machine.nfp_assembler import assemble
    >>> engine = Engine()
    >>> engine.load([protect(assemble(text)) for text in ("immed[gprA_0, 0x7]", "ctx_arb[kill]")])
    >>> engine.run(); engine.contexts[0].a[0]
    7
    """

    def __init__(self, bus: Bus | None = None, contexts: int = 1, store: CodeStore | None = None) -> None:
        self.bus = bus if bus is not None else NoMemory()
        self.store = store if store is not None else CodeStore()
        self.local = [0] * LOCAL_WORDS
        self.hooks: dict[int, Hook] = {}
        if not 1 <= contexts <= CONTEXTS:
            raise ExecuteError(f"an engine has 1 to {CONTEXTS} contexts, not {contexts}")
        self.contexts = [Context(number, self.local, self.store.words, self.bus) for number in range(contexts)]
        self.trace: Trace | None = None
        self.budget = DEFAULT_CYCLES

    def load(self, words: list[int], at: int = 0) -> None:
        """Put protected words into the code store; ExecuteError when one is damaged or there is no room."""
        self.store.load(words, at)

    # --------------------------------------------------------------------------------------------------- one instruction
    def step(self, c: Context) -> bool:
        """Execute one instruction, or the firmware at this address; False when the context has to wait or has ended."""
        pc = c.pc
        if pc in self.hooks and c.branch is None and c.swap is None:
            self.hooks[pc](c)
            return not c.ended
        row = self.store.decoded[pc] if 0 <= pc < nfp.CODE_STORE else None
        if row is None:
            row = self.store.fetch(c)
        if c.csr_read is not None and row.name != "immed":
            raise c.hazard("csr read", "the instruction behind local_csr_rd has to be the immed that takes the value")
        if self.trace is None:
            row.run(c)
        else:
            self._traced(c, row)
        c.executed += 1
        c.cycle += 1
        if c.branch is None and c.swap is None:
            c.pc = pc + 1
            return True
        return self._slots(c)

    def _slots(self, c: Context) -> bool:
        """A branch or a swap is under way: count its slots, and follow it after the last."""
        c.pc += 1
        if c.branch is not None:
            if c.slots:
                c.slots -= 1
            else:
                c.pc = c.branch if c.branch >= 0 else c.pc
                c.cycle += c.bubbles
                c.dead += c.bubbles
                c.branch = None
            return True
        if c.swap:
            c.swap -= 1
            return True
        phase, c.swap = c.command, None
        assert phase is not None
        c.ready = c.cycle + phase(c)
        return False

    # ------------------------------------------------------------------------------------------------------- running
    def run(self, c: Context | None = None) -> None:
        """Run one context (the first) alone until it ends."""
        c = c if c is not None else self.contexts[0]
        while not c.ended:
            while self.step(c):
                if c.cycle > self.budget:
                    raise ExecuteError(f"the NFP program did not end within {self.budget} cycles", Where(pc=c.pc))
            if c.ready > c.cycle:
                c.waited += c.ready - c.cycle
                c.cycle = c.ready

    def run_all(self) -> int:
        """Run all contexts, one after the other as they wait for memory; the cycle in which the last one ends."""
        clock, turn = 0, 0
        alive = [c for c in self.contexts if not c.ended]
        while alive:
            c = next((c for c in alive[turn:] + alive[:turn] if c.ready <= clock), None)
            if c is None:
                clock = min(c.ready for c in alive)
                continue
            turn = alive.index(c) + 1
            c.waited += clock - c.cycle
            c.cycle = clock
            while self.step(c):
                if c.cycle > self.budget:
                    raise ExecuteError(f"the NFP program did not end within {self.budget} cycles", Where(pc=c.pc))
            clock = c.cycle
            if c.ended:
                alive.remove(c)
                turn = 0
        return clock

    # ------------------------------------------------------------------------------------------------------- events
    def _traced(self, c: Context, row: Decoded) -> None:
        """Execute and record: text, registers written, memory, condition codes, cycle."""
        assert self.trace is not None
        pc, text, before = c.pc, c.text, list(c.xin)
        where = [(kind, n, c.word_at(n, off) if kind == "local" else n) for kind, n, off in row.places]
        c.touched = None
        try:
            row.run(c)
        except Hazard as hazard:
            self.trace.add("hazard", c.cycle, pc, {"text": text, "message": hazard.message})
            raise
        written: dict[str, int] = {}
        for kind, _, at in where:
            name = {"A": "gprA_", "B": "gprB_", "out": "out$xfer_", "local": "lm_"}[kind]
            written[f"{name}{at}"] = {"A": c.a, "B": c.b, "out": c.xout, "local": c.local}[kind][at]
        values: dict[str, object] = {"text": text, "context": c.number, "cycle": c.cycle, "written": written,
                                     "codes": codes(c)}  # fmt: skip
        if c.swap is not None and c.command is not None and row.name == "cmd":
            c.command = self._watched(c.command, values, before)
        self._memory(c, values, before)
        self.trace.add("insn", c.executed, pc, values)

    def _watched(
        self, phase: Callable[[Context], int], values: dict[str, object], before: list[int]
    ) -> Callable[[Context], int]:
        """The same data phase, which also completes the event of its command."""
        def watched(c: Context) -> int:
            waits = phase(c)
            self._memory(c, values, before)
            values["waits"] = waits
            return waits

        return watched

    @staticmethod
    def _memory(c: Context, values: dict[str, object], before: list[int]) -> None:
        if c.touched is not None:
            kind, address, content = c.touched
            values["memory"] = f"{kind} {address:#x} {content.hex()}"
            written = values["written"]
            assert isinstance(written, dict)
            written |= {f"$xfer_{n}": new for n, (old, new) in enumerate(zip(before, c.xin, strict=True)) if old != new}


def codes(c: Context) -> str:
    """The condition codes, set ones in upper case, undefined ones as "?"."""
    return "".join("?" if value is None else name.upper() if value else name
                   for name, value in (("n", c.n), ("z", c.z), ("v", c.v), ("c", c.c)))  # fmt: skip


@final
class NoMemory:
    """An engine alone: every command is an error."""

    def read(self, address: int, size: int) -> bytes:
        raise ExecuteError(f"this engine has no memory to read {size} bytes at {address:#x}")

    def write(self, address: int, content: bytes) -> None:
        raise ExecuteError(f"this engine has no memory to write {len(content)} bytes at {address:#x}")

    def latency(self, address: int, size: int) -> int:
        return 0
