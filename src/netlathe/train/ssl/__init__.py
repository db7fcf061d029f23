"""Self-supervised learning: a network learns from images alone what it will later be fine-tuned from.

pretraining.py   the task, and pretrain()    method.py    SimCLR, its decoupled loss, MoCo v2 as data
encoder.py   a network without its classifier, projectors   losses.py  NT-Xent, decoupled, against a queue
simclr.py, moco.py   the modules of the methods   knn.py, probe.py, feature_score.py   what the features are worth
"""
