"""Sums over ranges of rows, in the tasks of an executor and with a checkpoint.

A job (`job`, or the passes of a fit) cuts its rows by `ranges`. Each range is a task (`work`) that computes
a vector (`sums`); `run` sends them through the executor, and a `fold` adds them up in their order: in memory,
or in a `checkpoint`, which `locks` keep for one job alone.
"""
