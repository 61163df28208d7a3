# wrong: destroys all of it
def store(slot, at, size, zero):
    return slot[:at] + ("0" if zero else "m") * size + slot[at + size:]


# wrong: a byte that was never written stays so
def store(slot, at, size, zero):
    if slot[0] == "r":
        slot = "m" * 8
    return slot[:at] + ("0" if zero else "m") * size + slot[at + size:]


# wrong: zeros are remembered as such
def store(slot, at, size, zero):
    if slot[0] == "r":
        slot = slot.replace("r", "m").replace("0", "m")
    return slot[:at] + "m" * size + slot[at + size:]
