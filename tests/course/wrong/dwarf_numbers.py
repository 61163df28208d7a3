# wrong: it would be read as -64
def leb128(value, signed):
    out = []
    while True:
        byte, value = value & 127, value >> 7
        if value in ((0, -1) if signed else (0,)):
            return bytes([*out, byte])
        out.append(byte | 128)


# wrong: says that more follow
def leb128(value, signed):
    out = []
    while True:
        byte, value = value & 127, value >> 7
        rest = -1 if signed and byte & 64 else 0
        if value == rest:
            return bytes([*out, byte])
        out.append(byte)


# wrong: the lowest seven bits come first
def leb128(value, signed):
    out = []
    while True:
        byte, value = value & 127, value >> 7
        rest = -1 if signed and byte & 64 else 0
        if value == rest:
            return bytes([byte, *reversed(out)])
        out.append(byte | 128)
