"""Images that cannot be read, and the reason that is said of each."""

import struct
import zlib

import numpy as np
from image_files import encoded, scene


def bomb(side):
    """A PNG file of a kilobyte that says that it is much larger."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


JPEG = encoded(scene(400, 300), "JPEG")
PNG = encoded(scene(seed=9))
FAULTY = {
    "empty.png": (b"", "an empty file"),
    "text.jpg": (b"<html>404 Not Found</html>", "not an image of a known format"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "the file is cut off or damaged"),
    "cut.png": (PNG[: len(PNG) // 2], "the file is cut off or damaged"),
    "head.jpg": (JPEG[:20], "not an image of a known format"),
    "bomb.png": (bomb(30_000), "more than 89,478,485 pixels, Pillow's guard against decompression bombs"),
    "huge.png": (bomb(10_000), "more than 89,478,485 pixels, Pillow's guard against decompression bombs"),
    "float.tif": (encoded(np.zeros((30, 40), np.float32), "TIFF"), "floating-point pixels, which have no agreed range"),
    "deep.tif": (encoded(np.full((30, 40), 70000, np.int32), "TIFF"), "pixels of 32 bits, which have no agreed range"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
    "phone.heic": (b"\0\0\0\x18ftypheic" + bytes(40), "not an image of a known format"),
}
