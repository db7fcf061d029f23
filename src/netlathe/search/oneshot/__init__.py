"""One network that holds all others: mixed operators, DARTS, random search with weight sharing.

mixture.py   a choice that is trained         supernet.py  the torch module, run mixed or on one path
cells.py     DARTS cells with all edges       genotypes.py draw, derive, print a genotype
gradient.py  first and second order           curvature.py the Hessian's dominant eigenvalue
options.py   what a search is                 state.py     what changes, and its checkpoint
steps.py     one step of each method          halves.py    the images
watch.py     signs of collapse                task.py, run.py, found.py  the run, the loop, the result
select.py    how weight sharing picks
"""
