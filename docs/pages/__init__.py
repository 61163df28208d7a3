"""The parts of the site that `docs/build.py` puts together.

    shell       the frame of a page, Markdown to HTML          links      does every link lead somewhere?
    lectures    notebooks as they are saved                    api        docstrings, through pdoc
    manual      instructions, rules, kernel profiles           papers     docs/*.md
    reports     the data sets                             find       the search page
"""
