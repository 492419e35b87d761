"""A planted account, machine and secrets, hostile texts in every place that a text can come from, and what is shared of
them: run folders, pages, a model and the gallery, written by processes of that account."""

import base64
import html
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pages import HOSTILE
from PIL import Image, PngImagePlugin
from strangers import EVIL, write_foreign

ROOT = Path(__file__).parents[2]
USER, HOST = "zoë_quince", "quince-laptop"
SECRETS = {
    "HF_TOKEN": "hf_planted0Quince1Token2",
    "AWS_SECRET_ACCESS_KEY": "wJplanted/K7MDENG+bPxRfiCY",
    "DB_PASSWORD": 'pl"anted\\pässw0rd&<1>',
    "DATABASE_URL": "postgres://quince:planted-pa55w@db.example/x",
}
GIVEN = {"api_token": "planted parameter", "options": {"service": {"secret_key": "planted-nested-1", "retries": 3}}}
PASSWORDS = ["planted-pa55w", GIVEN["api_token"], GIVEN["options"]["service"]["secret_key"], *SECRETS.values()]
NAME = EVIL.replace("/", "")  # of a file or folder

WALK = """\
minus: "InputPath" = ""
plus: "InputPath" = ""
base: "InputPath" = ""
scorer: "InputPath" = ""
data: "InputPath" = ""
columns: list = []
prompts: list = []
label: str = ""
saved: "OutputPath" = ""
api_token: str = ""
options: dict = {}"""
MEASURE = """\
corpus = ln.Corpus.load(data, text=columns[0], label=columns[1], name=label)
losses = [ln.Loss(corpus.only(name)) for name in corpus.label_names]
strength = ln.AttributeStrength(scorer, prompts, label=0, n_samples=1, max_new_tokens=6, device="cpu")
curve = ln.evaluate(line, [0, 0.5, 1], [*losses, strength], check=False)
print(ln.record(curve))
curve"""
# Everything private, as programs print it: raw, in capitals, quoted, escaped, in an address, in HTML, encoded.
SAY = """\
import base64, html, json, os, socket, sys, urllib.parse
home, user, host = os.environ["HOME"], os.environ["USER"], socket.gethostname()
places = [home, f"{home}/models", f"/scratch/{user}/x", f"/net/{host}/x", f"file:///scratch/{user}/x"]
secrets = [os.environ[name] for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "DATABASE_URL")]
secrets += [options["service"]["secret_key"]]
ways = [str, repr, json.dumps, html.escape, urllib.parse.quote, lambda text: urllib.parse.quote(text, safe="")]
ways += [lambda text: json.dumps(text).replace("/", r"\\/"), lambda text: json.dumps(text).replace("/", r"\\u002f")]
lines = [way(text) for way in ways for text in [*places, *secrets]] + [text.upper() for text in places]
lines += [base64.b64encode(text.encode()).decode() for text in secrets]
whole = "\\n".join(lines)"""
SHOW = """\
print(whole)
print(*hostile, "\\x1b[31mred\\x1b]8;;https://example.com\\x07link\\x1b]8;;\\x07", sep="\\n")
print(whole, file=sys.stderr)
from IPython.display import display
for text in [*hostile, whole]:
    display({"text/html": text, "text/plain": text}, raw=True)
    display({"text/markdown": text}, raw=True)
drawing = f"<svg xmlns='http://www.w3.org/2000/svg'><text>{html.escape(whole)}</text><script>top.hacked=30</script></svg>"
display({"image/svg+xml": drawing}, raw=True)
picture = base64.b64encode(open("picture.png", "rb").read()).decode()
display({"image/png": picture, "text/plain": "a picture"}, raw=True)
display({"application/javascript": "window.hacked = 31"}, raw=True)
import plotly.graph_objects as go
trace = go.Scatter(x=[0, 1], y=[0, 1], hovertext=lines[:2], name=lines[0])
go.Figure(trace, {"title": lines[0], "meta": {"alt": whole}})"""
FAIL = "raise type(hostile[0], (ValueError,), {})('\\n'.join([whole, *hostile]))"


class Shared(NamedTuple):
    """What a planted account has shared: run folders, a model, a page of a stranger's notebook, a gallery; and what was
    drawn, since a picture's letters are no text."""

    home: Path
    run: Path
    failed: Path
    model: Path
    foreign: Path
    gallery: Path
    drawn: Path

    def files(self) -> list[Path]:
        folders = (self.run, self.failed, self.model, self.gallery)
        return [self.foreign, self.drawn, *(file for folder in folders for file in folder.rglob("*") if file.is_file())]


def share(tiny, root: Path) -> Shared:
    """Run a notebook to its end and another to an error, report a stranger's notebook, renew a gallery."""
    home, work = root / USER, root / USER / "work"
    (work / "foreign").mkdir(parents=True)
    write_foreign(work / "foreign" / "sent.ipynb")
    hostile = [text for text in HOSTILE if len(text) < 1000]
    words = tiny.tokenizer()
    words.add_tokens([text.replace("\n", " ") for text in (*hostile, EVIL)])
    model = tiny.llama(vocabulary=len(words))
    folders = {name: str(home / f"{name} {NAME}") for name in ("minus", "plus", "base")}
    for seed, folder in enumerate(folders.values()):
        tiny.save(tiny.moved(model, seed), Path(folder), words)
    scorer = str(tiny.save(tiny.classifier((EVIL, hostile[0])), home / f"scorer {NAME}", tiny.tokenizer()))
    columns, label = [hostile[2], hostile[4]], f"/scratch/{USER}/{NAME}"
    rows = [
        {columns[0]: f"a film {text}", columns[1]: hostile[i % 2]}
        for i, text in enumerate((*tiny.TEXTS[:2], *hostile[:4]))
    ]
    (work / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    prompts = [f"open {home}/notes", hostile[0], EVIL]
    given = folders | {"scorer": scorer, "data": str(work / "texts.jsonl"), "columns": columns, "prompts": prompts}
    given |= {"label": label, "saved": str(home / "saved"), **GIVEN}
    (work / "given.yaml").write_text(yaml.safe_dump(given, allow_unicode=True), encoding="utf-8")
    write_walk(work / "walk.ipynb", hostile)
    failing = [
        new_code_cell(code) for code in (SAY, f"hostile = {HOSTILE[:8]!r}", SHOW.partition("\ndrawing")[0], FAIL)
    ]
    failing.insert(0, new_code_cell("options: dict = {}", metadata={"tags": ["parameters"]}))
    metadata = {"kernelspec": {"name": EVIL, "display_name": EVIL, "language": "python"}}
    nbformat.write(new_notebook(cells=failing, metadata=metadata), work / f"fails {NAME}.ipynb")
    (work / "plant").mkdir()
    says = f"import platform, socket\nsocket.gethostname = platform.node = lambda: {HOST!r}\n"
    (work / "plant" / "sitecustomize.py").write_text(says, encoding="utf-8")
    (work / "go.py").write_text(GO, encoding="utf-8")
    environment = os.environ | SECRETS | {"HOME": str(home), "USER": USER, "LOGNAME": USER, "PYTHONUTF8": "1"}
    environment |= {
        "PYTHONPATH": f"{work / 'plant'}:{ROOT}",
        "OMP_NUM_THREADS": "1",
        "LERPNB_STORE": str(home / "store"),
    }
    done = subprocess.run(
        [sys.executable, "go.py", str(ROOT / "notebooks" / "rendered" / "build.py"), f"fails {NAME}"],
        env=environment,
        cwd=work,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs = work / "runs"
    pages, drawn = (work / "foreign" / "sent.html", work / "rendered"), work / "drawn.txt"
    return Shared(home, runs / "walk", runs / "fails.failed", home / "saved", *pages, drawn)


# The commands of a person, one after the other in one process: to start Python for each takes most of their time.
GO = """\
import importlib.util, sys
from pathlib import Path
from lerpnb.cli import main
from lerpnb.plots import image

draw = image.draw
def noted(figures, *rest):
    with open("drawn.txt", "a", encoding="utf-8") as file:
        print(figures, file=file)
    return draw(figures, *rest)
image.draw = noted

def command(*arguments):
    try:
        main([*arguments])
    except SystemExit as end:
        return end.code

assert not command("run", "walk.ipynb", "-f", "given.yaml", "--name", "walk")
options = "{options: {service: {secret_key: planted-nested-1}}}"
assert command("run", f"{sys.argv[2]}.ipynb", "-y", options, "--name", "fails") == 1
for page in ("runs/fails.failed", "foreign/sent.ipynb"):
    assert not command("report", page)
spec = importlib.util.spec_from_file_location("build", sys.argv[1])
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
build.build(Path("runs/walk"), Path("."))
"""


def write_walk(path: Path, hostile: list[str]) -> None:
    """A notebook as a person of lerpnb writes it, whose texts are hostile, and which says what is private."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", str(path.parent))
    text.add_itxt("Comment", str(path.parent), zip=True)
    exif = Image.Exif()
    exif[0x010E] = str(path.parent)
    png, jpg = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (9, 9), "white").save(png, "PNG", pnginfo=text, exif=exif)
    Image.new("RGB", (9, 9), "white").save(jpg, "JPEG", exif=exif, comment=str(path.parent).encode())
    (path.parent / "photo.jpg").write_bytes(jpg.getvalue())
    (path.parent / "picture.png").write_bytes(png.getvalue())
    texts = f"hostile = {hostile!r}"
    cells = [
        new_markdown_cell(f"# {HOSTILE[0]} in {path.parent}\n\n{HOSTILE[3]} ![me](photo.jpg)"),
        new_code_cell(WALK, metadata={"tags": ["parameters"]}),
        new_code_cell(
            f"import lerpnb as ln\n\n# in {path.parent}\nline = ln.Line(minus, plus, base, device='cpu')\nline"
        ),
        new_code_cell(MEASURE, metadata={"tags": ["headline"]}),
        *map(
            new_code_cell, ("ln.plots.plot_items(curve)", "ln.plots.plot_texts(curve)", "ln.plots.plot_tradeoff(curve)")
        ),
        new_code_cell("ln.explore(line, prompts[1], alphas=[0, 0.5, 1], max_new_tokens=6)"),
        new_code_cell("line.save(0.5, saved)"),
        *map(new_code_cell, (SAY, texts, SHOW)),
    ]
    nbformat.write(new_notebook(cells=cells, metadata={"path": str(path)}), path)


def forms(word: str) -> set[bytes]:
    """How a word may stand in a file: raw, in capitals, in an address, in JSON and HTML, in base64, in UTF-16."""
    plain = {
        word,
        word.upper(),
        word.lower(),
        quote(word),
        quote(word, safe=""),
        json.dumps(word)[1:-1],
        html.escape(word),
    }
    plain |= {json.dumps(word)[1:-1].replace("/", "\\/"), json.dumps(word)[1:-1].replace("/", "\\u002f")}
    written = {text.encode(code) for text in plain for code in ("utf-8", "utf-16-le", "utf-16-be")}
    encoded = set()
    for data in (word.encode(), word.encode("utf-16-le")):
        for before in range(3):  # base64 reads three bytes at a time; the letters at both edges hold other bytes, too
            text = base64.b64encode(b"\0" * before + data)
            encoded.add(text[(0, 2, 3)[before] : len(text) - (0, 3, 2)[(before + len(data)) % 3]])
    return written | encoded
