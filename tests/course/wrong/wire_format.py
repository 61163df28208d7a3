# wrong: off and imm are signed
def fields(raw, big):
    order = "big" if big else "little"
    upper, lower = raw[1] >> 4, raw[1] & 15
    dst, src = (upper, lower) if big else (lower, upper)
    return raw[0], dst, src, int.from_bytes(raw[2:4], order), int.from_bytes(raw[4:8], order)


# wrong: the registers' byte change places
def fields(raw, big):
    import struct
    op, regs, off, imm = struct.unpack(">BBhi" if big else "<BBhi", raw)
    return op, regs & 15, regs >> 4, off, imm


# wrong: the other way round
def fields(raw, big):
    import struct
    op, regs, off, imm = struct.unpack("<BBhi", raw)
    return (op, regs >> 4, regs & 15, off, imm) if big else (op, regs & 15, regs >> 4, off, imm)
