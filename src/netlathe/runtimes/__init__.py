"""Runtimes: one file each, which owns all that is special about it; `registry` has a row for each.

Imports nothing, because every worker process imports this file and its memory is measured.
"""
