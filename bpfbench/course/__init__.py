"""Graded exercises: each is a hole in the real engine, and the student's code fills it.

    exercise.py   what an exercise is: cases, an attempt on each, a judgement, the mistakes that are known by name
    exercises/    the exercises, by area; notebooks/exercises holds the notebook of each
    plug.py       puts a student's function in the place of the engine's
    sources.py    the engine from its sources, where it is compiled
    convert.py    instructor notebook -> student notebook (nbgrader's cell metadata)
    sandbox.py    what a student's process may not do
    nursery.py    the warm process from which each student's process is forked
    grade.py      a folder of submissions -> feedback pages and a CSV

The engine is the specification, so nothing secret is needed: what is expected is computed by the judge with the engine
itself, on cases that a seed makes.

>>> from bpfbench.course import exercise
>>> exercise("tnum-add")
Exercise(tnum-add, 2 stars, 4 points)
"""

from bpfbench.course.exercise import Exercise, Score, find
from bpfbench.course.sources import prefer_sources

__all__ = ["Exercise", "Score", "exercise"]

prefer_sources()


def exercise(name: str) -> Exercise:
    """The exercise with this name; CourseError lists the known ones."""
    return find(name)
