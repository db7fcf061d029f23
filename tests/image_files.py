"""Files and folders of images, sound and damaged."""

import io

import numpy as np
from PIL import Image


def scene(width=40, height=30, seed=0):
    """A smooth picture without any symmetry, other for every seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    a, b, c = rng.uniform(0.2, 1, 3)
    planes = [a * x, b * y, c * (1 - x) * (0.3 + 0.7 * y)]
    return (np.stack(planes, -1) * 255).round().astype(np.uint8)


def encoded(image, form="PNG", **how):
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, form, **how)
    return buffer.getvalue()


def save_stripes(path, shape, seed):
    """Images (N, H, W, C) of three classes in one file: stripes across, stripes down, both; and noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(shape[0]) % 3
    pixels = random.integers(0, 90, shape, np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        start = random.integers(0, 4)
        if label != 0:
            image[start::4] += 80
        if label != 1:
            image[:, start::4] += 80
    np.savez(path, images=pixels, labels=labels)
    return path


def folder(root, counts, suffix="png", first=0, size=(40, 30)):
    """Class folders with different images."""
    seed = first
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            form = "JPEG" if suffix == "jpg" else suffix.upper()
            (root / name / f"{seed}.{suffix}").write_bytes(encoded(scene(*size, seed=seed), form))
            seed += 1
    return root


def parts(splits):
    """The sets that there are."""
    return [part for part in (splits.train, splits.validation, splits.test) if part is not None]
