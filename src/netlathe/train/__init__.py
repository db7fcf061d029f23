"""Training: recipes as data, images, augmentation, the loop, distributed, self-supervised. Needs the extra `train`."""
