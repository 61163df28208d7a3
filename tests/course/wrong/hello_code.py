# wrong: the upper part has to be one more
def code(target, value):
    value &= 0xFFFFFFFF
    if target == "x86_64":
        return [b"\xb8" + value.to_bytes(4, "little"), b"\xc3"]
    if target == "aarch64":
        words = [0x52800000 | (value & 0xFFFF) << 5, 0x72A00000 | (value >> 16) << 5, 0xD65F03C0]
    else:
        words = [0x537 | (value >> 12) << 12, 0x5051B | (value & 0xFFF) << 20, 0x8067]
    return [word.to_bytes(4, "little") for word in words]


# wrong: movk has to write them
def code(target, value):
    value &= 0xFFFFFFFF
    if target == "x86_64":
        return [b"\xb8" + value.to_bytes(4, "little"), b"\xc3"]
    if target == "aarch64":
        words = [0x52800000 | (value & 0xFFFF) << 5, 0xD65F03C0]
    else:
        upper = (value + 0x800) >> 12 & 0xFFFFF
        words = [0x537 | upper << 12, 0x5051B | (value & 0xFFF) << 20, 0x8067]
    return [word.to_bytes(4, "little") for word in words]


# wrong: the lowest byte comes first
def code(target, value):
    value &= 0xFFFFFFFF
    if target == "x86_64":
        return [b"\xb8" + value.to_bytes(4, "big"), b"\xc3"]
    if target == "aarch64":
        words = [0x52800000 | (value & 0xFFFF) << 5, 0x72A00000 | (value >> 16) << 5, 0xD65F03C0]
    else:
        upper = (value + 0x800) >> 12 & 0xFFFFF
        words = [0x537 | upper << 12, 0x5051B | (value & 0xFFF) << 20, 0x8067]
    return [word.to_bytes(4, "big") for word in words]


# wrong: begins at bit 5
def code(target, value):
    value &= 0xFFFFFFFF
    if target == "x86_64":
        return [b"\xb8" + value.to_bytes(4, "little"), b"\xc3"]
    if target == "aarch64":
        words = [0x52800000 | value & 0xFFFF, 0x72A00000 | value >> 16, 0xD65F03C0]
    else:
        upper = (value + 0x800) >> 12 & 0xFFFFF
        words = [0x537 | upper << 12, 0x5051B | (value & 0xFFF) << 20, 0x8067]
    return [word.to_bytes(4, "little") for word in words]


# wrong: the code does not come back
def code(target, value):
    value &= 0xFFFFFFFF
    if target == "x86_64":
        return [b"\xb8" + value.to_bytes(4, "little")]
    if target == "aarch64":
        words = [0x52800000 | (value & 0xFFFF) << 5, 0x72A00000 | (value >> 16) << 5]
    else:
        upper = (value + 0x800) >> 12 & 0xFFFFF
        words = [0x537 | upper << 12, 0x5051B | (value & 0xFFF) << 20]
    return [word.to_bytes(4, "little") for word in words]
