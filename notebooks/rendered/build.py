"""The gallery: this folder, the only one with outputs. Each file carries its notebook's name and its code's hash.

    python notebooks/rendered/build.py runs/gallery --run

runs every notebook, by the parameters in gallery.yaml, where its run is not up to date, and renews notebooks, pages,
images and index.html from these runs; `make gallery` does so. Without --run it only renews, and one run's folder
instead of the folder of runs renews that notebook alone. Prose is the notebook's own of today; a change of it needs no
new run. The pages share the plotly.js that lies beside them.
"""

import argparse
import base64
import io
import json
import re
import sys
from contextlib import suppress
from pathlib import Path

import jinja2
import nbformat
from PIL import Image, PngImagePlugin

from lerpnb.errors import LerpError, RunError
from lerpnb.runs.plain_yaml import read_yaml
from lerpnb.runs.redaction import Redactor
from lerpnb.runs.report.cells import finding, headline, take_title
from lerpnb.runs.report.exporter import PAGE, plotly_js, policy, render
from lerpnb.runs.report.images import static_images, with_images
from lerpnb.runs.spec import author_code, prepare, source_hash
from lerpnb.runs.sweeps.config import SweepConfig
from lerpnb.runs.sweeps.scheduler import passed, perform
from lerpnb.utils.atomic import write_whole

MAX_BYTES = {".ipynb": 1_500_000, ".html": 6_000_000, "all": 25_000_000}
KEY = "lerpnb"  # of a notebook's metadata, and of a PNG's text
SHARED, INDEX = "plotly.js", "index.html"
TEMPLATE = Path(__file__).parent / "index.html.j2"
LAST = "08_compare_runs"  # reads other runs
CARD = 640  # pixels: the width of a card's picture


def run_all(runs: Path, notebooks: Path) -> bool:
    """Run every notebook that has no run of its present source and parameters; whether all are done.

    gallery.yaml maps a notebook, or NOTEBOOK-ANYTHING for a further run of it, to the parameters that differ.
    """
    given = read_yaml((notebooks / "rendered" / "gallery.yaml").read_text(encoding="utf-8")) or {}
    names = sorted({path.stem for path in course(notebooks)} | set(given), key=lambda name: (name == LAST, name))
    done = True
    for part in (names[:-1], names[-1:]):  # the last one's inputs must be there before it is prepared
        try:
            specs = [prepare(_find(notebooks, f"{n.partition('-')[0]}.ipynb"), given.get(n), n, runs) for n in part]
            done &= passed(perform(SweepConfig("gallery", tuple(specs), ()), runs, retry_failed=True))
        except LerpError as error:  # what failed in the first part may be what the last one reads
            print(error, file=sys.stderr)
            done = False
    return done


def build(runs: Path, notebooks: Path) -> list[Path]:
    """Renew the gallery from a folder of runs, each called as its notebook, or from one run; returns the files."""
    if (runs / "run.json").is_file():
        return [*renew(runs, notebooks), write_index(notebooks / "rendered")]
    files = []
    for path in course(notebooks):
        try:
            files += renew(runs / path.stem, notebooks)
        except RunError as error:  # its files stay as they are, and `faults` knows them
            print(str(error).replace("\n", " "), file=sys.stderr)
    if not files:
        raise RunError(f"build({str(runs)!r}): no run of a notebook is there.\nMake them with `make gallery`.")
    return [*files, write_index(notebooks / "rendered")]


def renew(run: Path, notebooks: Path) -> list[Path]:
    """Put a run's notebook, page and image into `notebooks`/rendered; returns the files.

    The image is the headline, the figure of the cell that is tagged so; without one, or a browser, there is none.

    Raises:
        RunError: the run is not whole, or its notebook has changed since.
    """
    call = f"renew({str(run)!r})"
    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        source = {key: facts["notebook"][key] for key in ("name", "sha256")}
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{call}: no whole run is there.\nMake it with `make gallery`.") from error
    if facts.get("status") != "done" or _hash(_find(notebooks, source["name"])) != source["sha256"]:
        raise RunError(f"{call}: {source['name']} has changed since that run, or the run failed.\nRun it again.")
    whole = with_images(nbformat.read(run / "executed.ipynb", as_version=4))
    in_todays_words(whole, nbformat.read(_find(notebooks, source["name"]), as_version=4))
    node = Redactor().notebook(whole)
    node.metadata[KEY] = source
    gallery = notebooks / "rendered"
    gallery.mkdir(exist_ok=True)
    file, page, image = (gallery / Path(source["name"]).with_suffix(kind) for kind in (".ipynb", ".html", ".png"))
    write_whole(file, nbformat.writes(node) + "\n")
    write_whole(page, render(whole, facts, run, plotly=SHARED))
    write_whole(gallery / SHARED, plotly_js())
    figure = headline(node)
    drawn = static_images([figure], width=1000, scale=2)[0] if figure else None
    if drawn is None:
        return [file, page]
    image.write_bytes(_stamped(drawn, source))
    return [file, page, image]


def write_index(gallery: Path) -> Path:
    """Write the gallery's page: a card for each notebook in it, with its question, its finding and its picture."""
    cards = []
    for file in sorted(gallery.glob("*.ipynb")):
        node = nbformat.read(file, as_version=4)
        figure, image = headline(node), file.with_suffix(".png")
        card = {"title": take_title(node), "finding": finding(figure) if figure else "", **stamp(file)}
        cards.append(card | {"page": f"{file.stem}.html", "picture": _thumbnail(image) if image.is_file() else ""})
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    write_whole(gallery / INDEX, template.render(cards=cards, style=style, policy=policy([])) + "\n")
    return gallery / INDEX


def faults(gallery: Path, notebooks: Path) -> list[str]:
    """What is older than its notebook, missing, of unknown source, or too large: a sentence each."""
    sentences, total = [], 0
    files = [
        file for file in gallery.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc", ".j2", ".yaml")
    ]
    for file in sorted(files):
        size, notebook = file.stat().st_size, _find(notebooks, f"{file.stem}.ipynb")
        total += size
        if size > (largest := MAX_BYTES.get(file.suffix, MAX_BYTES["all"])):
            sentences.append(f"{file.name} has {size:,} bytes, more than {largest:,}.")
        if file.name in (SHARED, INDEX):
            continue
        source = stamp(file)
        if source is None:
            sentences.append(f"{file.name} does not say which notebook it was made from.")
        elif source != {"name": notebook.name, "sha256": _hash(notebook)}:
            sentences.append(f"{file.name} is older than {notebook.name}: `make gallery`.")
        elif file.suffix == ".ipynb" and prose(file) != prose(notebook):
            sentences.append(f"{file.name} has other prose than its notebook: `make gallery`.")
    if total > MAX_BYTES["all"]:
        sentences.append(f"The gallery has {total:,} bytes, more than {MAX_BYTES['all']:,}.")
    names = {file.name for file in files}
    missing = [path.name for path in course(notebooks) if path.name not in names]
    sentences += [f"{name} is not in the gallery: `make gallery`." for name in missing]
    sentences += [f"{name} is missing: `make gallery`." for name in (SHARED, INDEX) if name not in names]
    if INDEX in names:
        listed = re.findall(r'data-name="([^"]+)" data-sha256="(\w+)"', (gallery / INDEX).read_text(encoding="utf-8"))
        stamps = [stamp(file) for file in sorted(gallery.glob("*.ipynb"))]
        if listed != [(one["name"], one["sha256"]) for one in stamps if one]:
            sentences.append(f"{INDEX} lists other notebooks than the gallery has: `make gallery`.")
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


def course(notebooks: Path) -> list[Path]:
    """Every notebook of the course, then the studies."""
    return sorted(notebooks.glob("*.ipynb")) + sorted(notebooks.glob("studies/*.ipynb"))


def _find(notebooks: Path, name: str) -> Path:
    """A notebook of the course, else of the studies."""
    return notebooks / name if (notebooks / name).is_file() else notebooks / "studies" / name


def _hash(notebook: Path) -> str | None:
    return source_hash(nbformat.read(notebook, as_version=4)) if notebook.is_file() else None


def in_todays_words(executed: nbformat.NotebookNode, source: nbformat.NotebookNode) -> None:
    """Give a run the prose and the tags of its notebook, whose code is the same and which may be newer than the run."""
    ran = author_code(executed)
    added = [cell for cell in executed.cells if cell.cell_type == "code" and cell not in ran]
    cells, left = [], iter(ran)
    for cell in source.cells:
        if cell.cell_type != "code":
            cells.append(cell)
            continue
        cells.append(next(left))
        cells[-1].metadata["tags"] = tags = cell.metadata.get("tags", [])
        cells += added if "parameters" in tags else []
    executed.cells = cells


def prose(notebook: Path) -> list[str]:
    """The cells that are no code."""
    return [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type != "code"]


def _stamped(png: bytes, source: dict) -> bytes:
    text, out = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text(KEY, json.dumps(source))
    Image.open(io.BytesIO(png)).save(out, "PNG", pnginfo=text, optimize=True)
    return out.getvalue()


def _thumbnail(image: Path) -> str:
    """A picture, of a tall one the upper square, as a data URL: one page holds all cards."""
    whole, out = Image.open(image).convert("RGB"), io.BytesIO()
    small = whole.crop((0, 0, whole.width, min(whole.height, whole.width)))
    small.thumbnail((CARD, CARD))
    small.save(out, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Renew the gallery from runs.")
    parser.add_argument("runs", type=Path, help="a folder of runs, each called as its notebook, or one run")
    parser.add_argument("--run", action="store_true", help="run the notebooks that have no such run first")
    arguments, notebooks = parser.parse_args(), Path(__file__).resolve().parents[1]
    done = not arguments.run or run_all(arguments.runs, notebooks)
    for made in build(arguments.runs, notebooks):
        print(f"{made}: {made.stat().st_size:,} bytes")
    if not done:
        sys.exit("Some notebooks failed: see above.")


if __name__ == "__main__":
    try:
        main()
    except LerpError as error:
        sys.exit(str(error))
