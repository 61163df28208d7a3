"""The eBPF machine, as RFC 9669 and the kernel print it.

    ops         the table: one row an operation                     reference   its manual page
    insn        one instruction as a value                          codec       to and from bytes
    text        as the kernel and llvm-objdump print it             assembler   text to instructions
    builder     instructions from Python                            helpers     the kernel's helper functions
"""
