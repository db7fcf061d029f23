"""One network that holds all others: mixed operators, DARTS, random search with weight sharing.

mixed_op.py     a choice that is trained       supernet.py   the torch module, run mixed or on one path
cells.py        DARTS cells with all edges     genotypes.py  draw, derive, print a genotype
gradient.py     first and second order         curvature.py  the Hessian's dominant eigenvalue
options.py      what a search is               state.py      what changes, and its checkpoint
train_step.py   one step of each method        split.py      the images
diagnostics.py  signs of collapse              select.py     how weight sharing picks
task.py, run.py, result.py  the run, the loop, the result
"""
