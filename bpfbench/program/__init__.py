"""A program, and what can be said about it from its graph alone.

    program     instructions and what belongs to them         cfg         blocks, edges, functions as a graph
    functions   the partition (slide 26)                      dfs         the walk that finds back edges (slides 26-28)
    dataflow    definitions and uses                          liveness    which registers matter
    dominators, nesting                                       what lies on every way; loops in loops
    loops, iteration, counting, terms                         how often a loop turns
    dot         the graph for Graphviz
"""
