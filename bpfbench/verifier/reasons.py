"""What the verifier knew and what it wanted, for every message it has: a table.

Each row is a message of the kernel as a pattern and two sentences with blanks.  The blanks are filled with what the
message names and with what the case knows:

    {insn}      the refused instruction, {Insn} at the beginning of a sentence
    {r} {is}    the register the message names (or the instruction goes through), and what it holds, in words
    {helper}    the function that is called       {type}   the program's type
    others      groups of the pattern, and what the row's own function (reason_facts.py) adds

Rows are tried in order against the last message.  Where a sentence needs a computation it is a function with the name
of the fact in reason_facts.py; the rest is this table.

Sources: kernel/bpf/verifier.c, every `verbose()` that ends in a refusal; the conditions around it.
"""

from __future__ import annotations

import re
from typing import Final, final

from bpfbench.verifier import reason_calls as calls
from bpfbench.verifier import reason_facts as facts
from bpfbench.verifier import reason_memory as memory
from bpfbench.verifier.case import Case
from bpfbench.verifier.reason_facts import Filler

N: Final = r"-?\d+"
NOTHING: Final[Filler | None] = None


@final
class Row:
    """One message and its sentences."""

    __slots__ = ("pattern", "knew", "wanted", "fix", "add")

    def __init__(self, pattern: str, knew: str, wanted: str, fix: str = "", add: Filler | None = None) -> None:
        self.pattern = re.compile(pattern, re.DOTALL)
        self.knew = knew
        self.wanted = wanted
        self.fix = fix
        self.add = add


@final
class Reason:
    """A filled row; `facts` are the values that went into it."""

    __slots__ = ("knew", "wanted", "fixes", "facts", "specific")

    def __init__(self, knew: str, wanted: str, fixes: list[str], facts: dict[str, str], specific: bool) -> None:
        self.knew = knew
        self.wanted = wanted
        self.fixes = fixes
        self.facts = facts
        self.specific = specific


R: Final = r"R(?P<reg>\d+)"

ROWS: Final[list[Row]] = [
    # Shape of the program ---------------------------------------------------------------------------------------------
    Row(r"unreachable insn (?P<to>\d+)", "No path leads to {to_at}: {above}.",
        "that every instruction can be reached from the beginning of its function",
        "Remove instruction {to}, or jump to it.", facts.above),
    Row(rf"jump out of range from insn (?P<from>\d+) to (?P<to>{N})",
        "{From_at} jumps to {to}, but its function has the instructions {first} to {end}.",
        "a target between {first} and {end}", "Correct the distance of the jump at {from}, which counts from {next}.",
        facts.function_of_jump),
    Row(r"jump into the middle of ldimm64 insn ?(?P<to>\d+)|jump to reserved code from insn (?P<from>\d+)",
        "{jumper}Slot {to} is the second half of {wide}, which holds data.",
        "a jump to the first slot of the wide load or behind it", "Change the distance of the jump by one.",
        facts.into_wide),
    Row(r"last insn is not an exit or jmp", "{tail}", "an exit or an unconditional jump at the end of every function",
        "Append `exit` (with r0 set before).", facts.open_end),
    Row(r"back-edge from insn (?P<from>\d+) to (?P<to>\d+)",
        "{From_at} jumps back to {to_at}, which is a loop: {to} to {from}.",
        "no loops, because {loop_rule}", "Unroll the loop, or load with CAP_BPF on Linux 5.3 or newer.",
        facts.back_edge),
    Row(r"infinite loop detected at insn (?P<to>\d+)",
        "A path came back to {to_at} and nothing that matters had changed: {regs}.",
        "a round of the loop that {test}", "{counter} a counter that the verifier can follow (in a register or on the "
        "stack), with a constant limit.",
        facts.loop_state),
    Row(r"call to invalid destination", "{callers}", "a call to an instruction of the program (0 to {end})",
        "Correct the distance of the call.", facts.wild_call),
    Row(r"too many subprograms", "The program has {count} functions.", "at most 256 functions", "", facts.counted),
    Row(r"the call stack of (?P<frames>\d+) frames is too deep ?!?", "{chain}",
        "at most eight frames at a time; this would be number {frames}",
        "Flatten the calls: inline functions, or end the recursion.", facts.call_chain),
    Row(r"combined stack size of (?P<frames>\d+) calls is (?P<size>\d+)\. Too large",
        "A chain of {frames} functions that call each other needs {size} bytes of stack together: {use}.",
        "at most 512 bytes", "Save {over} bytes: move arrays into a per-CPU map.",
        facts.stack_use),
    Row(r"stack size of subprog (?P<number>\d+) is (?P<size>\d+)\. Too large",
        "Function {number} alone needs {size} bytes of stack: {use}.", "at most 512 bytes", "Save {over} bytes.",
        facts.stack_use),
    Row(r"tail_calls are not allowed when call stack of previous frames is (?P<size>\d+) bytes\. Too large",
        "The frames below the function with the tail call use {size} bytes of stack: {use}.",
        "at most 256 bytes below a function that makes tail calls", "", facts.stack_use),
    Row(r"The sequence of (?P<count>\d+) jumps is too complex.*|BPF program is too complex",
        "{count} paths were waiting to be walked when {insn} forked once more; {hot}.",
        "at most 8192 paths waiting at a time", "Make branches merge: {merge}.", facts.forks),
    Row(r"BPF program is too large(\. Processed (?P<count>\d+) insn)?.*|Processed (?P<count2>\d+) insn.*",
        "{count} instructions were processed and the walk was at {insn}; {hot}.",
        "an end of the walk within 1000000 processed instructions",
        "Shorten what is walked most: {merge}.", facts.forks),

    # Single instructions ----------------------------------------------------------------------------------------------
    Row(r"unknown opcode (?P<code>\w+)", "{Flawed_at} has the opcode byte 0x{code}, which is no instruction here.",
        "an opcode that this kernel knows", "", facts.opcode),
    Row(r"invalid BPF_ALU opcode (?P<code>\w+)|invalid BPF_JMP/JMP32 opcode (?P<code2>\w+)|unknown insn class (?P<c>.*)"
        r"|invalid BPF_LD mode|BPF_ATOMIC uses invalid atomic opcode (?P<code3>\w+)",
        "{Flawed_at} names an operation that does not exist ({bytes}).", "an operation that this kernel knows", "",
        facts.opcode),
    Row(r"BPF_(?P<op>\S+?):? uses reserved fields|invalid may_goto (?P<what>.*)|(?P<cast>addr_space_cast insn can.*)",
        "{Flawed_at} has {field}, in a field that means nothing in this instruction.",
        "zero in every field that the instruction does not use", "", facts.reserved_field),
    Row(r"div by zero", "{Insn} divides {dst}, which is {dst_is}, by the constant 0.", "a divisor other than 0"),
    Row(rf"invalid shift (?P<by>{N})", "{Insn} shifts {dst} by {by}, but {dst} is taken as {bits} bits here.",
        "a shift by 0 to {most}", "Shift by at most {most}, or use the other width.", facts.shift),
    Row(r"invalid bpf_ld_imm64 insn|unrecognized bpf_ld_imm64 insn", "{Flawed_at} is the first half of a wide load "
        "({bytes}), and {half}.", "two slots: the first with a known source, the second empty but for its immediate",
        "", facts.half_load),
    Row(r"invalid atomic operand size", "{Insn} works on {bits} bits.", "an operand of 32 or 64 bits", "",
        facts.opcode),
    Row(r"R(?P<number>\d+) is invalid", "{Flawed_at} names r{number} ({bytes}).", "a register from r0 to r10", "",
        facts.opcode),
    Row(r"frame pointer is read only", "{Insn} would change r10.", "r10 as it is: the address of the frame",
        "Copy it first (`r2 = r10`), and change the copy."),
    Row(rf"fd (?P<fd>{N}) is not pointing to valid bpf_map|fd_idx without fd_array is invalid",
        "{map_load} refers to descriptor {fd}, which is no map.", "the descriptor of a map", "", facts.map_load),
    Row(r"direct value offset of (?P<off>\d+) is not allowed",
        "{map_load} takes the address {off} bytes into the value.", "an offset below 2^29", "", facts.map_load),
    Row(r"invalid access to map value pointer, value_size=(?P<limit>\d+) off=(?P<off>\d+)",
        "{map_load} takes the address {off} bytes into the value, which has {limit} bytes.",
        "an offset from 0 to {last}", "Use an offset below {limit}.", facts.map_load),
    Row(r"no direct value access support for this map type",
        "{map_load} takes the address of a value of {map}, which has no single value with a fixed address.",
        "an array map (or an arena)", "Look the value up with bpf_map_lookup_elem.", facts.map_load),
    Row(r"only one cgroup storage of each type is allowed", "The program refers to two maps of cgroup storage.",
        "one map of each storage type", "Use one."),

    # Registers --------------------------------------------------------------------------------------------------------
    Row(rf"{R} !read_ok", "{Insn} reads {r}, but on this path {r} holds nothing: {lost}.",
        "that {r} is written before it is read, on every path", "{remedy}", facts.uninitialised),
    Row(rf"{R} 32-bit pointer arithmetic prohibited",
        "{Insn} works on the low 32 bits of {r}, which is {is}.", "64-bit arithmetic on pointers",
        "Write it with r{reg} instead of w{reg}."),
    Row(rf"{R} (partial copy of|sign-extension part of) pointer", "{Insn} takes a part of {r}, which is {is}.",
        "copies of whole pointers, without CAP_PERFMON", "Copy all 64 bits of {r}."),
    Row(rf"{R} bitwise operator (?P<op>\S+) on pointer prohibited", "{Insn} applies {op} to {ptr}, which is {ptr_is}.",
        "only + and - on pointers", "Apply {op} to the offset before it is added to the pointer.",
        facts.pointer_operand),
    Row(rf"{R} pointer arithmetic with (?P<op>\S+) operator prohibited",
        "{Insn} applies {op} to {ptr}, which is {ptr_is}.", "only + and - on pointers",
        "Apply {op} to the offset before it is added to the pointer.", facts.pointer_operand),
    Row(rf"{R} pointer (?P<op>\S+) pointer prohibited",
        "{Insn} combines two pointers: {dst} is {dst_is}, {src} is {src_is}.", "a pointer and a number",
        "Use a number for one of the two; {difference}", facts.two_pointers),
    Row(rf"{R} pointer arithmetic on (?P<kind>\S+) prohibited, null-check it first",
        "{Insn} moves {r}, which is {is}.", "a comparison of {r} with 0 before it is moved",
        "Insert `if r{reg} == 0 goto …` before instruction {pc}.", facts.dst_or_named),
    Row(rf"{R} pointer arithmetic (on (?P<kind>\S+) )?prohibited", "{Insn} moves {ptr}, which is {ptr_is}.",
        "this pointer as it was made; only pointers into memory of the program may be moved",
        "Use {ptr} itself, with the offset in the load or store if it may have one.", facts.pointer_operand),
    Row(rf"{R} tried to subtract pointer from scalar", "{Insn} subtracts {src}, which is {src_is}, from {dst}, which "
        "is {dst_is}.", "a pointer on the left of a subtraction", "{remedy}", facts.subtraction),
    Row(rf"{R} subtraction from stack pointer prohibited", "{Insn} subtracts {src}, which is {src_is}, from {dst}, "
        "which is {dst_is}.", "addition only, when a variable moves a stack pointer", "Negate the number and add it."),
    Row(r"math between (?P<kind>\S+) pointer and register with unbounded min value is not allowed",
        "{Insn} moves {ptr}, which is {ptr_is}, by {num}, which is {num_is}: its smallest value may be {num_min}.",
        "a known lower bound of {num} (and an upper one, for the access that follows)",
        "Before instruction {pc} bound {num}: `if {num} > LIMIT goto …` on an unsigned value, or `{num} &= MASK`.",
        facts.pointer_and_number),
    Row(rf"math between (?P<kind>\S+) pointer and (?P<off>{N}) is not allowed",
        "{Insn} moves {ptr}, which is {ptr_is}, by {off}.", "a distance of less than 2^29 bytes",
        "Use a smaller offset.", facts.pointer_and_number),
    Row(rf"(?P<kind>\S+) pointer offset (?P<off>{N}) is not allowed",
        "{Insn} moves {ptr}, which is {ptr_is}, by {num_is}: an offset of {off}.", "an offset within 2^29",
        "", facts.pointer_and_number),
    Row(rf"value (?P<off>{N}) makes (?P<kind>\S+) pointer be out of bounds",
        "{Insn} moves {ptr}, which is {ptr_is}, by {num}, which is {num_is}: it could be {off} bytes away.",
        "a variable part within 2^29", "Bound {num} first.", facts.pointer_and_number),
    Row(rf"{R} leaks addr as return value", "{Insn} returns r0, which is {is}.", "a number in r0", "Return a number.",
        facts.dst_or_named),
    Row(rf"(At (?P<where>.*?) the register {R} is not a (known|scalar) value \((?P<kind>.*)\)"
        rf"|R(?P<reg2>\d+) not a scalar value)",
        "{Insn} ends with {r}, which is {is}.", "a number in {r}", "Set {r} to a number before instruction {pc}.",
        facts.returned),
    Row(r"cannot return stack pointer to the caller", "{Insn} returns r0, which is {is}, from a function whose frame "
        "is gone afterwards.", "a value that outlives the function", "Return the value itself.", facts.returned),
    Row(rf"(At|In) (?P<where>.*?) the register {R} has (?P<has>.*) should have been (?P<range>.*)",
        "{Insn} ends {where} with {r}, which is {is}.", "{r} {range} for a program of type {type}",
        "Set {r} to a value {range} on this path.", facts.returned),
    Row(r"same insn cannot be used with different pointers",
        "{Insn} goes through {r}, which is {is} on this path and another kind of pointer on another.",
        "the same kind of pointer on every path, because the instruction is rewritten for it",
        "Give each kind its own load.", facts.base_register),
    Row(r"REG INVARIANTS VIOLATION (?P<what>.*)", "The ranges of a register contradict each other after {insn}: {what}.",
        "ranges that some number satisfies"),

    # Memory -----------------------------------------------------------------------------------------------------------
    Row(rf"{R} invalid mem access '(?P<kind>\S+?)_or_null(?P<rest>_?)'", "{Insn} goes through {r}, which is {is}.",
        "a pointer that is known not to be null", "Before instruction {pc}: `if {r} == 0 goto …`{copies}.",
        memory.null_check),
    Row(rf"{R} invalid mem access '(?P<kind>.*)'", "{Insn} uses {r} as an address, but {r} is {is}{since}.",
        "a pointer to memory that the program may touch in {r}", "{remedy}", memory.no_pointer),
    Row(rf"({R} )?cannot write into (?P<kind>\S+)|write to change key R(?P<reg2>\d+) not allowed"
        r"|only read (from (?P<what>\S+) )?is supported|the prog does not allow writes to packet data"
        r"|bpf_\w+\(\) may write into memory pointed by R(?P<reg3>\d+) type=(?P<kind2>.*)",
        "{Insn} writes through {r}, which is {is}{why_read_only}.", "a read, or memory that may be written",
        "", memory.read_only),
    Row(rf"invalid bpf_context access( off=(?P<off>{N}) size=(?P<size>\d+))?",
        "{Insn} {does} {size} bytes at offset {off} of the context, through {r}. {fields}",
        "a {does_noun} of a field that the context of programs of type {type} has, in the size of that field",
        "{remedy}", memory.context_field),
    Row(rf"BPF_(?P<op>\w+) (stores into|loads from) {R} (?P<kind>\S+) is not allowed",
        "{Insn} goes through {r}, which is {is}; {op_words}.", "an ordinary load or store from a register here",
        "Load into a register, change it there, store it with `*(… *)({r} …) = rX`.", memory.store_form),
    Row(rf"dereference of modified (?P<kind>\S+) ptr {R} off=(?P<off>{N}) disallowed",
        "{Insn} uses {r}, which is {is}: it was moved by {off} bytes.", "the pointer as it was handed out",
        "Use a copy from before it was moved, and put {off} into the offset of the access.", NOTHING),
    Row(rf"negative offset (?P<kind>\S+) ptr {R} off=(?P<off>{N}) disallowed",
        "{Insn} uses {r}, which is {is}: it was moved by {off} bytes.", "the pointer as it was handed out",
        "Use a copy from before it was moved.", NOTHING),
    Row(r"variable (?P<kind>\S+) access var_off=(?P<var>.*) disallowed",
        "{Insn} goes through {r}, which is {is}: the offset {var} is not one number.",
        "a constant offset in this kind of memory", "Use constant offsets; choose between them with branches.",
        facts.base_register),
    Row(rf"{R} must have zero offset when passed to release func.*",
        "{helper} gets {r}, which is {is}.", "the very pointer that was acquired, not moved",
        "Keep a copy of the pointer from before it was moved and pass that."),
    Row(rf"{R} (?P<end>\S+) value is outside of the (?P<where>.*)",
        "{Insn} reaches memory through {r}, which is {is}. {access}.",
        "every byte of the access inside the {limit} bytes of the object: 0 <= offset and offset + {size} <= {limit}",
        "{remedy}", memory.outside),
    Row(rf"invalid access to (map value|map key|memory), (value|key|mem)_size=(?P<limit>\d+) off=(?P<off>{N}) "
        rf"size=(?P<size>{N})", "{Insn} reaches memory through {r}, which is {is}. {access}.",
        "every byte of the access inside the {limit} bytes of the object", "{remedy}", memory.outside),
    Row(rf"{R} min value is negative, either use unsigned index or do a if \(index >=0\) check\.",
        "{Insn} reaches memory through {r}, which is {is}. {lowest}.", "{low_wanted}",
        "Use an unsigned type, or check the index for >= 0 before it is added to the pointer.", memory.smallest),
    Row(rf"{R} min value is negative, either use unsigned or 'var &= const'",
        "{helper} takes a size from {r}, which is {is}: it may be {smallest}.", "a size that is never negative",
        "Before instruction {pc}: `{r} &= MASK`, or compare it as unsigned.", memory.smallest),
    Row(rf"{R} unbounded memory access, make sure to bounds check any such access",
        "{Insn} reaches memory through {r}, which is {is}: the offset may be as large as {largest}.",
        "an upper bound of the offset", "Compare the index with a constant before it is added to the pointer.",
        memory.smallest),
    Row(rf"{R} unbounded memory access, use 'var &= const' or 'if \(var < const\)'.*",
        "{helper} takes a size from {r}, which is {is}: it may be as large as {largest}.",
        "a size below 2^29", "Before instruction {pc}: `{r} &= MASK`, or `if {r} > LIMIT goto …`.", memory.smallest),
    Row(rf"{R} unbounded memory access.*", "{Insn} uses {r}, which is {is}.", "an upper bound of {r}",
        "Compare {r} with a constant first.", memory.smallest),
    Row(rf"({R} offset is outside of the packet|invalid access to packet, .*)",
        "{Insn} reaches into the packet through {r}, which is {is}. {access}.",
        "a comparison with data_end, on this path, that proves {need} bytes from the start of this pointer",
        "{remedy}", memory.packet_access),
    Row(r"(?P<way>write into|read from) map forbidden.*",
        "{Insn} would {way_word} a value of a map through {r}, which is {is}{bytes}; the map's flags forbid that.",
        "an access that the map's flags allow", "Create the map without {flag}, or leave the access out.",
        memory.map_flags),
    Row(r"(?P<field>\w+) cannot be accessed directly by load/store|(?P<field2>kptr) .*",
        "{Insn} touches a {field} inside a map's value through {r}, which is {is}.",
        "that only the helpers for a {field} touch it", "Go around the field, or use its helper.",
        facts.base_register),
    Row(r"misaligned (?P<what>\w* ?)access off (?P<sum>.*) size (?P<size>\d+)",
        "{Insn} accesses {size} bytes at {where}, which {multiple} of {size}; {r} is {is}.",
        "an address that is a multiple of {size} ({why})", "{remedy}", memory.alignment),
    Row(r"'struct (?P<name>\S+)' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
        "{Insn} reads struct {name} of the kernel through {r}, which is {is}, without CAP_PERFMON.",
        "CAP_PERFMON, to read structures of the kernel", "Load with CAP_PERFMON.", facts.base_register),
    Row(r"Cannot access kernel 'struct (?P<name>\S+)' from non-GPL compatible program",
        "{Insn} reads struct {name} through {r}, and the licence is {license}.", "a licence compatible with the GPL",
        "", facts.base_register),
    Row(rf"cannot access ptr member (?P<field>\S+) with moff (?P<at>\d+) in struct (?P<name>\S+) with off "
        rf"(?P<off>{N}) size (?P<size>\d+)",
        "{Insn} reads {size} bytes at offset {off} of struct {name}; the pointer {field} lies at {at} and has 8.",
        "all 8 bytes of a pointer at once", "Read 8 bytes at offset {at}.", facts.base_register),
    Row(rf"{R} is (ptr_)?(?P<name>\S+) invalid (?P<how>negative access|variable offset|.*?)(: off=(?P<off>{N}).*)?",
        "{Insn} reads at offset {off} of struct {name} through {r}, which is {is}.",
        "a constant offset of a member, not {how}", "", NOTHING),
    Row(r"access beyond struct (?P<name>.*)", "{Insn} reads behind the end of struct {name} through {r}.",
        "an offset inside the structure", "", facts.base_register),
    Row(rf"{R} invalid (?P<kind>\S+) access off=(?P<off>{N}) size=(?P<size>\d+)"
        rf"|invalid access to flow keys off=(?P<off2>{N}) size=(?P<size2>\d+)"
        rf"|{R.replace('reg', 'reg3')} invalid (?P<kind3>\S+) buffer access: off=(?P<off3>{N}), size=(?P<size3>\d+)"
        rf"|{R.replace('reg', 'reg4')} invalid variable buffer offset: off=(?P<off4>{N}), var_off=(?P<var>.*)",
        "{Insn} accesses {size} bytes at offset {off} of what {r} points to: {r} is {is}. {fields}",
        "a field that the structure has, in its size", "{remedy}", memory.socket_field),

    # Stack ------------------------------------------------------------------------------------------------------------
    Row(rf"invalid( indirect)? ?(?P<way>write to|read from|access to) stack R(?P<reg>\d+) off=(?P<off>{N}) "
        rf"size=(?P<size>{N})",
        "{Insn} reaches {size} bytes of stack from r10{off_signed} on ({r} is {is}). {where}.",
        "bytes between r10-512 and r10-1{written}", "{remedy}", memory.stack_range),
    Row(rf"invalid( indirect)? ?(read from|access to) stack( R(?P<reg>\d+))? off (?P<off>{N})\+(?P<i>\d+) "
        rf"size (?P<size>\d+)",
        "{Insn} reads {size} bytes of stack from r10{off_signed} on{through}; byte {i} of them, at r10{byte_signed}, {never}"
        "{slot}.", "that all {size} bytes were written before",
        "Write r10{off_signed} to r10{end_signed} first, e.g. set the whole object to zero.", memory.stack_hole),
    Row(rf"invalid unbounded variable-offset(?P<way>.*) stack {R}",
        "{Insn} reaches the stack through {r}, which is {is}: the variable part has no useful bounds.",
        "a variable offset with bounds inside the frame", "Bound the index before it is added to the stack pointer.",
        NOTHING),
    Row(rf"invalid (?P<what>.*)?stack ({R}|off) (var_off.*|.*)",
        "{Insn} reaches the stack through {r}, which is {is}. {where}.",
        "that every byte the access may touch lies in the frame{written}",
        "Bound the index so that the access stays inside the array on the stack.", memory.stack_variable),
    Row(rf"invalid stack off=(?P<off>{N}) size=(?P<size>{N})|invalid stack type R(?P<reg>\d+) off=(?P<off2>{N}) "
        rf"access_size=(?P<size2>{N})",
        "{Insn} reaches {size} bytes of stack from r10{off_signed} on ({r} is {is}). {where}.",
        "bytes between r10-512 and r10-1{written}", "{remedy}", memory.stack_range),
    Row(rf"invalid variable stack read R(?P<reg>\d+) var_off=(?P<var>.*)"
        rf"|variable stack access var_off=(?P<var2>.*?) off=(?P<off>{N}) size=(?P<size>\d+)"
        rf"|variable offset stack pointer cannot be passed into helper function; (var_off=)?(?P<var3>.*?)"
        rf"( off=(?P<off2>{N}) size=(?P<size2>\d+))?",
        "{Insn} reaches {size} bytes of the stack through {r}, which is {is}: its offset{off_words} with the bits {var} "
        "is not one number.", "a constant offset into the stack", "Use a map's value for variable indices.",
        memory.variable_stack),
    Row(r"corrupted spill memory", "{Insn} loads {size} bytes of a slot from which part of a saved pointer was "
        "overwritten ({slot}).", "all 8 bytes of a saved pointer, untouched", "Save the pointer again.",
        memory.access_size),
    Row(r"invalid size of register spill", "{Insn} stores only {size} of the 8 bytes of {src}, which is {src_is}.",
        "all 8 bytes, so that the pointer can be loaded again", "Store 64 bits.", memory.access_size),
    Row(r"invalid size of register fill", "{Insn} loads {size} bytes of a stack slot that holds a saved pointer "
        "({slot}).", "all 8 bytes of a saved pointer", "Load 64 bits.", memory.access_size),
    Row(r"attempt to corrupt spilled pointer on stack", "{Insn} writes {size} of 8 bytes over a pointer saved on the "
        "stack ({slot}).", "a store of all 8 bytes there, without CAP_PERFMON", "Write all eight bytes.",
        memory.access_size),
    Row(r"cannot spill pointers to stack into stack frame of the caller",
        "{Insn} stores {src}, which is {src_is}, through {dst}, which is {dst_is}: a frame below that of the function.",
        "that pointers into a frame do not outlive it", "Store the value, or return it."),
    Row(rf"{R}.* variable (stack access|offset stack access) prohibited for !root, var_off=(?P<var>.*?)( off=(?P<off>"
        rf"{N}))?", "{Insn} reaches or computes a place on the stack with {r}, which is {is}: its offset{off_words} "
        "with the bits {var} is not one number.",
        "a constant offset into the stack, without CAP_PERFMON", "Use a map's value for variable indices.",
        memory.variable_stack),
    Row(rf"{R} stack pointer arithmetic goes out of range, prohibited for !root; off=(?P<off>{N})",
        "{Insn} moves {r}, which is {is}, out of the frame: to r10{off_signed}.",
        "stack pointers that stay in the frame, without CAP_PERFMON", "", memory.signed_off),
    Row(rf"spilled ptr in range of var-offset stack write; insn (?P<at>\d+), ptr off: (?P<off>{N})",
        "{Insn} may write over the pointer saved at r10{off_signed}, because its offset is not constant.",
        "no saved pointers where a variable write may go", "Keep pointers outside of the array.", memory.signed_off),
    Row(rf"uninit stack in range of var-offset write prohibited for !root; insn (?P<at>\d+), off: (?P<off>{N})",
        "{Insn} may write at r10{off_signed}, which was not written before, at an offset that is not constant.",
        "an array on the stack that was written completely first", "Set the array to zero first.", memory.signed_off),

    # Calls ------------------------------------------------------------------------------------------------------------
    Row(r"invalid func (?P<func>.*)", "{Insn} calls helper number {number}, which this kernel does not have.",
        "a helper that exists", "", calls.called),
    Row(r"program of this type cannot use helper (?P<func>.*)|unknown func (?P<func2>.*)"
        r"|func (?P<func3>.*) not supported for program type (?P<t>\d+)",
        "{Insn} calls {func}, which a program of type {type} is not offered{others}.",
        "a helper that belongs to programs of type {type}", "Call another helper; {func} works in {types}.",
        calls.called),
    Row(r"cannot call (GPL-restricted function|kernel function) from non-GPL compatible program",
        "{Insn} calls {helper}, which is for programs under the GPL, and the licence is \"{license}\".",
        "a licence compatible with the GPL", "", calls.called),
    Row(rf"{R} type=(?P<have>.*) expected=(?P<want>.*)",
        "{helper} takes {r} as argument {reg}{role}, and {r} is {is} ({have}).", "one of: {want}",
        "{remedy}", calls.argument),
    Row(r"helper access to the packet is not allowed",
        "{helper} gets {ptr}, which is {ptr_is}.", "memory other than the packet for this argument of {helper}",
        "Copy the bytes to the stack first and pass those.", calls.packet_argument),
    Row(rf"{R} leaks addr into helper function", "{helper} takes {r} as a number, and {r} is {is}.",
        "a number, without CAP_PERFMON"),
    Row(rf"{R} is not a known constant'", "{helper} takes {r} as a size, and {r} is {is}.",
        "one number that is known when the program is verified", "Pass a constant in {r}."),
    Row(rf"{R} does not point to a readonly map'", "{helper} takes {r} as a constant string, and {r} is {is}.",
        "a string in a frozen map that programs may not write", "Put the string into .rodata."),
    Row(rf"{R} is not a constant address'", "{helper} takes {r} as a constant string, and {r} is {is}.",
        "a constant address", "Do not compute the address."),
    Row(r"string is not zero-terminated", "{helper} takes a constant string, and this one has no end: {subjects}.",
        "a string that ends with a zero byte inside its map", "Add the zero byte.", calls.arguments),
    Row(rf"{R} invalid zero-sized read: u64=\[(?P<low>{N}),(?P<high>{N})\]",
        "{helper} takes a size from {r}, which is {is}: it may be {low}.", "a size of at least 1",
        "Before instruction {pc}: `if {r} == 0 goto …`."),
    Row(r"(R(?P<reg>\d+) )?invalid zero-sized read.*",
        "{helper} is given {size_is} as a size: {subjects}.", "a size of at least 1",
        "Check the size for 0 before instruction {pc}.", calls.arguments),
    Row(rf"{R} is of type (?P<have>.*) but (?P<want>.*) is expected", "{helper} takes {r}, which is {is} ({have}).",
        "{want}", ""),
    Row(r"expected map for helper call|tail_call abusing map_ptr", "{helper} is not told one map: {subjects}.",
        "one known map on every path", "", calls.arguments),
    Row(r"get_local_storage\(\) doesn't support non-zero flags", "{helper} takes flags in r2, and {subjects}.",
        "the number 0 in r2", "Pass 0.", calls.arguments),
    Row(r"cannot pass map_type (?P<t>\d+) into func (?P<func>.*)|cannot update sockmap in this context",
        "{helper} is given {map}, and it does not work on maps of that type{wanted_maps}.",
        "a map of a type that {helper} works on", "{remedy}", calls.map_and_helper),
    Row(r"invalid map_ptr to access map->(?P<field>\w+)|expected prog array map for tail call",
        "{helper} needs to know its map, and r1 is {r1_is}.", "a pointer to one known map in r1", "",
        calls.arguments),
    Row(r"callback function not allowed for map", "{helper} is to walk {map}, which cannot be walked.",
        "a map whose elements can be walked (hash, array)", "", calls.map_and_helper),
    Row(r"missing btf func_info|callback function.*|callback.*must be static|\S+ callback .*",
        "{Insn} takes the address of a function, and {nobtf}.", "BTF that says where the callback begins", "Compile "
        "with -g.", calls.without_btf),
    Row(r"(?P<what>tail_call|LD_ABS) is not allowed in subprogs without BTF|tail_calls are not allowed in non-JITed .*",
        "Function {function} contains {use_at}, and the program has no BTF for its functions.",
        "BTF that says that the function returns an int", "Compile with -g.", calls.early_exit),
    Row(r"BPF_LD_\[ABS\|IND\] instructions not allowed for this program type",
        "{Insn} is a packet load of the old kind, in a program of type {type}.",
        "a socket filter or a traffic classifier", "Use data and data_end of the context."),
    Row(r"(cannot use BPF_LD_\[ABS\|IND\] within callback|BPF_LD_\[ABS\|IND\] (instructions )?cannot be .*)",
        "{Insn} may leave the program early, here with something still held.", "nothing held at a packet load"),
    Row(r"at the time of BPF_LD_ABS\|IND R6 != pointer to skb", "{Insn} reads the packet through r6, which is {is}.",
        "the context in r6", "Copy r1 to r6 at the beginning.", facts.base_register),
    Row(r"helper call might sleep in a non-sleepable prog|sleepable helper (?P<f>.*) in (?P<w>.*)"
        r"|program must be sleepable to call (?P<f2>.*)|(?P<f3>.*) is sleepable within (?P<w3>.*)",
        "{Insn} calls {helper}, which may sleep, in a program that must not.", "a program that may sleep"),
    Row(r"Syscall programs can only be sleepable", "The program is of type {type}, and it is not loaded as sleepable.",
        "the flag that says that the program may sleep"),
    Row(r"Only (?P<which>.*) programs can be sleepable",
        "The program is of type {type}, which runs where the kernel must not wait, and it is loaded as sleepable.",
        "a program that does not sleep, or one of another type ({which})"),
    Row(r"Sleepable programs can only use (?P<which>.*) maps",
        "The program is loaded as sleepable and uses a map that is only safe where nothing can sleep.",
        "only maps of these kinds: {which}"),
    Row(r"number of funcs in func_info doesn't match number of subprogs"
        r"|func_info BTF section doesn't match subprog layout in BPF program"
        r"|nonzero insn_off (?P<at>\d+) for the first func info record"
        r"|same or smaller insn offset \((?P<at2>\d+)\) than previous func info record .*",
        "The table of functions beside the program does not list the functions where the code has them.",
        "one record for each function, in order, at its first instruction"),
    Row(r"invalid type id (?P<id>\S+) in func info", "The table of functions names type {id}, which is no function.",
        "the type of a function in each record"),
    Row(r"(?P<what>tail_call|LD_ABS|\d+) is only allowed in functions that return 'int'\.",
        "A function contains {what}, which may leave it early, and does not return a number.",
        "a function whose type returns an int"),
    Row(r"Invalid line_info\[(?P<row>\d+)\].*|Invalid insn code at line_info\[(?P<row2>\d+)\].insn_off"
        r"|missing bpf_line_info for (?P<whose>.*)",
        "The table of source lines beside the program does not fit the code.",
        "records in order, at instructions, with names, and one at the beginning of each function"),
    Row(rf"{R} (is not a const|must be a known constant|must be referenced or trusted|must be a rcu pointer)"
        r"|pointer in R(?P<reg2>\d+) isn't map pointer",
        "The kernel function called at {pc} takes {r}, which is {is}.", "an argument as the function declares it: "
        "{wants}", "", calls.kfunc_argument),
    Row(r"(kernel function (?P<func>\S+) )?args?#(?P<arg>\d+) (pointer type .*|is .* expected .*|expected pointer to ctx, "
        r"but got .*|expected pointer to STRUCT .*|arg#\d+ memory, len pair .*)"
        r"|release kernel function (?P<func2>\S+) expects refcounted PTR_TO_BTF_ID",
        "The kernel function called at {pc} gets as an argument what it does not take: {subjects}.",
        "{wants}", "", calls.kfunc_argument),
    Row(r"arg#(?P<arg>\d+) expected pointer to an iterator on stack|expected an RCU CS when using (?P<func>\S+)"
        r"|expected an initialized iter_(?P<name>\w+) as arg #(?P<arg2>\d+)"
        r"|expected uninitialized iter_(?P<name2>\w+) as arg #(?P<arg3>\d+)",
        "The iterator's function called at {pc} gets {subjects}; {dynptr}.", "{dynptr_wanted}", "", calls.dynptr),
    Row(r"invalid module BTF object FD specified\.",
        "A wide load names a variable of a kernel module, by the number of an open file that there is not.",
        "0 in the second half: a variable of the kernel itself"),
    Row(r"(ldimm64 insn specifies invalid|pseudo) btf_id (?P<id>\d+).*", "{Variable_at} names the kernel variable with BTF "
        "id {id}, and there is none.", "the BTF id of a variable of this kernel", "", calls.kernel_variable),
    Row(rf"{R} is not a scalar|arg#(?P<arg>\d+) (is expected to be non-NULL|expects pointer to ctx)",
        "{Insn} calls a global function with {subjects}.", "arguments of the declared types", "", calls.arguments),
    Row(r"failed to find BTF for kernel function|calling kernel function (?P<f>.*) is not allowed|kernel btf_id .*"
        r"|invalid kernel function call not eliminated in verifier pass|kernel function .*|kfunc .*"
        r"|negative offset disallowed for kernel module function call",
        "{Kfunc_at} calls the kernel function with BTF id {btf_id}, which cannot be found or is not offered here.",
        "a kernel function of this kernel that is offered to programs of type {type}", "", calls.kfunc),
    Row(r"(global )?function calls are not allowed while holding a lock.*"
        r"|(?P<f>.+) cannot be used inside (?P<w>\S+)-ed region",
        "{Insn} happens while a lock is held.", "nothing that may take long or take a lock while one is held",
        "Unlock before instruction {pc}."),
    Row(r"bpf_spin_unlock (without taking a lock|of different lock|is missing)|Locking two bpf_spin_locks are not .*"
        r"|bpf_rcu_read_unlock is missing|unmatched .* unlock.*|.* needs to be a pointer to bpf_spin_lock.*"
        r"|nested rcu read lock.*|unmatched attempt to enable preemption.*",
        "At {insn} locks and unlocks do not match: {subjects}.", "every lock released once, on every path",
        "Pair lock and unlock in the same function.", calls.arguments),
    Row(r"map '(?P<map>.*?)' has (to have BTF in order to use|no valid) (?P<field>\S+)",
        "{helper} is to use a {field} in {map_words}, and the map has no BTF that says where it lies.",
        "a map with BTF and a {field} in its value", "", calls.map_btf),
    Row(r"off (?P<off>\d+) doesn't point to 'struct (?P<field>\S+)' that is at (?P<at>\d+)",
        "{helper} gets a pointer to offset {off} of the value; the {field} is at {at}.", "offset {at}"),
    Row(rf"{R} doesn't have constant offset\. (?P<field>\S+) has to be at the constant offset",
        "{helper} gets {r}, which is {is}: the offset is not one number.", "a constant offset of the {field}"),
    Row(rf"({R} has no valid kptr|timer pointer in R1 .*|Helper has invalid btf_id in R(?P<reg2>\d+)"
        r"|(?P<t>\S+) progs cannot use bpf_(?P<f>\S+) yet)",
        "{helper} gets {subjects}.", "an object of the kind that the map's BTF declares", "", calls.arguments),
    Row(r"Caller passes invalid args into func#(?P<number>\d+) (?P<func>.*)",
        "{Insn} calls the global function {func} with {subjects}.", "arguments of the types that {func} declares", "",
        calls.arguments),

    # References -------------------------------------------------------------------------------------------------------
    Row(r"Unreleased reference id=(?P<id>\d+) alloc_insn=(?P<alloc>\d+)|.*would lead to reference leak",
        "What {alloc_at} acquired (reference {id}) is still held at {insn}{holder}.",
        "that it is released on every path, before instruction {pc}", "{remedy}", calls.leaked),
    Row(r"arg (?P<reg>\d+) is an unacquired reference|R(?P<reg2>\d+) must be referenced when passed to release function",
        "{helper} releases {r}, which is {is}: nothing that this program acquired{released}.",
        "a pointer from a helper that acquires, not released yet", "", calls.unowned),
    Row(r"func (?P<func>.*) reference has not been acquired before",
        "{helper} releases what this program did not acquire: {subjects}.", "an acquired reference", "",
        calls.arguments),
    Row(r".*more than one arg with ref_obj_id R(?P<reg>\d+) .*", "{helper} gets two acquired objects: {subjects}.",
        "at most one", "", calls.arguments),
    Row(r"Possibly NULL pointer passed to helper arg(?P<reg>\d+)|Possibly NULL pointer passed to (?P<what>.*)",
        "{helper} gets {r}, which is {is}.", "a pointer that is known not to be null",
        "Before instruction {pc}: `if {r} == 0 goto …`."),
    Row(r"Expected an initialized dynptr as arg #(?P<arg>\d+)|Dynptr has to be an uninitialized dynptr"
        r"|cannot overwrite referenced dynptr|Expected a dynptr of type (?P<t>\S+) as arg #(?P<arg2>\d+)"
        r"|arg#(?P<arg3>\d+) expected pointer to stack or const struct bpf_dynptr"
        r"|cannot pass pointer to const bpf_dynptr.*|cannot release unowned const bpf_dynptr"
        r"|potential write to dynptr at off=(?P<off>-?\d+) disallowed|.* has to be at a constant offset"
        r"|cannot pass in .* at an offset=(?P<off2>-?\d+)|Unsupported reg type (?P<t2>\S+) for bpf_dynptr_from_mem data"
        r"|R\d+ has to be at .*",
        "{does_call}; {dynptr}.", "{dynptr_wanted}", "", calls.dynptr),

    # Privileges -------------------------------------------------------------------------------------------------------
    Row(rf"{R} leaks addr into (?P<where>\S+)", "{Insn} writes {r}, which is {is}, into {where}.",
        "numbers only in memory that others read, without CAP_PERFMON", "Store a number."),
    Row(rf"leaking pointer from stack off (?P<off>{N})",
        "{Insn} reads a pointer saved at r10{off_signed} as a number.", "no pointers as numbers, without CAP_PERFMON",
        "", memory.signed_off),
    Row(rf"{R} pointer comparison prohibited",
        "{Insn} compares {dst}, which is {dst_is}, with {src_or_imm}.",
        "comparisons of numbers, of packet pointers with data_end, or of a nullable pointer with 0, without "
        "CAP_PERFMON", "", calls.compared),
    Row(rf"{R} has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root",
        "{Insn} computes with {ptr}, which is {ptr_is}; an offset of this kind cannot be masked against speculation.",
        "+ or - of a number and a pointer into a map's value or the stack, without CAP_PERFMON",
        "Keep such pointers unchanged, or load with CAP_PERFMON.", facts.pointer_and_number),
    Row(rf"{R} has unknown scalar with mixed signed bounds, pointer arithmetic with it prohibited for !root",
        "{Insn} moves {ptr}, which is {ptr_is}, by {num}, which is {num_is}: it may be negative and may be positive.",
        "a number that is known to be negative or known not to be, without CAP_PERFMON",
        "Use an unsigned index with an upper bound.", facts.pointer_and_number),
    Row(rf"{R} tried to (?P<op>\S+) from different maps, paths or scalars, pointer arithmetic with it prohibited for "
        r"!root", "{Insn} moves {ptr}, which is {ptr_is}, by {num}, which is {num_is}; on another path the same "
        "instruction had another object or another limit.", "the same object and the same limit on every path",
        "Give each path its own addition.", facts.pointer_and_number),
    Row(rf"{R} tried to (?P<op>\S+) beyond pointer bounds, pointer arithmetic with it prohibited for !root",
        "{Insn} moves {ptr}, which is {ptr_is}, by {num}, which is {num_is}: beyond the object.",
        "offsets inside the object, without CAP_PERFMON", "Bound {num} by the size of the object.",
        facts.pointer_and_number),
    Row(rf"{R} (could not be pushed for speculative verification|pointer arithmetic of map value goes out of range)"
        r".*", "{Insn} moves {ptr}, which is {ptr_is}, by {num_is}: out of the object.",
        "offsets inside the object after every addition, without CAP_PERFMON", "Bound the offset before adding it.",
        facts.pointer_and_number),
    Row(r"(?P<what>.*) (prohibited )?for !root.*", "{Insn}: {what}. {subjects}.", "CAP_PERFMON for this operation",
        "Load with CAP_PERFMON.", calls.arguments),
    Row(r"verifier bug: (?P<what>.*)|verifier internal error(?P<w2>.*)|kernel subsystem misconfigured (?P<w3>.*)"
        r"|BUG (?P<w4>.*)|bug: (?P<w5>.*)|invalid insn idx .*",
        "At {insn} the verifier found itself in a state that must not happen: {message}.{subjects_dot}",
        "never to come here; the program is not at fault", "", calls.arguments),
]


def reason(case: Case) -> Reason:
    """The first row that knows the message, filled; a general sentence when none does."""
    if not case.message:
        return Reason(*facts.without_message(case), {}, True)
    for row in ROWS:
        match = row.pattern.fullmatch(case.message)
        if match is None:
            continue
        values = facts.gather(case, match)
        if row.add is not None:
            row.add(case, values)
        fixes = [facts.fill(row.fix, values)] if row.fix else []
        return Reason(facts.fill(row.knew, values), facts.fill(row.wanted, values), [f for f in fixes if f],
                      {k: v for k, v in values.items() if v and k in facts.PUBLISHED}, True)
    values = facts.gather(case, None)
    return Reason(facts.fill("{Insn} was refused: {message}.", values), "something else", [], {}, False)
