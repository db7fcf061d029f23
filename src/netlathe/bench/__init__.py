"""Measured latency on this machine: `measure.measure`, under the runtimes of `runtimes`, kept in the `ledger`.

Imports nothing, because every worker process imports this file and its memory is measured.
"""
