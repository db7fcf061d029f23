"""Documents that people write: read whole, checked whole, and refused with every fault at once.

faults    one error for all faults of a document; unknown names with the nearest legal one
schema    a document against its definition (dataclasses, TypedDicts), by pydantic, in our words
toml      TOML in and out
json      JSON in: names that stand twice are faults
values    what no document may hold, whatever its definition
tables    CSV files with their line numbers

A fault is a line "path: what is wrong (what is legal, or the nearest name)"; a path is `figure[3].unit` or `line 4`.
pydantic is imported where a document is checked, so that commands that check none start without it.
"""
