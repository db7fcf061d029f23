"""Lowering: an expression becomes something that runs."""
