"""Transfer: what a pretrained network knows about images that it never saw.

features   its features of the images, computed once and kept      folds   who is held out together
probe      a regularised linear classifier on them, cross-validated   head   the probe as the last layer of the network
"""
