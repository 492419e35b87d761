"""An executed notebook as one HTML page that needs nothing: no kernel, no network, no other file. No torch is needed.

The page's Content-Security-Policy allows scripts by their hashes only: whatever a model wrote or a notebook's HTML
holds, nothing else runs, and nothing is asked of any machine.
"""

import base64
import hashlib
import html
import json
import math
import os
import re
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbconvert.exporters.html import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets import default

from lerpnb.errors import LerpError, RunError
from lerpnb.runs.parameters import parameters_of
from lerpnb.runs.redaction import Redactor, hidden, secrets_in
from lerpnb.runs.report.sanitize import sanitize
from lerpnb.runs.spec import read_notebook
from lerpnb.utils.atomic import write_whole
from lerpnb.utils.progress import time_text

PLOTLY = "application/vnd.plotly.v1+json"
NEVER_SHOWN = ("application/vnd.jupyter.widget-view+json", "application/javascript")
CONFIG = {"showSendToCloud": False, "displaylogo": False, "typesetMath": False, "responsive": True}
PAGE = Path(__file__).parent / "template"  # the template, the style and the script


def write_report(source: str | Path, output: str | Path | None = None, code: bool = True) -> Path:
    """Write the page of a run, or of any executed notebook, and return its path.

    Args:
        source: a run folder, or an executed .ipynb.
        output: where to; by default report.html in the run folder, or the notebook's name with .html.
        code: False leaves the code out; True folds it.

    Raises:
        RunError: nothing to read there, or what is there is no notebook, or `output` cannot be written.

    >>> import nbformat, tempfile
    >>> notebook = Path(tempfile.mkdtemp()) / "seven.ipynb"
    >>> nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Seven")]), notebook)
    >>> write_report(notebook).name
    'seven.html'
    """
    source, call = Path(source), f"write_report({str(source)!r})"
    notebook = source / "executed.ipynb" if source.is_dir() else source
    if not notebook.is_file():
        raise RunError(f"{call}: no file {notebook}.\nPass a run folder or an executed .ipynb.")
    try:
        node = read_notebook(notebook)
    except Exception as error:  # nbformat raises whatever its parts raise
        raise RunError(f"{call}: {notebook} is no notebook.\nPass an executed .ipynb.") from error
    if output is None:
        output = source / "report.html" if source.is_dir() else source.with_suffix(".html")
    output = _writable(Path(output), call)
    if output.resolve() == notebook.resolve():
        raise RunError(f"{call}: {output} is the notebook. Name another file for its page.")
    write_whole(output, render(node, _facts_beside(notebook) or _facts_within(node), notebook.parent, code))
    return output


def render(notebook: NotebookNode, facts: dict, folder: Path, code: bool = True) -> str:
    """The page of an executed notebook as text; facts: what `run.json` holds; folder: where its pictures lie."""
    resources = {"metadata": {"path": str(folder), "name": "notebook"}, "facts": facts}
    return LerpnbExporter(exclude_input=not code).from_notebook_node(notebook, resources)[0]


def _facts_beside(notebook: Path) -> dict:
    """What the `run.json` beside a run's executed.ipynb holds; empty for any other notebook."""
    with suppress(OSError, ValueError, TypeError):  # TypeError: damaged, so that it holds something else
        if notebook.name == "executed.ipynb":
            return dict(json.loads((notebook.parent / "run.json").read_text(encoding="utf-8")))
    return {}


def _facts_within(notebook: NotebookNode) -> dict:
    """The facts in a notebook that was not run by lerpnb: its parameters, and those of its first curve."""
    facts: dict[str, Any] = {}
    with suppress(LerpError):
        facts["parameters"] = {name: one.default for name, one in parameters_of(notebook).items()}
        facts["parameters"] |= notebook.metadata.get("papermill", {}).get("parameters", {})
    for cell in notebook.cells:
        for out in cell.get("outputs", []):
            meta = ((out.get("data", {}).get(PLOTLY) or {}).get("layout") or {}).get("meta")
            if isinstance(meta, dict) and isinstance(meta.get("facts"), dict):
                return facts | {key: value for key, value in meta["facts"].items() if key != "seconds"}
    return facts


def _writable(path: Path, call: str) -> Path:
    """The path, where a file can be written: what stands in the way is an error before a page is built."""
    if path.is_dir():
        raise RunError(f"{call}: {path} is a folder. Name a file, such as {path / 'report.html'}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise RunError(f"{call}: cannot write {path}: {error.strerror}.") from error


class LerpnbExporter(HTMLExporter):
    """nbconvert's exporter `lerpnb-html`: live Plotly figures, folded code, a footer of facts; one offline file."""

    export_from_notebook: Any = None  # not in menus: their addresses take no hyphen, so `MenuExporter` stands there

    @default("template_name")
    def _default_template_name(self) -> str:
        return "base"  # nbconvert's own page asks two networks for scripts; only its order of blocks is used

    @default("raw_template")
    def _default_raw_template(self) -> str:
        return _page("page.html.j2")

    @default("embed_images")
    def _default_embed_images(self) -> bool:
        return True

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The page and nbconvert's resources, from a notebook, which is not changed."""
        resources = dict(resources or {})
        place = resources.setdefault("metadata", {})
        if "facts" not in resources:
            beside = _facts_beside(Path(place.get("path", ""), f"{place.get('name')}.ipynb"))
            resources["facts"] = beside or _facts_within(nb)
        parameters = resources["facts"].get("parameters") or {}
        redactor = Redactor(secrets_in(os.environ | parameters))
        nb = redactor.notebook(nb)
        facts = redactor(resources["facts"] | {"parameters": hidden(parameters)})
        facts["left out"] = dict(redactor.counts)
        figures, images = _take_figures(nb)
        script = _page("page.js")
        scripts = [_plotly_js(), script] if figures else [script]
        resources["page"] = {
            "policy": _policy(scripts),
            "css": _page("page.css") + _code_css(),
            "title": _title(nb) or place.get("name") or "notebook",
            "head": _head(facts),
            "facts": _facts(facts),
        }
        page, resources = super().from_notebook_node(nb, resources, **kw)
        head, start, body = page.partition("<body>")
        body = sanitize(body)
        for mark, image in images.items():
            body = body.replace(mark, image)
        data = json.dumps(figures, separators=(",", ":")).replace("<", "\\u003c")
        tail = f'<script type="application/json" id="figures">{data}</script>'
        tail += "".join(f"<script>{script}</script>" for script in scripts)
        return f"{head}{start}{body.rstrip()}\n{tail}</body>\n</html>\n", resources


class MenuExporter(LerpnbExporter):
    """The same as `lerpnb_html`, for a front end's export menu."""

    export_from_notebook = "HTML, offline (lerpnb)"  # JupyterLab ignores it and shows the name


def _page(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _policy(scripts: list[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    rest = "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {rest}"


def _take_figures(nb: NotebookNode) -> tuple[list[dict], dict[str, str]]:
    """Move every Plotly figure out of the notebook, and drop widgets; the figures, and a mark -> its static image."""
    figures: list[dict] = []
    images: dict[str, str] = {}
    nb.metadata.pop("widgets", None)
    outputs = [out for cell in nb.cells if cell.cell_type == "code" for out in cell.outputs if "data" in out]
    for out in outputs:
        for kind in NEVER_SHOWN:
            out.data.pop(kind, None)
        if PLOTLY not in out.data:
            continue
        # JSON knows no NaN; null is drawn as the gap that it is.
        figure = json.loads(json.dumps(out.data[PLOTLY]), parse_constant=lambda _: None)
        figure["config"] = {**(figure.get("config") or {}), **CONFIG}
        layout, number = figure.setdefault("layout", {}), len(figures) + 1
        meta, title = layout.get("meta"), layout.get("title")
        alt = meta.get("alt") if isinstance(meta, dict) else title.get("text") if isinstance(title, dict) else title
        label = html.escape(re.sub(r"<[^>]*>", " ", alt or f"Figure {number}"))
        png = "".join(out.data.get("image/png", "").split())
        image = f'<img src="data:image/png;base64,{html.escape(png)}" alt="{label}">'
        images[mark := f"image-{uuid.uuid4().hex}"] = f"<noscript>{image}</noscript>" if png else ""
        figures.append(figure)
        place = f'id="figure-{number}" class="figure" role="group" aria-label="{label}"'
        height = int(layout.get("height") or 450)
        out["data"] = NotebookNode({"text/html": f'<div {place} style="height: {height}px">{mark}</div>'})
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("data", True)]
    return figures, images


def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs  # 5 MB of text, for pages with a figure

    return get_plotlyjs()


def _title(nb: NotebookNode) -> str:
    prose = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    heading = re.search(r"^#\s+(.+)", prose, re.M)
    return re.sub(r"[*`]|<[^>]*>", "", heading[1]).strip() if heading else ""


def _head(facts: dict) -> str:
    parts = [facts.get("name"), str(facts.get("started", ""))[:10], facts.get("device")]
    return " · ".join(str(part) for part in [*parts, _took(facts)] if part)


def _took(facts: dict) -> str:
    """How long the run took; empty where a damaged run.json holds no number."""
    seconds = facts.get("seconds")
    return time_text(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else ""


def _facts(facts: dict) -> list[tuple[str, list[tuple[str, str]]]]:
    """The footer's groups, each a title and its (name, value) rows."""
    run = {key: facts[key] for key in ("name", "status", "started", "finished") if key in facts}
    if took := _took(facts):
        run["took"] = took
    if facts.get("peak_memory_bytes"):
        run["peak memory"] = f"{facts['peak_memory_bytes'] / 2**30:.2f} GiB"
    run |= {key: facts[key] for key in ("device", "dtype", "platform") if facts.get(key)}
    notebook, hashes = facts.get("notebook") or {}, facts.get("hashes")
    hashes = {f"{notebook['name']}, sha256": notebook["sha256"], "": hashes or {}} if notebook else hashes
    groups = {"Run": run, "Parameters": facts.get("parameters"), "Seeds": facts.get("seeds"), "Hashes": hashes}
    groups |= {"Versions": facts.get("versions"), "Left out": facts.get("left out")}
    return [(title, list(_rows(group))) for title, group in groups.items() if group]


def _rows(group: Any, prefix: str = "") -> Any:
    if isinstance(group, dict):
        for key, value in group.items():
            yield from _rows(value, f"{prefix} {key}".strip())
    else:
        yield prefix or "value", group if isinstance(group, str) else json.dumps(group, ensure_ascii=False)


def _code_css() -> str:
    day, night = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("default", "github-dark"))
    return f"\n{day}\n@media screen and (prefers-color-scheme: dark) {{\n{night}\n}}\n"
