"""Pictures to hand on: what a file says in words beside its pixels, such as who took it and where, is left out."""

import io
from contextlib import suppress

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
WORDS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf")  # of a PNG's chunks
NOTES = (0xE1, 0xED, 0xFE)  # of a JPEG's segments: EXIF and XMP, IPTC, comments
SCAN, ORIENTATION = 0xDA, 0x0112


def without_notes(picture: bytes) -> bytes:
    """A PNG or JPEG without texts, EXIF (but which side is up), XMP and comments; its pixels, and other files, stay."""
    if picture.startswith(PNG):
        return _png(picture)
    return _jpeg(picture) if picture.startswith(JPEG) else picture


def _png(picture: bytes) -> bytes:
    kept, at, kind = [PNG], len(PNG), b""
    while at < len(picture) and kind != b"IEND":
        size, kind = int.from_bytes(picture[at : at + 4]), picture[at + 4 : at + 8]
        if kind not in WORDS:
            kept.append(picture[at : at + size + 12])
        at += size + 12
    return b"".join(kept)


def _jpeg(picture: bytes) -> bytes:
    kept, at = [JPEG], 2
    while (marker := picture[at + 1 : at + 2]) and marker[0] != SCAN:
        end = at + 2 + int.from_bytes(picture[at + 2 : at + 4])
        if marker[0] not in NOTES:
            kept.append(picture[at:end])
        elif picture[at + 4 : at + 8] == b"Exif":
            kept.append(_upright(picture))
        at = end
    return b"".join([*kept, picture[at:]])


def _upright(picture: bytes) -> bytes:
    """The segment that says only which side of a JPEG is up; nothing where it is as it lies."""
    from PIL import Image

    exif, side = Image.Exif(), 1
    with suppress(Exception):  # whatever a damaged picture raises
        side = Image.open(io.BytesIO(picture)).getexif().get(ORIENTATION, 1)
    if side == 1:
        return b""
    exif[ORIENTATION] = side
    content = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    return bytes([0xFF, NOTES[0]]) + (len(content) + 2).to_bytes(2) + content
