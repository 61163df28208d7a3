# wrong: a predecessor need not dominate
def immediate_dominators(entry, successors, predecessors):
    reached, waiting = {entry}, [entry]
    while waiting:
        for target in successors[waiting.pop()]:
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    return [next(p for p in predecessors[n] if p in reached) if n in reached and n != entry else -1
            for n in range(len(successors))]


# wrong: the closest one, not the entry
def immediate_dominators(entry, successors, predecessors):
    reached, waiting = {entry}, [entry]
    while waiting:
        for target in successors[waiting.pop()]:
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    return [entry if n in reached and n != entry else -1 for n in range(len(successors))]
