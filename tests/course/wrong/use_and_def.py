# wrong: exit reads r0
def uses(i):
    b = set() if i.constant else {i.src}
    return {"mov": (b, {i.dst}), "alu": (b | {i.dst}, {i.dst}), "unary": ({i.dst}, {i.dst}), "load": ({i.src}, {i.dst}),
            "store": (b | {i.dst}, set()), "branch": (b | {i.dst}, set()), "wide": (set(), {i.dst}),
            "call": (set(range(1, 1 + i.arguments)), set(range(6)))}.get(i.kind, (set(), set()))


# wrong: a call destroys r0 to r5
def uses(i):
    b = set() if i.constant else {i.src}
    return {"mov": (b, {i.dst}), "alu": (b | {i.dst}, {i.dst}), "unary": ({i.dst}, {i.dst}), "load": ({i.src}, {i.dst}),
            "store": (b | {i.dst}, set()), "branch": (b | {i.dst}, set()), "wide": (set(), {i.dst}),
            "call": (set(range(1, 1 + i.arguments)), {0}), "exit": ({0}, set())}.get(i.kind, (set(), set()))


# wrong: a move only writes its destination
def uses(i):
    b = set() if i.constant else {i.src}
    return {"mov": (b | {i.dst}, {i.dst}), "alu": (b | {i.dst}, {i.dst}), "unary": ({i.dst}, {i.dst}),
            "load": ({i.src}, {i.dst}), "store": (b | {i.dst}, set()), "branch": (b | {i.dst}, set()),
            "wide": (set(), {i.dst}), "call": (set(range(1, 1 + i.arguments)), set(range(6))),
            "exit": ({0}, set())}.get(i.kind, (set(), set()))
