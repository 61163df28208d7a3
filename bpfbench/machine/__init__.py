"""Host machines: tables of encodings, and what reads them; none has heard of BPF.

    pattern     one row of a manual as a value: encode, decode, print           x86         the same for x86's prefixes
    assembler   labels and fixups                                               x64 a64 a32 mips64 ppc64 rv64
    nfp, nfp_operands, nfp_assembler, nfp_text    the Netronome flow processor
"""
