"""Answers that try to get points, or to do harm, in another way than by being right.

Each is the text of a code cell; `{answer}` is the name the exercise asks for, `{solution}` the path of the instructor's
notebook, `{loot}` a file outside that must stay as it is.  `stub` gives the name a value that is wrong everywhere.
"""

from __future__ import annotations

STUB = """
def {answer}(*args, **kwargs):
    return None
"""

HOSTILE = {
    "patches the comparison": STUB + """
import sys
e = sys.modules["bpfbench.course.exercise"]
e.same = lambda a, b: True
e.Exercise.outcome = lambda self, case, got, failure: e.Outcome(case, None, got, "")
e.Exercise.grade = e.Exercise.check = lambda self, answer: 100
e.Report.score = property(lambda self: 100)
""",
    "patches the judge": STUB + """
import bpfbench.course.judge as j, bpfbench.course.grade as g, bpfbench.course.nursery as n
j.ask = j.grade_notebook = lambda *a: dict(points=100)
g.write_pages = lambda *a: None
n.say = lambda *a: None
n.attempted = lambda *a: (None, "")
""",
    "leaves with os._exit": "import os\nos._exit(0)",
    "leaves with sys.exit": STUB + "import sys\nsys.exit(0)",
    "leaves in the answer": "def {answer}(*args):\n    import os\n    os._exit(0)",
    "raises SystemExit in the answer": "def {answer}(*args):\n    raise SystemExit(0)",
    "never ends": "def {answer}(*args):\n    while True:\n        pass",
    "never ends, and ignores signals": """
import signal
for s in (signal.SIGXCPU, signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
    signal.signal(s, signal.SIG_IGN)
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
""",
    "sleeps": "def {answer}(*args):\n    import time\n    time.sleep(1000)",
    "takes all memory": "def {answer}(*args):\n    held = []\n    while True:\n        held.append(bytearray(1 << 24))",
    "takes a huge number": "def {answer}(*args):\n    return 9 ** 9 ** 9",
    "recurses": "def {answer}(*args):\n    return {answer}(*args)",
    "floods the output": "while True:\n    print('x' * 100000)",
    "answers with megabytes": "def {answer}(*args):\n    return 'x' * (50 << 20)",
    "forges results": STUB + """
import os, json
for fd in range(3, 64):
    try:
        os.write(fd, (json.dumps({{"got": [0, 0], "failed": "", "found": True}}) + "\\n").encode() * 100)
    except OSError:
        pass
""",
    "reads the solution": STUB + """
import json
for cell in json.load(open({solution!r}))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]))
""",
    "reads the solution through the shell": STUB + """
import subprocess
exec(subprocess.run(["cat", {solution!r}], capture_output=True, text=True).stdout)
""",
    "looks for the seed in memory": STUB + """
import gc, sys
assert not [o for o in gc.get_objects() if type(o).__name__ == "Master"]
assert "bpfbench.course.judge" not in sys.modules
""",
    "writes files": STUB + """
open({loot!r}, "w").write("overwritten")
""",
    "deletes files": STUB + """
import os, shutil
shutil.rmtree(os.path.dirname({loot!r}), ignore_errors=True)
os.unlink({loot!r})
""",
    "kills the grader": STUB + """
import os, signal
for pid in (os.getppid(), 0, -1):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)
""",
    "forks": STUB + """
import os
while True:
    os.fork()
""",
    "uses the network": STUB + """
import socket
socket.create_connection(("127.0.0.1", 80), 1)
""",
    "calls the engine's own function": """
from bpfbench.course import exercise
from bpfbench.course.plug import locate

ex = exercise({name!r})
held = [locate(path)[2] for path in ex.seals]


def {answer}(*args):
    for function in held:
        try:
            return function(*args)
        except (TypeError, NotImplementedError):
            continue
""",
    "asks for the expected value": """
from bpfbench.course import exercise

ex = exercise({name!r})


def {answer}(*args):
    return ex.expected(ex.public[0])
""",
}

COSTLY = ("never ends", "never ends, and ignores signals", "sleeps", "takes all memory", "takes a huge number",
          "answers with megabytes")  # fmt: skip


def hostile(what: str, name: str, answer: str, solution: str, loot: str) -> str:
    return HOSTILE[what].format(answer=answer, name=name, solution=solution, loot=loot)


def hard_coded(answer: str, recorded: dict[str, object]) -> str:
    """Right for the visible cases, by heart."""
    return f"KNOWN = {recorded!r}\n\n\ndef {answer}(*args):\n    return KNOWN[repr(args)]\n"
