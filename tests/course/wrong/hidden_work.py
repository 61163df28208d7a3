# wrong: told by `prune`
from bpfbench.verifier.observe import Observer


class Work(Observer):
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
        if old.number not in self.used:
            self.used.add(old.number)
            self.unused -= 1


# wrong: told by `kept`
from bpfbench.verifier.observe import Observer


class Work(Observer):
    def __init__(self):
        self.comparisons = self.checkpoints = self.unused = 0
        self.reasons, self.used = {}, set()

    def keep(self, step, pc, state):
        self.checkpoints += 1
        self.unused += 1

    def kept(self, step, pc, old, state, why):
        self.reasons[why] = self.reasons.get(why, 0) + 1

    def prune(self, step, pc, old, state):
        self.comparisons += 1
        if old.number not in self.used:
            self.used.add(old.number)
            self.unused -= 1


# wrong: is one checkpoint
from bpfbench.verifier.observe import Observer


class Work(Observer):
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
        self.unused -= 1


# wrong: make the dict in `__init__`
from bpfbench.verifier.observe import Observer


class Work(Observer):
    reasons = {}

    def __init__(self):
        self.comparisons = self.checkpoints = self.unused = 0
        self.used = set()

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


# wrong: of no use there
from bpfbench.verifier.observe import Observer


class Work(Observer):
    def __init__(self):
        self.comparisons = self.checkpoints = self.unused = 0
        self.reasons, self.used = {}, set()

    def keep(self, step, pc, state):
        self.checkpoints += 1
        self.unused += 1

    def kept(self, step, pc, old, state, why):
        self.comparisons += 1
        if old.number not in self.used:
            self.used.add(old.number)
            self.unused -= 1
        self.reasons[why] = self.reasons.get(why, 0) + 1

    def prune(self, step, pc, old, state):
        self.comparisons += 1
        if old.number not in self.used:
            self.used.add(old.number)
            self.unused -= 1
