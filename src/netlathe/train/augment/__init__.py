"""Augmentation of whole batches of images as tensors: every image by its own random numbers, none by a loader's."""
