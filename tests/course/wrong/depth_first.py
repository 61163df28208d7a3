# wrong: only one to the path itself is a back edge
def depth_first(edges):
    found, seen, path, left = [], {0}, [0], [list(e) for e in edges]
    while path:
        pc = path[-1]
        if not left[pc]:
            path.pop()
            continue
        target = left[pc].pop(0)
        if target in seen:
            found.append(("back", pc, target))
            continue
        seen.add(target)
        path.append(target)
        found.append(("tree", pc, target))
    return found


# wrong: falling through first
def depth_first(edges):
    found, seen, path, left = [], {0}, [0], [list(e) for e in edges]
    while path:
        pc = path[-1]
        if not left[pc]:
            path.pop()
            continue
        target = left[pc].pop()
        if target in seen:
            found.append(("back" if target in path else "cross", pc, target))
            continue
        seen.add(target)
        path.append(target)
        found.append(("tree", pc, target))
    return found
