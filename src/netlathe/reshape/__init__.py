"""Rewrites with a meaning: factor, the knobs, compound scaling, the modernisation ladder, folding."""
