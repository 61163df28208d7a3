"""Every reason to refuse a program: its code, its message, why the rule exists, how to satisfy it.

A verifier's message says what was found; a rule says what was wanted.  Each row has a stable code, the kernel's
messages as templates (`{}` stands for a number, name or state, different versions have different words), the reason
for the rule, the smallest program that breaks it, and what to do about it.  `match` finds the row behind a message:

    "R2 invalid mem access 'map_value_or_null'"  ->  deref-maybe-null: compare the result of the lookup with 0 first

Programs are assembly (isa/assembler.py) and of type xdp unless they say otherwise; "" stands for rules that only show
with BTF, kfuncs or sizes that no short text can have.  A leading "!" marks programs that only a process without
CAP_PERFMON is refused.  The tests run every program.

Source: kernel/bpf/verifier.c, every `verbose()` that ends in a refusal; slides 20-34.
"""

from __future__ import annotations

import re
from typing import Final, final


@final
class Rule:
    """One row: `code`, `messages` (templates), `why`, `fix`, `example`, and `unprivileged` when only then refused."""

    __slots__ = ("code", "messages", "why", "fix", "example", "unprivileged", "patterns")

    def __init__(self, code: str, messages: tuple[str, ...], why: str, fix: str, example: str = "") -> None:
        self.code = code
        self.messages = messages
        self.why = why
        self.fix = fix
        self.unprivileged = example.startswith("!")
        self.example = example.lstrip("!")
        self.patterns = [re.compile(re.escape(m).replace(r"\{\}", ".*?"), re.DOTALL) for m in messages]

    def __repr__(self) -> str:
        return f"Rule({self.code})"


_M: Final = ".map m hash 8 8 1\n"
_A: Final = ".map a array 4 48 4\n"
_KEY: Final = "*(u64 *)(r10 -8) = 0\nr2 = r10\nr2 += -8\n"
_LOOKUP: Final = _KEY + "r1 = map[m]\ncall map_lookup_elem\n"
_VALUE: Final = _M + _LOOKUP + "if r0 == 0 goto out\n"
_ARRAY: Final = ".map m hash 8 48 1\n" + _LOOKUP + "if r0 == 0 goto out\n"
_OUT: Final = "\nout: r0 = 0\nexit"
_END: Final = "\nr0 = 0\nexit"
_PKT: Final = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\n"
_SK: Final = (".type sched_cls\n*(u64 *)(r10 -8) = 0\n*(u64 *)(r10 -16) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\n"
              "r5 = 0\ncall sk_lookup_tcp\n")
_RING: Final = ".map m ringbuf 0 0 4096\nr1 = map[m]\nr2 = 8\nr3 = 0\ncall ringbuf_reserve\n"

RULES: Final[list[Rule]] = [
    # Shape of the program ---------------------------------------------------------------------------------------------
    Rule("unreachable", ("unreachable insn {}",),
         "Dead instructions were never useful and could hide from the checks of older kernels.",
         "Remove the instructions, or make a branch lead to them.", "r0 = 0\nexit\nr0 = 1\nexit"),
    Rule("jump-range", ("jump out of range from insn {} to {}",),
         "A jump must end at an instruction of the same function.",
         "Check the distance: it counts slots from the next instruction, and wide loads have two.",
         "if r1 == 0 goto +9\nr0 = 0\nexit"),
    Rule("jump-into-wide", ("jump into the middle of ldimm64 insn {}", "jump to reserved code from insn {}",
                            "jump into the middle of ldimm64 insn{}"),
         "The second slot of a wide load is data, not an instruction.",
         "Jump to the first slot, or behind both.", "r0 = 0\nif r0 == 0 goto +1\nr2 = 1 ll\nexit"),
    Rule("fall-off", ("last insn is not an exit or jmp",),
         "Control must not run off the end of a function into whatever lies behind it.",
         "End every function with exit or an unconditional jump.", "r0 = 0"),
    Rule("back-edge", ("back-edge from insn {} to {}",),
         "Without CAP_BPF, and before Linux 5.3, loops are refused: a program has to end.",
         "Unroll the loop, or use bpf_loop; with CAP_BPF on a newer kernel a bounded loop is fine."),
    Rule("infinite-loop", ("infinite loop detected at insn {}",),
         "The walk came back to an instruction in the same state: this loop has no end.",
         "Let something that the verifier tracks change in each round and bound it, or use bpf_loop, may_goto, "
         "iterators.",
         "loop: r0 = 0\ngoto loop"),
    Rule("call-target", ("call to invalid destination",),
         "A function must begin inside the program.", "Check the distance of the call.", "call pc+9\nr0 = 0\nexit"),
    Rule("too-many-functions", ("too many subprograms",), "A program has at most 256 functions.", "Merge some."),
    Rule("call-depth", ("the call stack of {} frames is too deep", "the call stack of {} frames is too deep !"),
         "The kernel stack is small: at most eight frames.", "Flatten the calls; recursion is never accepted.",
         "call pc+1\nexit\ncall pc-1\nexit"),
    Rule("stack-depth", ("combined stack size of {} calls is {}. Too large", "stack size of subprog {} is {}. Too "
                                                                             "large"),
         "All frames on a path of calls together may use 512 bytes of the kernel stack.",
         "Keep large objects in a per-CPU array map instead of on the stack.",
         ".type socket_filter\n*(u64 *)(r10 -304) = 0\ncall pc+2\nr0 = 0\nexit\n*(u64 *)(r10 -304) = 0\nr0 = 0\nexit"),
    Rule("tail-call-stack", ("tail_calls are not allowed when call stack of previous frames is {} bytes. Too large",),
         "A tail call starts over with a fresh frame while those below stay: they may use 256 bytes at most.",
         "Use less stack in functions that call functions with tail calls."),
    Rule("too-complex", ("The sequence of {} jumps is too complex.", "The sequence of {} jumps is too complex{}",
                         "BPF program is too complex"),
         "More than 8192 paths wait to be walked.",
         "Split the program by tail calls or global functions, or make branches merge sooner."),
    Rule("too-large", ("BPF program is too large. Processed {} insn",),
         "The walk is limited to a million instructions so that loading ends.",
         "Shorten loops, verify parts on their own (global functions), help pruning: do not keep exact values alive."),
    Rule("speculative-path", ("BPF program is too large{}", "Processed {} insn{}"),
         "Walking speculative paths as well uses up the budget.", "Load with CAP_PERFMON, or simplify the program."),

    # Single instructions ----------------------------------------------------------------------------------------------
    Rule("opcode", ("unknown opcode {}", "invalid BPF_ALU opcode {}", "invalid BPF_JMP/JMP32 opcode {}",
                    "unknown insn class {}", "invalid BPF_LD mode", "BPF_ATOMIC uses invalid atomic opcode {}"),
         "Not an instruction of this kernel.", "Compile for an older instruction set (-mcpu=v1 … v4) or use a newer "
                                               "kernel.",
         "r0 = 0\n.insn ff00000000000000\nexit"),
    Rule("reserved", ("BPF_{} uses reserved fields", "BPF_JMP/JMP32 uses reserved fields", "addr_space_cast insn can{}",
                      "BPF_{}: uses reserved fields", "invalid may_goto off {} imm {}",
                      "invalid may_goto imm {}"),
         "Fields without a meaning must be 0, so that they can get one later.", "Use an assembler or compiler.",
         "r0 = 0\n.insn b700010000000000\nexit"),
    Rule("div-zero", ("div by zero",), "A division by the constant 0 has no result.", "Divide by something else.",
         "r0 = 1\nr0 /= 0\nexit"),
    Rule("shift", ("invalid shift {}",), "Shift amounts lie below the width of the operation.",
         "Shift by 0 to 63 (64 bits) or 0 to 31 (32 bits).", "r0 = 1\nr0 <<= 64\nexit"),
    Rule("wide-load", ("invalid bpf_ld_imm64 insn", "unrecognized bpf_ld_imm64 insn"),
         "A wide load is two slots of which the second has nothing but its immediate.", "Use an assembler or compiler.",
         "r0 = 0\n.insn 1801000000000000\nexit"),
    Rule("atomic-size", ("invalid atomic operand size",), "Atomic operations work on 32 or 64 bits.",
         "Use a 32- or 64-bit type.", "r1 = 0\n*(u64 *)(r10 -8) = 0\n.insn d31af8ff00000000\nr0 = 0\nexit"),
    Rule("register", ("R{} is invalid",), "There are registers r0 to r10.", "Use an assembler or compiler.",
         "r0 = 0\n.insn bf0b000000000000\nexit"),
    Rule("frame-pointer", ("frame pointer is read only",), "r10 is the frame; nothing may move it.",
         "Copy r10 to another register and change that.", "r10 = 0\nr0 = 0\nexit"),
    Rule("map-fd", ("fd {} is not pointing to valid bpf_map", "fd_idx without fd_array is invalid"),
         "A wide load of a map needs a map.", "Create the map first and load the program with its descriptor."),
    Rule("map-offset", ("direct value offset of {} is not allowed", "invalid access to map value pointer, "
                                                                    "value_size={} off={}",
                        "no direct value access support for this map type"),
         "The address of a map value must lie in the value, and only arrays have one address.",
         "Check the offset; use an array map."),

    # Registers --------------------------------------------------------------------------------------------------------
    Rule("uninitialised", ("R{} !read_ok",), "A register must be written before it is read: it holds kernel data "
                                             "otherwise.",
         "Initialise it on every path; calls destroy r1 to r5.", "exit"),
    Rule("pointer-math-32", ("R{} 32-bit pointer arithmetic prohibited",), "Half a pointer is none.",
         "Use 64-bit operations on pointers.", "w1 += 1\nr0 = 0\nexit"),
    Rule("pointer-partial-copy", ("R{} partial copy of pointer", "R{} sign-extension part of pointer"),
         "Parts of pointers would leak addresses.", "Copy the pointer with a 64-bit move.", "!w2 = w1\nr0 = 0\nexit"),
    Rule("pointer-bitwise", ("R{} bitwise operator {} on pointer prohibited",),
         "The result could be any address.", "Compute with offsets, then add them to the pointer.",
         ".type socket_filter\nr2 = r10\nr2 &= -8\nr0 = 0\nexit"),
    Rule("pointer-operator", ("R{} pointer arithmetic with {} operator prohibited",),
         "Only addition and subtraction keep a pointer inside its object.", "Compute the offset on its own first.",
         "r2 = r10\nr2 *= 8\nr0 = 0\nexit"),
    Rule("pointer-plus-pointer", ("R{} pointer {} pointer prohibited",), "The sum of two addresses means nothing.",
         "Add a number to a pointer.", "r2 = r10\nr2 += r1\nr0 = 0\nexit"),
    Rule("pointer-null-math", ("R{} pointer arithmetic on {} prohibited, null-check it first",),
         "A null pointer plus an offset would no longer be null.", "Compare with 0 first, then add.",
         _M + _LOOKUP + "r0 += 4" + _END),
    Rule("pointer-math", ("R{} pointer arithmetic on {} prohibited", "R{} pointer arithmetic prohibited"),
         "This kind of pointer has to stay as it was made.", "Use the pointer as it is.",
         _M + "r1 = map[m]\nr1 += 8" + _END),
    Rule("scalar-minus-pointer", ("R{} tried to subtract pointer from scalar",),
         "A number minus an address is neither.", "Subtract the number from the pointer.",
         "r2 = 5\nr2 -= r10\nr0 = 0\nexit"),
    Rule("stack-subtract", ("R{} subtraction from stack pointer prohibited",),
         "A variable subtracted from a stack pointer is not tracked.", "Add a negative number instead.",
         ".type socket_filter\ncall get_prandom_u32\nr0 &= 7\nr2 = r10\nr2 -= r0\nr0 = 0\nexit"),
    Rule("offset-unbounded", ("math between {} pointer and register with unbounded min value is not allowed",),
         "An offset without a lower bound may leave the object.",
         "Bound it first: `if (off > max)` on an unsigned type, or `off &= mask`.",
         _VALUE + "r1 = *(u64 *)(r0 +0)\nr0 += r1\nr0 = *(u8 *)(r0 +0)" + _OUT),
    Rule("offset-constant", ("math between {} pointer and {} is not allowed", "{} pointer offset {} is not allowed",
                             "value {} makes {} pointer be out of bounds"),
         "Pointers and offsets stay below 2^29.", "Use a smaller offset.",
         "r2 = r10\nr2 += 1073741824\nr0 = 0\nexit"),
    Rule("return-pointer", ("R{} leaks addr as return value",), "A returned pointer would tell user space an address.",
         "Return a number.", "!.type socket_filter\nr0 = r10\nexit"),
    Rule("return-not-scalar", ("At {} the register R{} is not a known value ({})", "R{} not a scalar value",
                               "At subprogram exit the register R{} is not a scalar value ({})",
                               "cannot return stack pointer to the caller"),
         "What this function returns must be a number.", "Return a number.",
         ".type cgroup_skb\nr0 = r10\nexit"),
    Rule("return-range", ("At {} the register R{} has {} should have been {}",
                          "In {} the register R{} has {} should have been in {}"),
         "The kernel gives a meaning to these return values only.", "Return a value of the range, on every path.",
         ".type cgroup_skb\nr0 = 7\nexit"),
    Rule("same-insn-pointers", ("same insn cannot be used with different pointers",),
         "Each access is rewritten for one kind of pointer.", "Give each kind of pointer its own load.",
         ".type sched_cls\nr6 = r1\nr7 = r10\nr7 += -8\n*(u64 *)(r10 -8) = 0\ncall get_prandom_u32\nif r0 == 0 goto x\n"
         "r6 = r7\nx: r0 = *(u32 *)(r6 +0)\nr0 = 0\nexit"),
    Rule("invariants", ("REG INVARIANTS VIOLATION {}",), "The tracked ranges contradict each other: a bug of the "
                                                         "verifier.",
         "Report it."),

    # Memory -----------------------------------------------------------------------------------------------------------
    Rule("deref-maybe-null", ("R{} invalid mem access '{}_or_null'",), "The pointer may be null here.",
         "Compare it with 0 first: `if (!ptr) return …`.", _M + _LOOKUP + "r0 = *(u64 *)(r0 +0)\nexit"),
    Rule("deref", ("R{} invalid mem access '{}'",), "This is not a pointer that may be dereferenced.",
         "Read through the pointer itself, not through a number; use probe_read_kernel for kernel addresses.",
         "r2 = 8\nr0 = *(u64 *)(r2 +0)\nexit"),
    Rule("read-only", ("R{} cannot write into {}", "write to change key R{} not allowed", "only read is supported",
                       "only read from {} is supported", "cannot write into {}",
                       "the prog does not allow writes to packet data",
                       "bpf_{}() may write into memory pointed by R{} type={}"),
         "This memory is only for reading.", "Copy it and change the copy; packets: use a helper or another program "
                                             "type.",
         ".type cgroup_skb\nr2 = *(u32 *)(r1 +76)\nr3 = *(u32 *)(r1 +80)\nr4 = r2\nr4 += 1\nif r4 > r3 goto out\n"
         "*(u8 *)(r2 +0) = 0" + _OUT),
    Rule("ctx-access", ("invalid bpf_context access off={} size={}", "invalid bpf_context access"),
         "No field of the context of this program type lies there, or not with this size, or it is read-only.",
         "Use the fields that the type's context has (contexts.py), in their size.", "r0 = *(u8 *)(r1 +0)\nexit"),
    Rule("ctx-store", ("BPF_ST stores into R{} {} is not allowed", "BPF_ATOMIC stores into R{} {} is not allowed",
                       "BPF_ATOMIC loads from R{} {} is not allowed", "BPF_{} stores into R{} {} is not allowed"),
         "Accesses through this kind of pointer are rewritten or checked one by one, which these operations do not "
         "allow.",
         "Load the value, change it, store it from a register.", "lock *(u64 *)(r1 +0) += r1\nr0 = 0\nexit"),
    Rule("modified-pointer", ("dereference of modified {} ptr R{} off={} disallowed",
                              "negative offset {} ptr R{} off={} disallowed", "variable {} access var_off={} "
                                                                              "disallowed",
                              "R{} must have zero offset when passed to release func{}"),
         "This pointer is used for rewriting or release and has to be the original one.",
         "Keep the pointer as it came and put the offset into the access.",
         ".type sched_cls\nr1 += 8\nr0 = *(u32 *)(r1 +0)\nexit"),
    Rule("map-value-bounds", ("invalid access to map value, value_size={} off={} size={}",
                              "invalid access to map key, key_size={} off={} size={}",
                              "invalid access to memory, mem_size={} off={} size={}",
                              "R{} min value is outside of the allowed memory range",
                              "R{} max value is outside of the allowed memory range",
                              "R{} {} value is outside of the {}"),
         "The access may lie outside of the object.", "Bound the offset by the size of the object minus the access.",
         _VALUE + "r0 = *(u64 *)(r0 +8)" + _OUT),
    Rule("index-negative", ("R{} min value is negative, either use unsigned index or do a if (index >=0) check.",
                            "R{} min value is negative, either use unsigned or 'var &= const'"),
         "A signed offset may be negative.", "Use an unsigned type, or check for >= 0.",
         _ARRAY + "r1 = *(u64 *)(r0 +0)\nif r1 s> 8 goto out\nif r1 s< -8 goto out\nr0 += r1\nr0 = *(u8 *)(r0 "
                  "+0)" + _OUT),
    Rule("memory-unbounded", ("R{} unbounded memory access, make sure to bounds check any such access",
                              "R{} unbounded memory access, use 'var &= const' or 'if (var < const)'",
                              "R{} unbounded memory access{}"),
         "The length or offset has no useful upper bound.", "Check it against a constant, or mask it.",
         ".map m hash 8 48 1\n" + _KEY + "r1 = map[m]\ncall map_lookup_elem\nif r0 == 0 goto out\nr2 = *(u64 *)(r0 "
                                         "+0)\n"
         "r1 = r10\nr1 += -8\nif r2 s< 0 goto out\nr3 = 0\ncall probe_read_kernel" + _OUT),
    Rule("packet-bounds", ("R{} offset is outside of the packet", "invalid access to packet, off={} size={}, "
                                                                  "R{}(id={},off={},r={})"),
         "Nothing has compared this much of the packet with its end.",
         "Compare `data + offset + size` with data_end on the way to every access.",
         _PKT + "r0 = *(u8 *)(r2 +0)\nexit"),
    Rule("map-permission", ("write into map forbidden{}", "read from map forbidden{}"),
         "The map was created read-only or write-only for programs.", "Drop the flag, or the access.",
         ".map m array 4 8 1 128\n*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = map[m]\ncall map_lookup_elem\n"
         "if r0 == 0 goto out\n*(u64 *)(r0 +0) = 1" + _OUT),
    Rule("special-field", ("bpf_spin_lock cannot be accessed directly by load/store", "{} cannot be accessed "
                                                                                      "directly by load/store",
                           "kptr {}", "kptr cannot be accessed indirectly by helper"),
         "Locks, timers and kernel pointers in map values are only for their helpers.", "Use the helper."),
    Rule("misaligned", ("misaligned {}access off {} size {}", "misaligned access off {} size {}"),
         "Stack and context need natural alignment; strict alignment needs it everywhere.",
         "Align the object, or read it byte by byte.", "r0 = *(u64 *)(r10 -12)\nr0 = 0\nexit"),
    Rule("bpf-struct", ("'struct {}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN",
                        "Cannot access kernel 'struct {}' from non-GPL compatible program",
                        "cannot access ptr member {} with moff {} in struct {} with off {} size {}",
                        "R{} is {} invalid negative access: off={}", "R{} is ptr_{} invalid {}", "access beyond "
                                                                                                 "struct {}"),
         "Kernel structures are read by their members.", "Follow the structure's BTF; load with CAP_PERFMON.",
         "!" + _A + "r1 = map[a]\nr0 = *(u32 *)(r1 +0)\nr0 = 0\nexit"),
    Rule("sock-access", ("R{} invalid {} access off={} size={}", "invalid access to flow keys off={} size={}",
                         "R{} invalid {} buffer access: off={}, size={}", "R{} invalid variable buffer offset: "
                                                                          "off={}, var_off={}"),
         "The structure behind this pointer has no such field.", "Use the fields of struct bpf_sock, bpf_tcp_sock, ….",
         ".type sched_cls\nr1 = *(u64 *)(r1 +168)\nif r1 == 0 goto out\nr0 = *(u8 *)(r1 +1)" + _OUT),

    # Stack ------------------------------------------------------------------------------------------------------------
    Rule("stack-write-range", ("invalid write to stack R{} off={} size={}", "invalid {}write to stack R{} {}",
                               "invalid unbounded variable-offset write to stack R{}"),
         "The frame is 512 bytes below r10.", "Write between r10-512 and r10-1.", "*(u64 *)(r10 +0) = 0\nr0 = 0\nexit"),
    Rule("stack-read-range", ("invalid read from stack R{} off={} size={}", "invalid read from stack off {}+{} size {}",
                              "invalid read from stack R{} off {}+{} size {}", "invalid {}read from stack R{} {}",
                              "invalid unbounded variable-offset read from stack R{}",
                              "invalid indirect read from stack R{} {}", "invalid indirect read from stack off {}",
                              "invalid indirect access to stack R{} off={} size={}",
                              "invalid variable-offset{} stack R{} {}",
                              "invalid unbounded variable-offset{} stack R{}", "invalid stack off={} size={}",
                              "invalid variable stack read R{} var_off={}",
                              "invalid stack type R{} off={} access_size={}"),
         "The bytes lie outside of the frame, or were never written (padding of a structure, for a helper's argument).",
         "Read what was written, inside the frame; initialise whole objects.",
         "r0 = *(u64 *)(r10 -520)\nexit"),
    Rule("spill-size", ("invalid size of register spill", "invalid size of register fill"),
         "A pointer is kept only when all of its 8 bytes are stored and loaded together.", "Use 64-bit stores and "
                                                                                           "loads.",
         ".type socket_filter\n*(u32 *)(r10 -8) = r1\nr0 = 0\nexit"),
    Rule("spill-corrupt", ("attempt to corrupt spilled pointer on stack", "corrupted spill memory"),
         "Part of a spilled pointer would be overwritten.", "Overwrite all eight bytes.",
         "!.type socket_filter\n*(u64 *)(r10 -8) = r1\n*(u32 *)(r10 -8) = 0\nr0 = 0\nexit"),
    Rule("spill-caller", ("cannot spill pointers to stack into stack frame of the caller",),
         "A pointer into the callee's frame must not outlive it.", "Return the value instead.",
         ".type socket_filter\nr1 = r10\nr1 += -8\ncall pc+2\nr0 = 0\nexit\n*(u64 *)(r1 +0) = r10\nr0 = 0\nexit"),
    Rule("stack-variable", ("R{} variable stack access prohibited for !root, var_off={} off={}",
                            "R{} stack pointer arithmetic goes out of range, prohibited for !root; off={}",
                            "spilled ptr in range of var-offset stack write; insn {}, ptr off: {}",
                            "uninit stack in range of var-offset write prohibited for !root; insn {}, off: {}",
                            "variable stack access var_off={} off={} size={}",
                            "variable offset stack pointer cannot be passed into helper function; {}"),
         "Without privileges a stack offset must be constant: speculation could go past a bound.",
         "Use a map value for variable indices.",
         "!.type socket_filter\nr2 = *(u32 *)(r1 +0)\nr2 &= 4\nr2 += -8\nr2 += r10\n*(u64 *)(r10 -8) = 0\nr0 = *(u32 "
         "*)(r2 +0)\n"
         "r0 = 0\nexit"),

    # Calls ------------------------------------------------------------------------------------------------------------
    Rule("helper-unknown", ("invalid func {}#{}", "invalid func {}"),
         "There is no helper of that number.", "Check the number.",
         "call 9999\nr0 = 0\nexit"),
    Rule("helper-not-for-type", ("program of this type cannot use helper {}", "unknown func {}",
                                 "func {} not supported for program type {}"),
         "Helpers belong to program types: this one would have nothing to work on.",
         "Use another helper, or another program type (helper_protos.py).", ".type socket_filter\nr2 = 0\ncall "
                                                                            "xdp_adjust_head\nexit"),
    Rule("gpl", ("cannot call GPL-restricted function from non-GPL compatible program",
                 "cannot call kernel function from non-GPL compatible program"),
         "Some helpers are only for programs under the GPL.", "Declare the licence, if it is one.",
         ".license proprietary\nr1 = r10\nr1 += -8\n*(u64 *)(r10 -8) = 0\nr2 = 8\nr3 = 0\ncall probe_read_kernel\nr0 "
         "= 0\nexit"),
    Rule("helper-type", ("R{} type={} expected={}", "R{} is of type {} but {} is expected"),
         "The argument is of another kind than the helper wants.",
         "Check the order and kind of the arguments.", "r2 = r10\nr2 += -8\n*(u64 *)(r10 -8) = 0\ncall "
                                                       "map_lookup_elem\nr0 = 0\nexit"),
    Rule("helper-packet", ("helper access to the packet is not allowed",),
         "Only helpers that are written for it may be handed the packet itself.", "Copy the bytes to the stack first.",
         ".map m hash 8 8 1\n.type xdp\nr6 = r1\n" + _PKT + "r4 = r2\nr4 += 8\nif r4 > r3 goto out\nr1 = r2\nr2 = "
                                                            "8\nr3 = r2\n"
         "call trace_printk" + _OUT),
    Rule("helper-leak", ("R{} leaks addr into helper function",), "The helper would hand the pointer on as a number.",
         "Pass a number.", "!.map m hash 8 8 1\n" + _KEY + "r1 = map[m]\nr3 = r10\nr3 += -8\nr4 = r10\ncall "
                                                           "map_update_elem" + _END),
    Rule("size-constant", ("R{} is not a known constant'", "R{} does not point to a readonly map'", "R{} is not a "
                                                                                                    "constant address'",
                           "string is not zero-terminated"),
         "This argument must be known when the program is verified.", "Pass a constant.",
         ".map m ringbuf 0 0 4096\ncall get_prandom_u32\nr2 = r0\nr1 = map[m]\nr3 = 0\ncall ringbuf_reserve\nr0 = "
         "0\nexit"),
    Rule("size-zero", ("R{} invalid zero-sized read{}", "invalid zero-sized read{}"),
         "This helper wants at least one byte.", "Check for 0 first.",
         "r1 = r10\nr1 += -8\n*(u64 *)(r10 -8) = 0\nr2 = 0\ncall trace_printk\nr0 = 0\nexit"),
    Rule("map-helper", ("cannot pass map_type {} into func {}", "cannot update sockmap in this context",
                        "invalid map_ptr to access map->{}", "expected prog array map for tail call",
                        "expected map for helper call", "get_local_storage() doesn't support non-zero flags",
                        "only one cgroup storage of each type is allowed", "tail_call abusing map_ptr"),
         "This helper does not work on maps of that type.", "Use the helper that belongs to the map.",
         ".map m prog_array 4 4 1\n*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = map[m]\ncall map_lookup_elem\nr0 = "
         "0\nexit"),
    Rule("callback-map", ("callback function not allowed for map", "{} callback {}"),
         "The map's elements cannot be walked with a callback.", "Use a hash or array map."),
    Rule("callback-btf", ("missing btf func_info", "callback function R{}", "callback{}must be static",
                          "callback function not static", "callback function cannot be the main program"),
         "A callback is found by the program's BTF.", "Compile with -g."),
    Rule("tail-call-subprog", ("tail_call is not allowed in subprogs without BTF", "LD_ABS is not allowed in "
                                                                                   "subprogs without BTF",
                               "tail_calls are not allowed in non-JITed programs with bpf-to-bpf calls"),
         "Tail calls and packet loads leave a function early: its type must be known to return an int.",
         "Compile with -g.",
         ".map p prog_array 4 4 1\n.type socket_filter\ncall pc+2\nr0 = 0\nexit\nr2 = map[p]\nr3 = 0\ncall "
         "tail_call\nr0 = 0\nexit"),
    Rule("ld-abs-type", ("BPF_LD_[ABS|IND] instructions not allowed for this program type",
                         "cannot use BPF_LD_[ABS|IND] within callback",
                         "BPF_LD_[ABS|IND] instructions cannot be mixed with bpf-to-bpf calls",
                         "at the time of BPF_LD_ABS|IND R6 != pointer to skb"),
         "Only socket filters and classifiers have the packet that these instructions read.", "Use direct packet "
                                                                                              "access.",
         "r6 = r1\nr0 = *(u8 *)skb[0]\nexit"),
    Rule("sleep", ("helper call might sleep in a non-sleepable prog", "sleepable helper {} in {}",
                   "program must be sleepable to call {}", "{} is sleepable within {}"),
         "A helper that may sleep needs a program that may.", "Make the program sleepable (SEC(\"….s\"))."),
    Rule("sleepable-type", ("Syscall programs can only be sleepable",
                            "Only {} programs can be sleepable",
                            "Sleepable programs can only use array, hash, ringbuf and local storage maps"),
         "A sleepable program runs where the kernel may wait; only some places, types and maps allow that.",
         "Load with BPF_F_SLEEPABLE where the type wants it (SEC(\"syscall\")), without elsewhere.",
         ".type syscall\nr0 = 0\nexit"),
    Rule("func-info", ("nonzero insn_off {} for the first func info record",
                       "same or smaller insn offset ({}) than previous func info record ({})",
                       "invalid type id {} in func info",
                       "number of funcs in func_info doesn't match number of subprogs",
                       "func_info BTF section doesn't match subprog layout in BPF program",
                       "{} is only allowed in functions that return 'int'.",
                       "Invalid line_info[{}]{}", "Invalid insn code at line_info[{}].insn_off",
                       "missing bpf_line_info for {}"),
         "What the type information says of functions is believed, so it must be about the functions that are there.",
         "Load the tables that the compiler made together with the code."),
    Rule("kfunc-argument", ("R{} is not a const", "R{} must be a known constant",
                            "release kernel function {} expects refcounted PTR_TO_BTF_ID",
                            "arg#{} pointer type {} must point to {}scalar, or struct with scalar",
                            "arg#{} is {} expected {} or socket", "arg#{} expected pointer to ctx, but got {}",
                            "pointer in R{} isn't map pointer", "R{} must be referenced or trusted",
                            "R{} must be a rcu pointer", "kernel function {} args#{} {}",
                            "arg#{} arg#{} memory, len pair leads to invalid memory access"),
         "The argument is not what this kernel function takes.", "Check the order and kind of the arguments against "
                                                                 "its declaration in vmlinux.h."),
    Rule("iterator", ("arg#{} expected pointer to an iterator on stack", "expected an RCU CS when using {}",
                      "expected an initialized iter_{} as arg #{}", "expected uninitialized iter_{} as arg #{}"),
         "An iterator lives in its own stack slots and is made, moved and ended by its functions.",
         "Call new once, next until it gives NULL, destroy on every path."),
    Rule("kernel-variable", ("ldimm64 insn specifies invalid btf_id {}.", "invalid module BTF object FD specified.",
                             "pseudo btf_id {} in ldimm64 isn't KIND_VAR or KIND_FUNC",
                             "pseudo btf_id {} in ldimm64 isn't KIND_VAR{}."),
         "A wide load of a kernel variable names it by its BTF id.", "Declare it with __ksym and load with libbpf."),
    Rule("global-argument", ("Caller passes invalid args into func#{} {}", "arg#{} is expected to be non-NULL",
                             "R{} is not a scalar", "arg#{} expects pointer to ctx"),
         "A global function is verified for any arguments of its declared types, so every call must pass such.",
         "Pass what the declaration says, or make the function static."),
    Rule("kfunc", ("failed to find BTF for kernel function", "calling kernel function {} is not allowed",
                   "kernel btf_id {} is not a function",
                   "invalid kernel function call not eliminated in verifier pass", "kernel function {}", "kfunc {}",
                   "negative offset disallowed for kernel module function call"),
         "Kernel functions are called by their BTF, and only those that are offered to this program type.",
         "Check name, kernel version and program type.", ".insn 8520000001000000\nr0 = 0\nexit"),
    Rule("lock-call", ("function calls are not allowed while holding a lock", "global function calls are not allowed "
                                                                              "while holding a lock{}",
                       "{} cannot be used inside bpf_spin_lock-ed region", "{} cannot be used inside bpf_{}-ed region"),
         "Nothing that may take long or take a lock itself happens under a spin lock.", "Unlock first."),
    Rule("lock-pairing", ("bpf_spin_unlock without taking a lock", "bpf_spin_unlock of different lock",
                          "bpf_spin_unlock is missing",
                          "Locking two bpf_spin_locks are not allowed", "bpf_rcu_read_unlock is missing",
                          "unmatched {} unlock{}", "nested rcu read lock {}",
                          "unmatched attempt to enable preemption {}", "{} needs to be a pointer to bpf_spin_lock{}"),
         "Every lock is released, once, on every path.", "Pair lock and unlock in the same function."),
    Rule("map-btf", ("map '{}' has to have BTF in order to use {}", "map '{}' has no valid {}", "off {} doesn't "
                                                                                                "point to 'struct "
                                                                                                "{}' that is at {}",
                     "R{} doesn't have constant offset. {} has to be at the constant offset", "R{} has no valid kptr",
                     "timer pointer in R1 map_uid={} doesn't match map pointer in R2 map_uid={}", "Helper has "
                                                                                                  "invalid btf_id in "
                                                                                                  "R{}",
                     "{} progs cannot use bpf_{} yet"),
         "Locks, timers and kernel pointers are found in a value by the map's BTF.",
         "Declare the map with types, and the field as a structure member.",
         _VALUE + "r1 = r0\ncall spin_lock" + _OUT),

    # References -------------------------------------------------------------------------------------------------------
    Rule("reference-leak", ("Unreleased reference id={} alloc_insn={}", "BPF_EXIT instruction{}would lead to "
                                                                        "reference leak",
                            "{} would lead to reference leak",
                            "BPF_LD_[ABS|IND] cannot be mixed with socket references"),
         "What was acquired (socket, ring buffer record) must be released on every path.",
         "Release it before every exit, also where it is null-checked late.", _SK + "r0 = 0\nexit"),
    Rule("release-unowned", ("arg {} is an unacquired reference", "R{} must be referenced when passed to release "
                                                                  "function",
                             "func {} reference has not been acquired before", "more than one arg with ref_obj_id "
                                                                               "R{} {} {}",
                             "cannot release unowned const bpf_dynptr"),
         "Only what this program acquired may be released, and only once.", "Release the pointer that was acquired.",
         ".type sched_cls\nr1 = *(u64 *)(r1 +168)\nif r1 == 0 goto out\ncall sk_release" + _OUT),
    Rule("helper-null", ("Possibly NULL pointer passed to {}",), "The helper wants an object.", "Check for null "
                                                                                                "first."),
    Rule("dynptr", ("Expected an initialized dynptr as arg #{}", "Dynptr has to be an uninitialized dynptr",
                    "cannot overwrite referenced dynptr", "Expected a dynptr of type {} as arg #{}",
                    "arg#{} expected pointer to stack or const struct bpf_dynptr", "Unsupported reg type {} for "
                                                                                   "bpf_dynptr_from_mem data",
                    "cannot pass pointer to const bpf_dynptr, the helper mutates it", "{} has to be at a constant "
                                                                                      "offset",
                    "cannot pass in {} at an offset={}", "potential write to dynptr at off={} disallowed"),
         "A dynamic pointer lives in its own 16 bytes of stack and is made and released by helpers.",
         "Initialise it once, leave its bytes alone, release it.",
         "r1 = r10\nr1 += -8\nr2 = 8\n*(u64 *)(r10 -8) = 0\nr3 = r10\nr3 += -32\nr4 = 0\nr5 = 0\ncall "
         "dynptr_read\nr0 = 0\nexit"),

    # Privileges -------------------------------------------------------------------------------------------------------
    Rule("leak-memory", ("R{} leaks addr into {}", "leaking pointer from stack off {}"),
         "A pointer in memory that user space or another program reads tells where the kernel lies.",
         "Do not store pointers in maps, packets or the context.",
         "!" + _VALUE + "*(u64 *)(r0 +0) = r10" + _OUT),
    Rule("pointer-compare", ("R{} pointer comparison prohibited",),
         "Comparing pointers tells about addresses.", "Compare packet pointers with data_end, others with 0 only.",
         "!r2 = r10\nif r1 == r2 goto +0\nr0 = 0\nexit"),
    Rule("speculative-alu", ("R{} has pointer with unsupported alu operation, pointer arithmetic with it prohibited "
                             "for !root",
                             "R{} tried to {} from different maps, paths or scalars, pointer arithmetic with it "
                             "prohibited for !root",
                             "R{} has unknown scalar with mixed signed bounds, pointer arithmetic with it prohibited "
                             "for !root",
                             "R{} tried to {} beyond pointer bounds, pointer arithmetic with it prohibited for !root",
                             "R{} could not be pushed for speculative verification, pointer arithmetic with it "
                             "prohibited for !root",
                             "R{} pointer arithmetic of map value goes out of range, prohibited for !root"),
         "An offset is masked against speculation; that works only where every path has the same object and limit.",
         "Use one pointer and one bound per addition, or load with CAP_PERFMON.",
         "!.map m hash 8 48 1\n" + _LOOKUP + "if r0 == 0 goto out\nr1 = *(u64 *)(r0 +0)\nr2 = *(u64 *)(r0 +8)\n"
         "if r2 > 4 goto wide\nr1 &= 7\ngoto add\nwide: r1 &= 15\nadd: r0 += r1\nr0 = *(u8 *)(r0 +0)" + _OUT),
    Rule("unprivileged-other", ("{} prohibited for !root{}", "{} for !root"), "Needs CAP_PERFMON.", "Load with "
                                                                                                    "CAP_PERFMON."),
    Rule("internal", ("BUG {}", "bug: {}", "invalid insn idx {} insn_cnt {}", "verifier bug: {}",
                      "verifier internal error{}", "kernel subsystem misconfigured {}"),
         "The verifier found itself in a state that must not happen.", "Report it."),
]

_BY_CODE: Final = {rule.code: rule for rule in RULES}


def rule(code: str) -> Rule | None:
    """The row of that code.

    >>> rule("div-zero").why
    'A division by the constant 0 has no result.'
    """
    return _BY_CODE.get(code)


def match(message: str) -> Rule | None:
    """The row behind a message of the kernel, None when no row knows it.

    >>> match("R2 invalid mem access 'map_value_or_null'"), match("R9 !read_ok"), match("hello")
    (Rule(deref-maybe-null), Rule(uninitialised), None)
    """
    for candidate in RULES:
        for pattern in candidate.patterns:
            if pattern.fullmatch(message):
                return candidate
    return None
