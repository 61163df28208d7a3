'''Where does the verifier's time go? The path walk calls the hooks of an `Observer` for everything that happens; all of them do
nothing by default:

| hook | when |
|---|---|
| `visit(step, pc, state)` | the instruction at `pc` is about to be processed |
| `fork(step, pc, target, state, speculative)` | a branch leaves a second path for later |
| `keep(step, pc, state)` | a checkpoint was made |
| `kept(step, pc, old, state, why)` | checkpoint `old` does not cover the state, because of `why` |
| `prune(step, pc, old, state)` | checkpoint `old` covers the state, so the path ends here |
| `end(step, pc, state)` | a path is over: at the end of the program, or because it was pruned |

Write a class `Cost`, a subclass of `Observer`, with three attributes: `visits`, a dict from pc to how often the instruction was
processed; `prunes`, a dict from pc to how many paths were pruned there; `paths`, how many paths were walked.

<details><summary>Hint</summary>An `__init__` sets the three attributes; two of the counts need one hook each, and so does the
third.</details>
'''

from bpfbench.verifier.observe import Observer


class Cost(Observer):
    ### BEGIN SOLUTION
    def __init__(self):
        self.visits, self.prunes, self.paths = {}, {}, 0

    def visit(self, step, pc, state):
        self.visits[pc] = self.visits.get(pc, 0) + 1

    def prune(self, step, pc, old, state):
        self.prunes[pc] = self.prunes.get(pc, 0) + 1

    def end(self, step, pc, state):
        self.paths += 1
    ### END SOLUTION
