'''"Without liveness the verifier processes hardly more instructions": is liveness worth little, then? Comparing a state with
a checkpoint takes time and processes nothing, and a checkpoint takes memory; the usual measure sees neither. So a study
needs a measure of its own before it can say what an algorithm is worth.

Write a class `Work`, a subclass of `Observer`, that counts on one walk:

| attribute | what |
|---|---|
| `comparisons` | how often a state was compared with a checkpoint, whatever came out |
| `reasons` | a dict: why a checkpoint did not cover a state → how often |
| `checkpoints` | how many checkpoints were made |
| `unused` | how many of them never ended a path |

The path walk calls these hooks of an `Observer`:

| hook | when |
|---|---|
| `keep(step, pc, state)` | `state` was made a checkpoint |
| `kept(step, pc, old, state, why)` | checkpoint `old` does not cover `state`, because of `why` (a register, a stack slot, …) |
| `prune(step, pc, old, state)` | checkpoint `old` covers `state`: the path ends here |

Checkpoints have a `number`: `old.number` says which one it is. (The address of an object, `id(old)`, does not: when a
checkpoint is given up, another one may take its place.)

Your observer then measures a study: the same programs without liveness, without precision, without both, without pruning.

<details><summary>Hint</summary>Count a checkpoint as unused when it is made, and take it back when it ends its first
path.</details>
'''

from bpfbench.verifier.observe import Observer


class Work(Observer):
    ### BEGIN SOLUTION
    def __init__(self):
        self.comparisons = self.checkpoints = self.unused = 0
        self.reasons, self.used = {}, set()

    def keep(self, step, pc, state):
        self.checkpoints += 1
        self.unused += 1

    def kept(self, step, pc, old, state, why):
        self.comparisons += 1
        self.reasons[why] = self.reasons.get(why, 0) + 1

    def prune(self, step, pc, old, state):
        self.comparisons += 1
        if old.number not in self.used:
            self.used.add(old.number)
            self.unused -= 1
    ### END SOLUTION
