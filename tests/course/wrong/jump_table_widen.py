# wrong: old entries may have a sign
def widen(raw, size, signed, shift, anchor, moved):
    out = b""
    for i in range(0, len(raw), size):
        entry = int.from_bytes(raw[i:i + size], "little")
        out += (moved[anchor + (entry << shift)] - anchor).to_bytes(4, "little", signed=True)
    return out


# wrong: an entry is a distance from the anchor
def widen(raw, size, signed, shift, anchor, moved):
    out = b""
    for i in range(0, len(raw), size):
        entry = int.from_bytes(raw[i:i + size], "little", signed=signed)
        out += (moved[anchor + (entry << shift)]).to_bytes(4, "little", signed=True)
    return out


# wrong: look up where to
def widen(raw, size, signed, shift, anchor, moved):
    out = b""
    for i in range(0, len(raw), size):
        entry = int.from_bytes(raw[i:i + size], "little", signed=signed)
        out += (entry << shift).to_bytes(4, "little", signed=True)
    return out


# wrong: the lowest byte comes first
def widen(raw, size, signed, shift, anchor, moved):
    out = b""
    for i in range(0, len(raw), size):
        entry = int.from_bytes(raw[i:i + size], "little", signed=signed)
        out += (moved[anchor + (entry << shift)] - anchor).to_bytes(4, "big", signed=True)
    return out


# wrong: counts instructions
def widen(raw, size, signed, shift, anchor, moved):
    entries = [int.from_bytes(raw[i:i + size], "little", signed=signed) for i in range(0, len(raw), size)]
    return b"".join((moved[anchor + entry] - anchor).to_bytes(4, "little", signed=True) for entry in entries)
