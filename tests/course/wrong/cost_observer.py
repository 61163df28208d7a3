# wrong: every path has an end
from bpfbench.verifier.observe import Observer


class Cost(Observer):
    def __init__(self):
        self.visits, self.prunes, self.paths = {}, {}, 0

    def visit(self, step, pc, state):
        self.visits[pc] = self.visits.get(pc, 0) + 1

    def prune(self, step, pc, old, state):
        self.prunes[pc] = self.prunes.get(pc, 0) + 1

    def fork(self, step, pc, target, state, speculative):
        self.paths += 1


# wrong: only `prune` ends a path
from bpfbench.verifier.observe import Observer


class Cost(Observer):
    def __init__(self):
        self.visits, self.prunes, self.paths = {}, {}, 0

    def visit(self, step, pc, state):
        self.visits[pc] = self.visits.get(pc, 0) + 1

    def prune(self, step, pc, old, state):
        self.prunes[pc] = self.prunes.get(pc, 0) + 1

    def kept(self, step, pc, old, state, why):
        self.prunes[pc] = self.prunes.get(pc, 0) + 1

    def end(self, step, pc, state):
        self.paths += 1


# wrong: the observer needs a dict `prunes`
from bpfbench.verifier.observe import Observer


class Cost(Observer):
    def __init__(self):
        self.visits, self.paths = {}, 0
