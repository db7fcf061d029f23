"""Self-supervised learning: a network learns from images alone what it will later be fine-tuned from.

method.py    SimCLR, its decoupled loss, MoCo v2 as data    views.py   two augmentations of each image
encoder.py   a network without its classifier, projectors   losses.py  NT-Xent, decoupled, against a queue
simclr.py, moco.py   the methods as tasks of the loop       knn.py, probe.py, judge.py   what the features are worth
run.py       pretrain()
"""
