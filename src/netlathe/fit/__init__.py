"""A folder of images and a budget in, a verified deployable network out."""
