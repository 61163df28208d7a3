'''A block *dominates* another if it is on every way from the entry to it. The closest of a block's dominators other than
itself is its *immediate dominator*. An edge to a block that dominates where it comes from is the back edge of a *natural
loop*: this is how `bb.cfg(prog).loops` are found.

Write `immediate_dominators(entry, successors, predecessors)`: both lists give for each node a list of nodes. Return a list
with the immediate dominator of each node, `-1` for the entry and for nodes that the entry does not reach.

<details><summary>Hint 1</summary>Start with "every node dominates every node" and take away: a node's dominators are itself and
what dominates *all* its predecessors. Repeat until nothing changes. Predecessors that are not reached do not count.</details>
<details><summary>Hint 2</summary>The dominators of a node form a chain: the closest is the one that has the most dominators
itself.</details>
'''

def immediate_dominators(entry, successors, predecessors):
    ### BEGIN SOLUTION
    reached, waiting = {entry}, [entry]
    while waiting:
        for target in successors[waiting.pop()]:
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    over = {node: set(reached) for node in reached}
    over[entry] = {entry}
    changed = True
    while changed:
        changed = False
        for node in reached - {entry}:
            new = {node} | set.intersection(*[over[p] for p in predecessors[node] if p in reached])
            changed |= new != over[node]
            over[node] = new
    closest = [-1] * len(successors)
    for node in reached - {entry}:
        closest[node] = max(over[node] - {node}, key=lambda above: len(over[above]))
    return closest
    ### END SOLUTION
