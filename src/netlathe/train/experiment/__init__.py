"""Controlled experiments: networks x recipes x training set sizes x seeds, and which made the difference.

grid      the runs, each in a folder named by its content; interrupted experiments go on
subset    a part of the training images, nested, the same for all that share a seed
scores    what the runs reached, as an array over the factors; intervals
variance  how much of the differences each factor, their interactions and the seeds explain
compare   pairs of levels, ranks that flip, the smallest difference that could be seen
table     all of that as tables, Markdown and JSON
"""
