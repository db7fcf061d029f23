"""Networks with published weights, as a table: what they reach and cost, for forecasts without torch or their library.

benchmarks/derive_catalogue.py makes its files; sources and licences are in SOURCES.md.
"""
