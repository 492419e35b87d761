"""An executed notebook as one HTML page that needs nothing: no kernel, no network, no other file. No torch is needed.

The page's Content-Security-Policy allows scripts by their hashes only: whatever a model wrote or a notebook's HTML
holds, nothing else runs, and nothing is asked of any machine.
"""

import base64
import hashlib
import html
import json
import os
import re
import tempfile
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from nbconvert.exporters.html import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets import default

from lerpnb.errors import RunError
from lerpnb.runs.pictures import without_notes
from lerpnb.runs.redaction import Redactor, hidden, secrets_in
from lerpnb.runs.report.cells import finding, headline, take_figures, take_progress, take_title
from lerpnb.runs.report.facts import fact_row, facts_beside, facts_within, footer
from lerpnb.runs.report.sanitize import sanitize
from lerpnb.runs.spec import read_notebook
from lerpnb.utils.atomic import disk_errors, refuse_links, write_whole

NOT_EXECUTED = "This notebook was not executed: the page holds no results."
POLICY = "page-policy"  # stands in the template
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
    place = output.parent.resolve()
    page = render(node, facts_beside(notebook) or facts_within(node), notebook.parent, code)
    with disk_errors(RunError, call, output):
        refuse_links(place)
        write_whole(place / output.name, page)
    return output


def render(notebook: NotebookNode, facts: dict, folder: Path, code: bool = True, plotly: str = "") -> str:
    """The page of an executed notebook as text; facts: what `run.json` holds; folder: the run's.

    plotly: the relative address of a plotly.js that lies beside the page; by default the page holds it.
    """
    resources = {"metadata": {"path": str(folder), "name": "notebook"}, "facts": facts, "plotly": plotly}
    return LerpnbExporter(exclude_input=not code).from_notebook_node(notebook, resources)[0]


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


class FileRenderer(IPythonRenderer):
    """Markdown whose pictures are embedded where they are files beside the notebook or below it, wherever links lead.

    A pipe or a device there would never end.
    """

    def _src_to_base64(self, src: str) -> str | None:
        file, folder = Path(self.path, src).resolve(), Path(self.path).resolve()
        url = super()._src_to_base64(src) if file.is_file() and file.is_relative_to(folder) else None
        if not url:
            return None
        head, _, data = url.partition("base64,")
        return f"{head}base64,{base64.b64encode(without_notes(base64.b64decode(data))).decode()}"


class LerpnbExporter(HTMLExporter):
    """nbconvert's exporter `lerpnb-html`: the headline first, live Plotly figures, folded code; one offline file."""

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

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        renderer = FileRenderer(
            escape=False,
            attachments=context.get("cell", {}).get("attachments", {}),
            embed_images=self.embed_images,
            path=context.get("resources", {}).get("metadata", {}).get("path", ""),
            anchor_link_text=self.anchor_link_text,
            exclude_anchor_links=self.exclude_anchor_links,
            **self.lexer_options,
        )
        return MarkdownWithMath(renderer=renderer).render(source)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The page and nbconvert's resources, from a notebook, which is not changed."""
        resources = dict(resources or {})
        place = resources.setdefault("metadata", {})
        folder = Path(place.get("path", ""))
        if "facts" not in resources:
            resources["facts"] = facts_beside(folder / f"{place.get('name')}.ipynb") or facts_within(nb)
        parameters = resources["facts"].get("parameters") or {}
        redactor = Redactor(secrets_in(os.environ | parameters))
        nb = redactor.notebook(nb)
        facts = redactor(resources["facts"] | {"parameters": hidden(parameters)})
        facts["left out"] = dict(redactor.counts + Counter(facts.get("left out")))
        code = [cell for cell in nb.cells if cell.cell_type == "code"]
        executed = not code or any(cell.outputs for cell in code)
        title, log = take_title(nb) or place.get("name") or "notebook", take_progress(nb)
        top = headline(nb)
        result = (finding(top) if top else "") if executed else NOT_EXECUTED
        figures, images, main = take_figures(nb)
        contents = f"contents-{uuid.uuid4().hex}"
        resources["page"] = {
            "css": _page("page.css") + _code_css(),
            "title": title,
            "finding": result,
            "main": main,
            "row": fact_row(facts, folder),
            "name": facts.get("name") or "",
            "contents": contents,
            "log": log,
            "facts": footer(facts),
        }
        page, resources = super().from_notebook_node(nb, resources, **kw)
        head, start, body = page.partition("<body>")
        body = sanitize(body).replace(contents, _contents(body))
        for mark, image in images.items():
            body = body.replace(mark, image)
        data = json.dumps(figures, separators=(",", ":")).replace("<", "\\u003c")
        tail = f'<script type="application/json" id="figures">{data}</script>'
        scripts, nonce, shared = [_page("page.js")], "", resources.get("plotly")
        # Inert until page.js runs it, so that the static images are on the screen first.
        if figures and shared:
            # Nothing on the page can foresee a hash of the page; a file: address allows no other way to name one file.
            nonce = hashlib.sha256((head + body + tail).encode()).hexdigest()
            tail += f'<script type="text/plain" id="plotly" nonce="{nonce}" data-src="{html.escape(shared)}"></script>'
        elif figures:
            scripts.append(plotly_js())
            tail += f'<script type="text/plain" id="plotly">{scripts[1]}</script>'
        tail += f"<script>{scripts[0]}</script>"
        head = head.replace(POLICY, policy(scripts, nonce))
        return f"{head}{start}{body.rstrip()}\n{tail}</body>\n</html>\n", resources


class MenuExporter(LerpnbExporter):
    """The same as `lerpnb_html`, for a front end's export menu."""

    export_from_notebook = "HTML, offline (lerpnb)"  # JupyterLab ignores it and shows the name


def _page(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def policy(scripts: list[str], nonce: str = "") -> str:
    """The Content-Security-Policy under which these scripts run, one file by its nonce, and nothing else."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = [f"'nonce-{nonce}'"] * bool(nonce) + [f"'sha256-{digest}'" for digest in digests]
    none, rest = (
        "'none'",
        "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'",
    )
    return f"default-src 'none'; script-src {' '.join(allowed) or none}; {rest}"


def _contents(body: str) -> str:
    """Links to a page's sections; none for a page of one or two."""
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', body, re.S)
    items = "".join(f'<li><a href="#{place}">{re.sub("<[^>]*>", "", text)}</a></li>' for place, text in sections)
    return f'<nav aria-label="Contents"><h2>Contents</h2><ul>{items}</ul></nav>' if len(sections) > 2 else ""


def plotly_js() -> str:
    """The plotly.js that all pages use."""
    from plotly.offline import get_plotlyjs  # 5 MB of text, for pages with a figure

    return get_plotlyjs()


def _code_css() -> str:
    day, night = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("default", "github-dark"))
    return f"\n{day}\n@media screen and (prefers-color-scheme: dark) {{\n{night}\n}}\n"
