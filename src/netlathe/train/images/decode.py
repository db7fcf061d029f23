"""One image file: what its header says, and its pixels on a canvas.

The pixels are those that a viewer shows: turned as EXIF says, transparent parts on white, the first frame of an
animation, CMYK and palettes as colours. 16 bits become 8 by their full range, 0..65535. Pixels of 32 bits or floating
point have no agreed range: such a file is a fault.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from importlib import import_module
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.files import read_bytes

try:
    import PIL
    from PIL import ExifTags, Image
except ImportError:
    raise MissingExtra("pillow", "train") from None

DECODER = f"1 of Pillow {PIL.__version__}"  # counts up when the same file gives other pixels
# Formats of photographs and drawings only: Pillow would run other programs for some (EPS), and guess at others (TGA).
PLUGINS = ("Jpeg", "Mpo", "Png", "Gif", "WebP", "Bmp", "Tiff", "Ppm", "Avif")
for plugin in PLUGINS:  # now, because threads cannot load them later without racing
    with suppress(ImportError):  # an older Pillow without AVIF
        import_module(f"PIL.{plugin}ImagePlugin")
FORMATS = tuple(name for name in (*map(str.upper, PLUGINS), "DIB") if name in Image.OPEN)
# HEIC, which Pillow does not read, is here so that its files are named as skipped images.
SUFFIXES = frozenset(
    (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "webp", "bmp", "dib"),
        *("tif", "tiff", "ppm", "pgm", "pbm", "pnm", "avif", "heic", "heif"),
    )
)
LARGEST = 1 << 29  # bytes of a file
GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
TURNED = (5, 6, 7, 8)  # values of EXIF's orientation that exchange width and height
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Canvas(NamedTuple):
    """The shape of every image of a cache, in pixels."""

    height: int
    width: int
    channels: int


class Header(NamedTuple):
    """What a file says before it is decoded; the size is the one that a viewer shows."""

    digest: bytes
    width: int = 0
    height: int = 0
    mode: str = ""
    colour: bool = False
    animated: bool = False
    turned: bool = False  # EXIF says other than upright
    camera: str = ""  # EXIF's make and model, where it also says when
    taken: float = 0.0  # seconds, by the camera's clock
    fault: str = ""


class UnreadableImage(Exception):
    """A file gives no pixels; the text is the reason, in words that files share."""


def read_image(path: Path) -> bytes:
    """The content of an image file. Raises UnreadableImage for what is no regular file, too large, or unreadable."""
    try:
        return read_bytes(path, LARGEST)
    except NetlatheError as error:
        raise UnreadableImage(error.message.removeprefix("cannot read this file: ")) from None


def hash_image(data: bytes | memoryview) -> bytes:
    """What tells contents apart: 16 bytes."""
    return blake2b(data, digest_size=16).digest()


@contextmanager
def silence_warnings() -> Iterator[None]:
    """Pillow's warnings about odd files say nothing here; the one about bombs is an error, and so skips a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_header(data: bytes) -> Header:
    """The header of a file."""
    content = hash_image(data)
    try:
        image = open_image(data)
        late = image.format == "PNG" and "exif" not in image.info  # asking for it would decode the image
        turn = 1 if late else orientation(image)
        width, height = reversed(image.size) if turn in TURNED else image.size
        animated = bool(getattr(image, "is_animated", False))
        camera, taken = ("", 0.0) if late else read_moment(image)
    except UnreadableImage as error:
        return Header(content, fault=str(error))
    except Exception as error:
        return Header(content, fault=explain_failure(error))
    return Header(content, width, height, image.mode, image.mode not in GREY, animated, turn in TURNS,
                  camera, taken)  # fmt: skip


def decode(data: bytes, canvas: Canvas) -> bytes:
    """The pixels of a file on a canvas, row by row. Raises UnreadableImage.

    The largest part of the canvas's shape is cut from the middle and resized, with antialiasing.
    """
    with named_failures():
        image = open_image(data)
        shrink_while_decoding(image, canvas)
        return draw(image, canvas).tobytes()


def decode_twice(data: bytes, canvas: Canvas, small: Canvas) -> tuple[bytes, bytes]:
    """As `decode`, and the whole of it stretched to a second, square canvas, whose pixels do not depend on the first.

    A JPEG that both take at the same scale is decoded once.
    """
    with named_failures():
        image, whole = open_image(data), open_image(data)
        shrink_while_decoding(image, canvas)
        shrink_while_decoding(whole, small)
        if (image.size, image.mode) == (whole.size, whole.mode):
            whole = image
        return draw(image, canvas).tobytes(), draw(whole, small, stretch=True).tobytes()


def draw(image: Image.Image, canvas: Canvas, *, stretch: bool = False) -> Image.Image:
    """An image that was opened, upright on a canvas."""
    image.load()  # PNG files may have their EXIF data behind the pixels
    turn = orientation(image)
    image = fit_to_canvas(convert_mode(image, canvas.channels), canvas, turned=turn in TURNED, stretch=stretch)
    return image.transpose(TURNS[turn]) if turn in TURNS else image


@contextmanager
def named_failures() -> Iterator[None]:
    """Whatever Pillow raises is an UnreadableImage."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(explain_failure(error)) from error


def resize_pixels(pixels: NDArray[np.uint8], canvas: Canvas, *, stretch: bool = False) -> bytes:
    """As `decode`, for an image (H, W, C) that is an array already; C is 1, 3 or 4 (with alpha)."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return fit_to_canvas(convert_mode(image, canvas.channels), canvas, turned=False, stretch=stretch).tobytes()


def open_image(data: bytes) -> Image.Image:
    """The image, not yet decoded."""
    if not data:
        raise UnreadableImage("an empty file")
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except PIL.UnidentifiedImageError:
        raise UnreadableImage("not an image of a known format") from None


def orientation(image: Image.Image) -> int:
    """EXIF's orientation; 1, upright, where the EXIF data cannot be read, and for TIFF, which Pillow turns itself."""
    if image.format == "TIFF":
        return 1
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def read_moment(image: Image.Image) -> tuple[str, float]:
    """The camera and the time of a photograph in seconds, as EXIF says them; ("", 0) where one of them is not there."""
    try:
        exif = image.getexif()
        camera = " ".join(str(exif.get(tag, "")).strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
        details = exif.get_ifd(ExifTags.IFD.Exif)
        moment = datetime.strptime(str(details[ExifTags.Base.DateTimeOriginal]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        part = str(details.get(ExifTags.Base.SubsecTimeOriginal, "0")).strip("\0 ")
        seconds = moment.replace(tzinfo=UTC).timestamp() + (float(f"0.{part}") if part.isdecimal() else 0.0)
    except Exception:  # of whatever a file may say there
        return "", 0.0
    return (camera, seconds) if camera.strip() else ("", 0.0)


def shrink_while_decoding(image: Image.Image, canvas: Canvas) -> None:
    """Let a large JPEG be decoded at 1/2, 1/4 or 1/8, still at least twice the canvas, and without colours for grey."""
    if image.format in ("JPEG", "MPO"):
        width, height = reversed(image.size) if orientation(image) in TURNED else image.size
        scale = 2 * max(canvas.width / width, canvas.height / height)
        mode = "L" if canvas.channels == 1 and image.mode == "RGB" else None
        image.draft(mode, (ceil(image.width * scale), ceil(image.height * scale)))


def convert_mode(image: Image.Image, channels: int) -> Image.Image:
    """Grey or red, green and blue, 8 bits each, nothing transparent."""
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels, which have no agreed range")
    if image.mode == "I" or image.mode.startswith("I;"):
        values: NDArray[Any] = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImage("pixels of 32 bits, which have no agreed range")
        image = Image.fromarray(eight_bits(values))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """0..65535 to the nearest of 0..255."""
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def fit_to_canvas(image: Image.Image, canvas: Canvas, *, turned: bool, stretch: bool = False) -> Image.Image:
    """The middle of an image, resized to the canvas, or to the canvas on its side where the image is still turned.

    `stretch` takes all of it, whatever its shape.
    """
    width, height = (canvas.height, canvas.width) if turned else (canvas.width, canvas.height)
    if image.size == (width, height):
        return image
    if stretch:
        return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    kept_width = min(image.width, image.height * width / height)
    kept_height = min(image.height, image.width * height / width)
    left, top = (image.width - kept_width) / 2, (image.height - kept_height) / 2
    box = (left, top, left + kept_width, top + kept_height)
    return image.resize((width, height), Image.Resampling.BICUBIC, box, reducing_gap=3.0)


def explain_failure(error: Exception) -> str:
    """Why a file gives no pixels, without what is particular to it."""
    text = str(error).lower()
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's guard against decompression bombs"
    if any(word in text for word in ("truncated", "broken", "premature", "data stream")):
        return "the file is cut off or damaged"
    return f"cannot be decoded ({type(error).__name__}: {error})"
