"""Fuzzing: random command lines, damaged files and killed processes, with seeds.

``python -m tests.fuzzing lines 30000 --seed 1`` runs the command line with random words,
``files 45000`` with damaged files of every format, ``kills 1000`` ends it at random moments.
A case is a seed and a number: it repeats alone with ``--first NUMBER`` and a count of 1.
"""
