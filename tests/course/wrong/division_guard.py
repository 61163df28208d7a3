# wrong: the division itself has to be jumped over
def guard(op, wide, dst, src):
    r = "r" if wide else "w"
    divide = f"{r}{dst} {op}= {r}{src}"
    if op == "/":
        return [f"if {r}{src} != 0 goto +1", f"w{dst} ^= w{dst}", divide]
    if wide:
        return [f"if {r}{src} == 0 goto +1", divide]
    return [f"if {r}{src} == 0 goto +2", divide, "goto +1", f"w{dst} = w{dst}"]


# wrong: clears the upper half of its destination
def guard(op, wide, dst, src):
    r = "r" if wide else "w"
    divide = f"{r}{dst} {op}= {r}{src}"
    if op == "/":
        return [f"if {r}{src} != 0 goto +2", f"w{dst} ^= w{dst}", "goto +1", divide]
    return [f"if {r}{src} == 0 goto +1", divide]


# wrong: looks at the low half of the divisor only
def guard(op, wide, dst, src):
    r = "r" if wide else "w"
    divide = f"{r}{dst} {op}= {r}{src}"
    if op == "/":
        return [f"if r{src} != 0 goto +2", f"w{dst} ^= w{dst}", "goto +1", divide]
    if wide:
        return [f"if r{src} == 0 goto +1", divide]
    return [f"if r{src} == 0 goto +2", divide, "goto +1", f"w{dst} = w{dst}"]
