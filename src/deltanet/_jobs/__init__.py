"""Sums over many rows in the tasks of an executor.

`ranges` cuts the rows, `locks` keeps two jobs off one file.
"""
