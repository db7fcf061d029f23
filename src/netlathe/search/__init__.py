"""Search: a space is an expression with choices; strategies, trials, honest comparison."""
