# wrong: r12 has the low bits of rsp
def memory_operand(reg, base, disp):
    size, mod = (1, 1) if -128 <= disp <= 127 else (4, 2)
    out = bytes([mod << 6 | reg << 3 | base & 7]) + (b"\x24" if base == 4 else b"")
    return out + disp.to_bytes(size, "little", signed=True)


# wrong: a displacement of 8 bits is signed
def memory_operand(reg, base, disp):
    size, mod = (1, 1) if 0 <= disp < 256 else (4, 2)
    out = bytes([mod << 6 | reg << 3 | base & 7]) + (b"\x24" if base & 7 == 4 else b"")
    return out + (disp & (1 << 8 * size) - 1).to_bytes(size, "little")


# wrong: writes a displacement of 8 bits even if it is 0
def memory_operand(reg, base, disp):
    size, mod = (0, 0) if not disp else (1, 1) if -128 <= disp <= 127 else (4, 2)
    out = bytes([mod << 6 | reg << 3 | base & 7]) + (b"\x24" if base & 7 == 4 else b"")
    return out + disp.to_bytes(size, "little", signed=True)


# wrong: the base is in the low three bits
def memory_operand(reg, base, disp):
    size, mod = (1, 1) if -128 <= disp <= 127 else (4, 2)
    out = bytes([mod << 6 | (base & 7) << 3 | reg]) + (b"\x24" if base & 7 == 4 else b"")
    return out + disp.to_bytes(size, "little", signed=True)
