"""An executed notebook as one HTML page that needs nothing: no kernel, no network, no other file. It knows no torch.

The page's Content-Security-Policy allows scripts by their hashes only: whatever a model wrote or a notebook's HTML
holds, nothing else runs, and nothing is asked of any machine.
"""

import base64
import getpass
import hashlib
import html
import json
import os
import re
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
from bs4 import BeautifulSoup
from nbconvert.exporters.html import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets import default

from .errors import RunError
from .progress import time_text

PLOTLY = "application/vnd.plotly.v1+json"
NEVER_SHOWN = ("application/vnd.jupyter.widget-view+json", "application/javascript")
CONFIG = {"showSendToCloud": False, "displaylogo": False, "typesetMath": False, "responsive": True}
# Names that say nothing about a person or a machine, and are words of other texts.
NOBODY = {"root", "user", "users", "home", "admin", "ubuntu", "debian", "runner", "jovyan", "vscode", "nobody", "test"}
NOWHERE = {"localhost", "host", "node", "server", "main", "demo", "test"}
COLOUR = r"\x1b\[[\d;]*m"  # of a terminal; it ends in a letter, and a name may follow at once
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY", re.I)
REMOVED = "script iframe frame frameset object embed applet meta base link form noscript template portal".split()
ADDRESSES = set("href src srcset srcdoc action formaction data poster background ping cite xlink:href".split())
ASKS = re.compile(r"url\(|@import|image-set\(", re.I)  # what makes a style ask for a file
LINKS = ("#", "http://", "https://", "mailto:")


def report(source: str | Path, output: str | Path | None = None, code: bool = True) -> Path:
    """Write the page of a run, or of any executed notebook, and return its path.

    Args:
        source: a run folder, or an executed .ipynb.
        output: where to; by default report.html in the run folder, or the notebook's name with .html.
        code: False leaves the code out; True folds it.

    Raises:
        RunError: nothing to read there, or what is there is no notebook.

    >>> import tempfile
    >>> notebook = Path(tempfile.mkdtemp()) / "seven.ipynb"
    >>> nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Seven")]), notebook)
    >>> report(notebook).name
    'seven.html'
    """
    source = Path(source)
    notebook = source / "executed.ipynb" if source.is_dir() else source
    if not notebook.is_file():
        raise RunError(f"report({str(source)!r}): no file {notebook}.\nPass a run folder or an executed .ipynb.")
    try:
        node = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises whatever its parts raise
        raise RunError(f"report({str(source)!r}): {notebook} is no notebook.\nPass an executed .ipynb.") from error
    if output is None:
        output = source / "report.html" if source.is_dir() else source.with_suffix(".html")
    write_whole(Path(output), render(node, facts_beside(notebook), notebook.parent, code))
    return Path(output)


class _Module(ModuleType):
    """Once anything has imported this module, it is what `lerpnb.report` names: it may be called like its function."""

    __call__ = staticmethod(report)


sys.modules[__name__].__class__ = _Module


def render(notebook: NotebookNode, facts: dict, folder: Path, code: bool = True) -> str:
    """The page of an executed notebook as text; facts: what `run.json` holds; folder: where its pictures lie."""
    resources = {"metadata": {"path": str(folder), "name": "notebook"}, "facts": facts}
    return LerpnbExporter(exclude_input=not code).from_notebook_node(notebook, resources)[0]


def facts_beside(notebook: Path) -> dict:
    """What the `run.json` beside a run's executed.ipynb holds; empty for any other notebook."""
    with suppress(OSError, ValueError):
        if notebook.name == "executed.ipynb":
            return dict(json.loads((notebook.parent / "run.json").read_text(encoding="utf-8")))
    return {}


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all, into a folder that is made if absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def scrub(value: Any, also: dict[str, str] | None = None) -> Any:
    """A copy of JSON-like data in which no string tells whose machine it came from.

    The home folder becomes ~, the user's and the machine's names become user and host, and values of environment
    variables called token, secret, password or key become ***. Pictures are left as they are.

    Args:
        value: dicts, lists and strings, nested.
        also: further texts to replace, and what by.

    >>> scrub({"model": f"{Path.home()}/models/a"})
    {'model': '~/models/a'}
    """
    rules = [(re.compile(re.escape(old)), new) for old, new in (also or {}).items()] + _private()

    def clean(part: Any, name: str = "") -> Any:
        if isinstance(part, str) and not (name == "bdata" or name.startswith("image/") and name != "image/svg+xml"):
            for pattern, new in rules:
                part = pattern.sub(lambda found, new=new: (found[1] if found.re.groups else "") + new, part)
        elif isinstance(part, dict):
            return type(part)({clean(key): clean(inner, key) for key, inner in part.items()})
        elif isinstance(part, list | tuple):
            return [clean(inner, name) for inner in part]
        return part

    return clean(value)


def _private() -> list[tuple[re.Pattern, str]]:
    home, user, host = Path.home(), "", socket.gethostname()
    with suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        user = getpass.getuser()
    paths = {str(home), str(home.resolve())}
    rules = [(re.compile(rf"({COLOUR}|(?<![\w.~-])){re.escape(path)}(?![\w-])"), "~") for path in paths]
    secrets = {value for key, value in os.environ.items() if SECRET.search(key) and len(value) >= 8}
    rules += [(re.compile(re.escape(value)), "***") for value in secrets]
    names = [(name, "host") for name in (host, host.split(".")[0]) if name.lower() not in NOWHERE]
    names += [(name, "user") for name in (user, home.name) if name.lower() not in NOBODY]
    return rules + [
        (re.compile(rf"({COLOUR}|(?<![A-Za-z0-9])){re.escape(name)}(?![A-Za-z0-9])"), new)
        for name, new in names
        if len(name) > 2
    ]


class LerpnbExporter(HTMLExporter):
    """nbconvert's exporter `lerpnb-html`: live Plotly figures, folded code, a footer of facts; one file, offline."""

    export_from_notebook = "HTML, offline (lerpnb)"

    @default("template_name")
    def _default_template_name(self) -> str:
        return "base"  # nbconvert's own page asks two networks for scripts; only its order of blocks is used here

    @default("raw_template")
    def _default_raw_template(self) -> str:
        return TEMPLATE

    @default("embed_images")
    def _default_embed_images(self) -> bool:
        return True

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """The page and nbconvert's resources, from a notebook, which is not changed."""
        resources = dict(resources or {})
        place = resources.setdefault("metadata", {})
        if "facts" not in resources:
            resources["facts"] = facts_beside(Path(place.get("path", ""), f"{place.get('name')}.ipynb"))
        facts = scrub(resources["facts"])
        nb = scrub(nb)
        figures, twins = _take_figures(nb)
        scripts = [_plotly_js(), BOOT] if figures else [BOOT]
        resources["page"] = {
            "policy": _policy(scripts),
            "css": CSS + _code_css(),
            "title": _title(nb) or place.get("name") or "notebook",
            "head": _head(facts),
            "facts": _facts(facts),
        }
        page, resources = super().from_notebook_node(nb, resources, **kw)
        data = json.dumps(figures, separators=(",", ":")).replace("<", "\\u003c")
        tail = f'<script type="application/json" id="figures">{data}</script>'
        tail += "".join(f"<script>{script}</script>" for script in scripts)
        before, end, after = _harmless(page, twins).rpartition("</body>")
        return before + tail + end + after, resources


def _policy(scripts: list[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    rest = "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {rest}"


def _take_figures(nb: NotebookNode) -> tuple[list[dict], list[str | None]]:
    """Move every Plotly figure out of the notebook, leaving its place; drop widgets. Returns figures and PNG twins."""
    figures, twins = [], []
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
        told = meta.get("alt") if isinstance(meta, dict) else title.get("text") if isinstance(title, dict) else title
        told = html.escape(re.sub(r"<[^>]*>", " ", told or f"Figure {number}"))
        twins.append(out.data.get("image/png"))
        figures.append(figure)
        place = f'id="figure-{number}" class="figure" role="group" aria-label="{told}"'
        out["data"] = NotebookNode(
            {"text/html": f'<div {place} style="height: {int(layout.get("height") or 450)}px"></div>'}
        )
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("data", True)]
    return figures, twins


def _harmless(page: str, twins: list[str | None]) -> str:
    """The page without anything that runs or asks for something; with the PNG twins, for readers without scripts."""
    soup = BeautifulSoup(page, "html.parser")
    for element in soup.body.find_all(REMOVED) + soup.body.find_all("style", string=ASKS):
        element.decompose()
    for element in soup.body.find_all(True):
        for name in list(element.attrs):
            value = element.attrs[name]
            address = re.sub(r"[\x00-\x20]", "", value).lower() if isinstance(value, str) else ""
            link = element.name == "a" and name == "href" and address.startswith(LINKS)
            picture = name == "src" and address.startswith("data:image/")
            asks = name in ADDRESSES and not link and not picture or name == "style" and ASKS.search(value)
            if asks or name.startswith("on"):
                del element.attrs[name]
        if element.name == "a":
            element.attrs["rel"] = "noopener noreferrer"
    for number, png in enumerate(twins, start=1):
        if png and (place := soup.find(id=f"figure-{number}")):
            picture = soup.new_tag("img", src=f"data:image/png;base64,{''.join(png.split())}", alt=place["aria-label"])
            fallback = soup.new_tag("noscript")
            fallback.append(picture)
            place.append(fallback)
    return str(soup)


def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs  # 5 MB of text, for pages with a figure

    return get_plotlyjs()


def _title(nb: NotebookNode) -> str:
    prose = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    heading = re.search(r"^#\s+(.+)", prose, re.M)
    return re.sub(r"[*`]|<[^>]*>", "", heading[1]).strip() if heading else ""


def _head(facts: dict) -> str:
    told = [facts.get("name"), str(facts.get("started", ""))[:10], facts.get("device")]
    told += [time_text(facts["seconds"])] if "seconds" in facts else []
    return " · ".join(str(part) for part in told if part)


def _facts(facts: dict) -> list[tuple[str, list[tuple[str, str]]]]:
    """The footer's groups, each a title and its (name, value) rows."""
    run = {key: facts[key] for key in ("name", "status", "started", "finished") if key in facts}
    if "seconds" in facts:
        run["took"] = time_text(facts["seconds"])
    if facts.get("peak_memory_bytes"):
        run["peak memory"] = f"{facts['peak_memory_bytes'] / 2**30:.2f} GiB"
    run |= {key: facts[key] for key in ("device", "dtype", "platform") if facts.get(key)}
    notebook, hashes = facts.get("notebook") or {}, facts.get("hashes")
    hashes = {f"{notebook['name']}, sha256": notebook["sha256"], "": hashes or {}} if notebook else hashes
    groups = {"Run": run, "Parameters": facts.get("parameters"), "Seeds": facts.get("seeds"), "Hashes": hashes}
    groups["Versions"] = facts.get("versions")
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


TEMPLATE = """{%- extends 'display_priority.j2' -%}
{% macro text(content, kind) %}<pre class="text {{ kind }}">{{ content | ansi2html }}</pre>{% endmacro %}
{% macro picture(mime, data) %}<div class="output"><img src="data:{{ mime }};base64,{{ data }}"></div>{% endmacro %}
{% block header %}<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ resources.page.policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="lerpnb">
<title>{{ resources.page.title | escape }}</title>
<style>{{ resources.page.css }}</style>
</head>
<body>
<header><span>{{ resources.page.head | escape }}</span>
{% if resources.global_content_filter.include_input %}<button id="code" hidden>Show code</button>{% endif -%}
</header>
<main>{% endblock header %}
{% block codecell %}<section class="cell">{{ super() }}</section>
{% endblock codecell %}
{% block input %}{% if cell.source.strip() -%}
<details class="code"><summary>Code</summary>{{ cell.source | highlight_code(metadata=cell.metadata) }}</details>
{%- endif %}{% endblock input %}
{% block markdowncell %}<section class="prose">{{ cell.source | markdown2html | strip_files_prefix }}</section>
{% endblock markdowncell %}
{% block execute_result %}{{ self.data_priority() }}{% endblock execute_result %}
{% block stream_stdout %}{{ text(output.text, "") }}{% endblock stream_stdout %}
{% block stream_stderr %}{{ text(output.text, "stderr") }}{% endblock stream_stderr %}
{% block error %}{{ text(output.traceback | join("\n"), "error") }}{% endblock error %}
{% block data_html scoped %}<div class="output">{{ output.data['text/html'] }}</div>{% endblock data_html %}
{% block data_markdown scoped %}<div class="output prose">{{ output.data['text/markdown'] | markdown2html }}</div>
{% endblock data_markdown %}
{% block data_svg scoped -%}
{{ picture("image/svg+xml", output.data['image/svg+xml'] | text_base64) }}
{%- endblock data_svg %}
{% block data_png scoped %}{{ picture("image/png", output.data['image/png'] | escape) }}{% endblock data_png %}
{% block data_jpg scoped %}{{ picture("image/jpeg", output.data['image/jpeg'] | escape) }}{% endblock data_jpg %}
{% block data_latex scoped %}{{ text(output.data['text/latex'], "") }}{% endblock data_latex %}
{% block data_text scoped %}{{ text(output.data['text/plain'], "") }}{% endblock data_text %}
{% block footer %}</main>
<footer>
{%- for title, rows in resources.page.facts %}
<section><h2>{{ title | escape }}</h2><dl{% if title == "Hashes" %} class="long"{% endif %}>
{%- for name, value in rows %}<div><dt>{{ name | escape }}</dt><dd>{{ value | escape }}</dd></div>{% endfor -%}
</dl></section>
{%- endfor %}
<p>Made with lerpnb. This page holds everything it shows and asks nothing of the network.</p>
</footer>
</body>
</html>
{% endblock footer %}
"""

CSS = """
:root { --ink: #1d2330; --soft: #5c6675; --line: #dfe3e8; --paper: #ffffff; --sheet: #f5f7f9; --link: #0b62b8;
  --bad: #b3261e }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #dfe3ea; --soft: #9aa4b2; --line: #313842; --paper: #14181e; --sheet: #1c2128; --link: #79b8ff;
    --bad: #ff8a80 }
}
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0 auto; max-width: 1040px; padding: 0 20px 48px; background: var(--paper); color: var(--ink);
  font: 17px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif }
header { display: flex; justify-content: space-between; align-items: center; gap: 16px; min-height: 48px;
  padding-top: 14px; color: var(--soft); font-size: 14px }
button { font: inherit; color: var(--ink); background: var(--sheet); border: 1px solid var(--line); border-radius: 6px;
  padding: 4px 12px; cursor: pointer; white-space: nowrap }
h1, h2, h3 { line-height: 1.25; letter-spacing: -0.01em; margin: 1.6em 0 0.5em }
h1 { font-size: 1.8rem; margin-top: 0.4em } h2 { font-size: 1.4rem } h3 { font-size: 1.12rem }
.prose > p, .prose > ul, .prose > ol, .prose > blockquote { max-width: 46rem }
.prose p { margin: 0.7em 0 }
.prose img, .output img { max-width: 100%; height: auto }
blockquote { margin: 1em 0; padding: 0 1em; border-left: 3px solid var(--line); color: var(--soft) }
a { color: var(--link) }
.anchor-link { display: none }
code, pre { font: 13.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace }
:not(pre) > code { background: var(--sheet); border-radius: 4px; padding: 0.1em 0.35em }
pre { margin: 0; overflow-x: auto }
.cell { margin: 0.8em 0 } .cell:not(:has(.output, .text)) { margin: 0.1em 0 }
.code { color: var(--soft); font-size: 13px }
.code > summary { cursor: pointer; width: fit-content; user-select: none }
.code > summary:hover, .code > summary:focus-visible { color: var(--link) }
.code .highlight { background: var(--sheet); border: 1px solid var(--line); border-radius: 8px; color: var(--ink);
  margin: 4px 0 10px; padding: 10px 14px }
.output, .text { margin: 0.6em 0 }
.output { overflow-x: auto }
.text { background: var(--sheet); border-radius: 8px; padding: 10px 14px; white-space: pre-wrap;
  overflow-wrap: anywhere }
.stderr { color: var(--soft) }
.error { border-left: 3px solid var(--bad) }
.figure { width: 100%; min-width: 0 }
.ansi-red-fg, .ansi-red-intense-fg { color: var(--bad) } .ansi-bold { font-weight: 600 }
table { border: 0; border-collapse: collapse; font-size: 14.5px; font-variant-numeric: tabular-nums; line-height: 1.45;
  margin: 0.6em 0 }
caption { text-align: left; color: var(--soft); padding: 4px 0 }
th, td { border: 0; border-bottom: 1px solid var(--line); overflow-wrap: break-word; padding: 6px 14px 6px 0;
  text-align: left !important; vertical-align: top !important }
thead th { border-bottom: 1px solid var(--soft); font-weight: 600 }
td { min-width: 3.5em }
footer { border-top: 1px solid var(--line); color: var(--soft); font-size: 13px; line-height: 1.5; margin-top: 56px;
  padding-top: 8px }
footer h2 { color: var(--ink); font-size: 13px; letter-spacing: 0; margin: 1.4em 0 0.4em }
footer dl { display: grid; gap: 2px 28px; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); margin: 0 }
footer .long { grid-template-columns: 1fr }
footer .long dd { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace }
footer dl div { display: flex; gap: 10px; min-width: 0 }
footer dt { flex: none }
footer dd { color: var(--ink); margin: 0; min-width: 0; overflow-wrap: anywhere }
footer p { margin: 2em 0 0 }
@media (max-width: 600px) {
  body { font-size: 16px; padding: 0 14px 32px } h1 { font-size: 1.6rem } table { font-size: 13.5px }
}
@media print {
  body { max-width: none; padding: 0 }
  header button, .code:not([open]), .modebar { display: none !important }
  .figure, pre, tr { break-inside: avoid }
}
"""

# Draws the figures at the page's width and in its colours: grey text takes the page's ink; at night greys are turned
# over and colours too dark to see are lightened.
BOOT = """
(() => {
  const night = matchMedia("(prefers-color-scheme: dark)");
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const brush = document.createElement("canvas").getContext("2d");
  const ink = { true: "#dfe3ea", false: "#1d2330" };
  const inks = (colour, dark, text) => {
    if (typeof colour !== "string" || !CSS.supports("color", colour)) return colour;
    brush.fillStyle = "#000"; brush.fillStyle = colour;
    const parts = brush.fillStyle[0] === "#" ? brush.fillStyle.slice(1).match(/../g).map((x) => parseInt(x, 16))
      : brush.fillStyle.match(/[\\d.]+/g).map(Number);
    const [r, g, b, alpha = 1] = parts, high = Math.max(r, g, b), low = Math.min(r, g, b), grey = high - low < 48;
    if (grey && text && low > 60 && high < 200) return ink[dark];
    if (!dark) return colour;
    const to = grey ? (x) => 225 - 0.8 * x : (high + low) / 2 < 110 ? (x) => 115 + 0.55 * x : (x) => x;
    return `rgba(${[r, g, b].map((x) => Math.round(to(x)))},${alpha})`;
  };
  const recolour = (part, dark, text) => {
    for (const [key, value] of Object.entries(part)) {
      if (/color$/i.test(key)) {
        const one = (colour) => inks(colour, dark, text);
        part[key] = Array.isArray(value) && !value.some(Array.isArray) ? value.map(one) : one(value);
      }
      const data = /scale|^(x|y|z|text|values|customdata)$/.test(key);
      if (value && typeof value === "object" && !data) recolour(part[key], dark, /font$/.test(key));
    }
    return part;
  };
  const plain = (text) => String(text ?? "").replace(/<[^>]*>|&#?\\w+;/g, " ");
  const lines = (columns, letters) => (columns?.[0] ?? []).reduce(
    (sum, text) => sum + Math.ceil((plain(text).length + 1) / letters), 0);
  // On a phone: narrow margins and no long labels. Everywhere: room for the longest texts of the table under a slider.
  const fit = ({ data = [], layout }, width) => {
    const margin = layout.margin = { t: 100, b: 80, l: 80, r: 80, ...layout.margin };
    const table = data.find((trace) => trace.type === "table");
    if (width < 600) {
      margin.l = Math.min(margin.l, 52); margin.r = Math.min(margin.r, 44);
      layout.font = { ...layout.font, size: 11 };
      for (const note of layout.annotations ?? []) {
        note.visible = plain(note.text).length * 6.5 < (note.xref === "paper" ? width : 60);
      }
      const sum = table?.columnwidth?.reduce?.((a, b) => a + b);
      if (sum) table.columnwidth = table.columnwidth.map((part) => Math.max(part, 0.2 * sum));
    }
    if (!table?.domain?.y || !layout.height) return;
    const steps = (layout.sliders ?? []).flatMap((slider) => slider.steps ?? []);
    const texts = [table.cells?.values, ...steps.map((step) => step.args?.[0]?.["cells.values"]?.find(Boolean))];
    const letters = (width - margin.l - margin.r) / (width < 600 ? 9 : 8);
    const paper = layout.height - margin.t - margin.b;
    const more = Math.max(...texts.map((text) => 20 * lines(text, letters) + 60)) - table.domain.y[1] * paper;
    if (more <= 0) return;
    const lift = (y) => (y * paper + more) / (paper + more);
    layout.height += more;
    table.domain.y[1] = lift(table.domain.y[1]);
    const axes = Object.keys(layout).filter((key) => /^yaxis/.test(key)).map((key) => layout[key]);
    for (const axis of axes) if (axis.domain) axis.domain = axis.domain.map(lift);
    const drawn = [...(layout.annotations ?? []), ...(layout.shapes ?? [])].filter((part) => part.yref === "paper");
    for (const part of [layout.legend ?? {}, ...(layout.sliders ?? []), ...drawn]) {
      for (const y of ["y", "y0", "y1"]) if (part[y] !== undefined) part[y] = lift(part[y]);
    }
  };
  const draw = (dark) => figures.forEach((figure, i) => {
    const place = document.getElementById(`figure-${i + 1}`);
    if (!place) return;
    const shown = recolour(structuredClone(figure), dark, false);
    shown.layout.paper_bgcolor = "rgba(0,0,0,0)";
    shown.layout.font = { family: getComputedStyle(document.body).fontFamily, ...shown.layout.font };
    fit(shown, place.clientWidth);
    if (shown.layout.height) place.style.height = `${shown.layout.height}px`;
    Plotly.react(place, shown.data ?? [], shown.layout, shown.config);
  });
  const redraw = () => draw(night.matches);
  redraw();
  night.addEventListener("change", redraw);
  matchMedia("(max-width: 600px)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => draw(false));
  addEventListener("afterprint", redraw);
  const button = document.getElementById("code");
  const folds = [...document.querySelectorAll("details.code")];
  if (!button || !folds.length) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const open = folds.some((fold) => !fold.open);
    folds.forEach((fold) => { fold.open = open; });
    button.textContent = open ? "Hide code" : "Show code";
  });
})();
"""
