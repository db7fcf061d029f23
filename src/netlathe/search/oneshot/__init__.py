"""One network that holds all others: mixed operators, DARTS, random search with weight sharing.

mixture.py   a choice that is trained         supernet.py  the torch module, run mixed or on one path
cells.py     DARTS cells with all edges       genotypes.py draw, derive, print a genotype
gradient.py  first and second order           curvature.py the Hessian's dominant eigenvalue
options.py   what a search is                 state.py     what changes, and its checkpoint
darts.py, rsws.py                             the two methods' steps
watch.py     signs of collapse                run.py       the loop, the folder, the result
"""
