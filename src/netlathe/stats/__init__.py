"""Statistics: one definition of each quantity that more than one room needs, on scipy.

student      quantiles and tail probabilities of Student's t and Fisher's F
intervals    of shares (Wilson), medians (order statistics) and bootstrapped statistics
estimates    a mean with its interval and p value; Holm's correction
power        the difference that n pairs show, and the pairs that a difference takes
permutation  the sign-flip test of paired differences
quantiles    of samples, and their empirical distribution
correlation  Kendall's tau
pareto       domination, fronts, crowding, hypervolume

numpy and scipy are imported inside the functions, so that commands that need no statistics start without them.
"""
