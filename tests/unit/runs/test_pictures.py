"""Pictures to hand on: their pixels stay, what they say in words does not."""

import io

import pytest
from PIL import Image, ImageChops, PngImagePlugin

from lerpnb.runs.pictures import without_notes

WORDS = "taken by ada in Turin"


def saved(kind: str, **options) -> bytes:
    out, picture = io.BytesIO(), Image.radial_gradient("L").convert("RGB").resize((40, 30))
    picture.save(out, kind, **options)
    return out.getvalue()


def exif(side: int = 1) -> Image.Exif:
    notes = Image.Exif()
    notes[0x010E], notes[0x0112] = WORDS, side
    return notes


def test_a_png_loses_its_texts_and_keeps_its_pixels():
    text = PngImagePlugin.PngInfo()
    for packed in (False, True):
        text.add_text("Author", WORDS, zip=packed)
        text.add_itxt("Comment", WORDS, zip=packed)
    told = saved("PNG", pnginfo=text, exif=exif())
    bare = without_notes(told + WORDS.encode())
    assert WORDS.encode() in told and WORDS.encode() not in bare
    assert Image.open(io.BytesIO(bare)).info == {} and bare == saved("PNG")


@pytest.mark.parametrize("side", [1, 6])
def test_a_jpeg_keeps_its_pixels_and_which_side_is_up(side):
    told = saved("JPEG", exif=exif(side), comment=WORDS.encode(), xmp=WORDS.encode())
    bare = without_notes(told)
    assert told.count(WORDS.encode()) == 3 and WORDS.encode() not in bare
    before, after = (Image.open(io.BytesIO(data)) for data in (told, bare))
    assert dict(after.getexif()) == ({} if side == 1 else {0x0112: 6})
    assert not ImageChops.difference(before, after).getbbox()
    assert side > 1 or bare == saved("JPEG")


def test_other_and_broken_files_are_no_trouble():
    for data in (b"", b"GIF89a taken by ada", b"<svg/>", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"):
        assert without_notes(data) == data
    whole = {kind: saved(kind, exif=exif(6)) for kind in ("PNG", "JPEG")}
    for data in whole.values():
        for end in range(0, len(data), 7):
            without_notes(data[:end])  # it ends, and raises nothing
