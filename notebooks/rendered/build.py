"""The gallery: this folder, the only one with outputs. Each file carries its notebook's name and its source's hash.

    python notebooks/rendered/build.py runs/demo

renews a notebook, its page and its image from a run of it; `make gallery` does so for the demo.
"""

import io
import json
import re
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
from PIL import Image, PngImagePlugin

from lerpnb.errors import LerpError, RunError
from lerpnb.runs.redaction import Redactor
from lerpnb.runs.report.exporter import render
from lerpnb.runs.report.images import PLOTLY, static_images, with_images
from lerpnb.runs.spec import source_hash
from lerpnb.utils.atomic import write_whole

MAX_BYTES = {".ipynb": 1_500_000, ".html": 8_000_000, "all": 20_000_000}
PICTURE = "picture"  # tag of the cell whose figure becomes the image
KEY = "lerpnb"  # of a notebook's metadata, and of a PNG's text


def renew(run: Path, notebooks: Path) -> list[Path]:
    """Put a run's notebook, page and image into `notebooks`/rendered; returns the files.

    The image is the figure of the cell that is tagged `picture`; without such a cell, or a browser, there is none.

    Raises:
        RunError: the run is not whole, or its notebook has changed since.
    """
    call = f"renew({str(run)!r})"
    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        source = {key: facts["notebook"][key] for key in ("name", "sha256")}
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{call}: no whole run is there.\nMake it with `make demo`.") from error
    if facts.get("status") != "done" or _hash(_find(notebooks, source["name"])) != source["sha256"]:
        raise RunError(f"{call}: {source['name']} has changed since that run, or the run failed.\nRun it again.")
    whole = with_images(nbformat.read(run / "executed.ipynb", as_version=4))
    node = Redactor().notebook(whole)
    node.metadata[KEY] = source
    file = notebooks / "rendered" / source["name"]
    page, image = file.with_suffix(".html"), file.with_suffix(".png")
    for path, text in ((file, nbformat.writes(node) + "\n"), (page, render(whole, facts, run))):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    tagged = [cell.outputs for cell in node.cells if PICTURE in cell.metadata.get("tags", [])]
    figures = [out.data[PLOTLY] for outputs in tagged for out in outputs if PLOTLY in out.get("data", {})]
    drawn = [png for png in static_images(figures[:1], width=1000, scale=2) if png is not None]
    if not drawn:
        return [file, page]
    image.write_bytes(_stamped(drawn[0], source))
    return [file, page, image]


def faults(gallery: Path, notebooks: Path) -> list[str]:
    """What is older than its notebook, of unknown source, or too large: a sentence each."""
    sentences, total = [], 0
    for file in sorted(file for file in gallery.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")):
        size, notebook = file.stat().st_size, _find(notebooks, f"{file.stem}.ipynb")
        total += size
        if size > (largest := MAX_BYTES.get(file.suffix, MAX_BYTES["all"])):
            sentences.append(f"{file.name} has {size:,} bytes, more than {largest:,}.")
        source = stamp(file)
        if source is None:
            sentences.append(f"{file.name} does not say which notebook it was made from.")
        elif source != {"name": notebook.name, "sha256": _hash(notebook)}:
            sentences.append(f"{file.name} is older than {notebook.name}: run it again, then `make gallery`.")
    if total > MAX_BYTES["all"]:
        sentences.append(f"The gallery has {total:,} bytes, more than {MAX_BYTES['all']:,}.")
    return sentences


def stamp(file: Path) -> dict[str, str] | None:
    """The notebook's name and source's hash that a file of the gallery carries."""
    with suppress(Exception):  # whatever cannot be read carries none
        if file.suffix == ".ipynb":
            return dict(nbformat.read(file, as_version=4).metadata[KEY])
        if file.suffix == ".html":
            row = r"<dt>(\w+\.ipynb), sha256</dt><dd>([0-9a-f]{64})</dd>"
            return dict(zip(("name", "sha256"), re.search(row, file.read_text(encoding="utf-8")).groups(), strict=True))
        if file.suffix == ".png":
            return json.loads(Image.open(file).text[KEY])
    return None


def _find(notebooks: Path, name: str) -> Path:
    """A notebook of the course, else of the studies."""
    return notebooks / name if (notebooks / name).is_file() else notebooks / "studies" / name


def _hash(notebook: Path) -> str | None:
    return source_hash(nbformat.read(notebook, as_version=4)) if notebook.is_file() else None


def _stamped(png: bytes, source: dict) -> bytes:
    text, out = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text(KEY, json.dumps(source))
    Image.open(io.BytesIO(png)).save(out, "PNG", pnginfo=text, optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    try:
        for made in renew(Path(sys.argv[1]), Path(__file__).resolve().parents[1]):
            print(f"{made}: {made.stat().st_size:,} bytes")
    except LerpError as error:
        sys.exit(str(error))
