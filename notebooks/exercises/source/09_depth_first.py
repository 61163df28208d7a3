'''Before Linux 5.3 a program with a loop was refused, and the verifier found the loop with a depth-first walk over the
instructions. It keeps the *path* from slot 0 to the current instruction on a stack, and follows the edges out of the
instruction on top, one after the other, in the order given:

* the target was not seen yet: a **tree** edge; the target goes on the stack and is looked at next
* the target is on the stack, that is on the path: a **back** edge, a loop
* the target was seen and has left the stack: a **cross** edge

An instruction without an edge left leaves the stack.

Write `depth_first(edges)`, where `edges[pc]` lists the targets of slot `pc` in the order the kernel follows them. Return every
edge in the order it is followed, as `(kind, from, to)` with kind `"tree"`, `"back"` or `"cross"`. Some cases load a program with
your walk into the verifier of Linux 4.18.

<details><summary>Hint 1</summary>Do not recurse: a program may have a million instructions.</details>
<details><summary>Hint 2</summary>Two marks per instruction suffice, *on the path* and *done*, and for each the number of edges
that have been followed.</details>
'''

def depth_first(edges):
    ### BEGIN SOLUTION
    found = []
    on_path, done, followed = {0}, set(), [0] * len(edges)
    stack = [0]
    while stack:
        pc = stack[-1]
        if followed[pc] == len(edges[pc]):
            stack.pop()
            on_path.discard(pc)
            done.add(pc)
            continue
        target = edges[pc][followed[pc]]
        followed[pc] += 1
        if target in on_path:
            found.append(("back", pc, target))
        elif target in done:
            found.append(("cross", pc, target))
        else:
            found.append(("tree", pc, target))
            stack.append(target)
            on_path.add(target)
    return found
    ### END SOLUTION
