"""A drawing: a Plotly figure's JSON drawn plainly by matplotlib, where no browser is at hand.

It knows what lerpnb draws: lines, bands, markers, texts, heat maps and tables on linear or logarithmic axes.
Anything else becomes a card of words.
"""

import html
import io
import re
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

KNOWN = {"scatter", "heatmap", "table"}


MARKERS = {"circle": "o", "square": "s", "triangle-up": "^", "cross": "P", "diamond": "D", "star": "*", "x": "X"}


DASHES = {"dash": "--", "dot": ":", "dashdot": "-."}


INK, FAINT = "#333333", "#d8d8d8"


POINT = 0.72  # of a pixel, at 100 pixels an inch


def drawing(figure: dict, width: int, scale: float) -> bytes:
    """The figure as a PNG, `width` pixels wide times scale; figure: data and layout as plotly's JSON has them."""
    data, layout = figure["data"], figure["layout"]
    if not data or {trace.get("type", "scatter") for trace in data} - KNOWN:
        return card((layout.get("meta") or {}).get("alt", ""), width, scale)
    height = layout.get("height") or 450
    picture = Figure((width / 100, height / 100), dpi=100 * scale, facecolor="white")
    axes = _axes(picture, data, layout, width, height)
    for trace in data:
        if trace.get("visible", True) is not True:
            continue
        kind = trace.get("type", "scatter")
        if kind == "table":
            _table(picture, trace, layout, width, height)
        elif kind == "heatmap":
            _heatmap(picture, axes[trace.get("yaxis", "y")], trace, layout)
        else:
            _scatter(axes[trace.get("yaxis", "y")], trace)
    _decorate(picture, axes, layout, width, height)
    return _png(picture)


def card(words: str, width: int, scale: float) -> bytes:
    """A card that says in words what the figure shows."""
    text = plain(words) or "A figure."
    lines = textwrap.wrap(f"{text} (Open the notebook in JupyterLab to see the figure.)", 100)
    picture = Figure((width / 100, (60 + 20 * len(lines)) / 100), dpi=100 * scale, facecolor="white")
    picture.text(0.03, 0.5, "\n".join(lines), color=INK, fontsize=9.5, va="center", parse_math=False)
    return _png(picture)


def plain(text: Any) -> str:
    """What a reader sees of plotly's small HTML.

    >>> plain("<b>1 &lt; 2</b><br>&#36;5")
    '1 < 2\\n$5'
    """
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br\s*/?>", "\n", str(text or ""))))


def _png(picture: Figure) -> bytes:
    told = io.BytesIO()
    picture.savefig(told, format="png")
    return told.getvalue()


def _paper(layout: dict, width: int, height: int) -> tuple[float, float, float, float]:
    """left, bottom, width, height of plotly's paper, as shares of the picture."""
    margin = {"l": 80, "r": 80, "t": 100, "b": 80, **(layout.get("margin") or {})}
    across, up = width - margin["l"] - margin["r"], height - margin["t"] - margin["b"]
    return margin["l"] / width, margin["b"] / height, across / width, up / height


def _axes(picture: Figure, data: list[dict], layout: dict, width: int, height: int) -> dict[str, Axes]:
    """An Axes for each y axis in use."""
    left, bottom, across, up = _paper(layout, width, height)
    bars = layout.get("coloraxis") or any("colorbar" in (trace.get("marker") or {}) for trace in data)
    across -= 0.07 if bars else 0
    found: dict[str, Axes] = {}
    below = {trace.get("yaxis", "y"): trace.get("xaxis", "x") for trace in data if trace.get("type") != "table"}
    for name in sorted(below):
        told, flat = layout.get(f"yaxis{name[1:]}") or {}, layout.get(f"xaxis{below[name][1:]}") or {}
        over = told.get("overlaying")
        if over in found:
            found[name] = found[over].twinx()
        else:
            (low, high), (start, stop) = told.get("domain") or (0, 1), flat.get("domain") or (0, 1)
            place = (left + start * across, bottom + low * up, (stop - start) * across, (high - low) * up)
            found[name] = picture.add_axes(place)
        _dress(found[name], told, "y")
        _dress(found[name], flat, "x")
        if over in found:
            found[name].xaxis.set_visible(False)
        if told.get("visible") is False:
            found[name].set_axis_off()
    stacked = [axes for name, axes in found.items() if not (layout.get(f"yaxis{name[1:]}") or {}).get("overlaying")]
    lowest = min((axes.get_position().y0 for axes in stacked), default=0)
    for axes in stacked:
        if axes.get_position().y0 > lowest:
            axes.tick_params(axis="x", labelbottom=False)
            axes.set_xlabel("")
    return found


def _dress(axes: Axes, told: dict, which: str) -> None:
    """Title, scale, range, ticks."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    title = told.get("title")
    words = title.get("text") if isinstance(title, dict) else title
    axis.set_label_text(plain(words), color=INK, fontsize=9.5, parse_math=False)
    log = told.get("type") == "log"
    if log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        axis.set_minor_locator(NullLocator())
    if told.get("tickvals"):
        axis.set_ticks(told["tickvals"], [plain(text) for text in told.get("ticktext") or told["tickvals"]])
    elif told.get("dtick") and told.get("range"):
        axis.set_ticks(np.arange(0, told["range"][1], told["dtick"]))
    if told.get("showticklabels") is False:
        axis.set_ticklabels([])
    if told.get("range") and None not in told["range"]:
        ends = [10**end for end in told["range"]] if log else told["range"]
        (axes.set_xlim if which == "x" else axes.set_ylim)(ends)
    axes.tick_params(axis=which, colors=INK, labelsize=8.5, color=FAINT)
    if told.get("showgrid") is not False and not told.get("overlaying"):
        axes.grid(True, axis=which, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def _numbers(values: Any) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values or []], dtype=float)


def _scatter(axes: Axes, trace: dict) -> None:
    x, y = _numbers(trace.get("x")), _numbers(trace.get("y"))
    mode, line, marker = trace.get("mode", "lines"), trace.get("line") or {}, trace.get("marker") or {}
    colour = _rgba(line.get("color") or (marker.get("color") if isinstance(marker.get("color"), str) else None))
    shown = trace.get("showlegend", True) is not False and trace.get("name")
    label = plain(trace.get("name")) if shown else None
    order = 2 + (trace.get("zorder") or 0)
    if trace.get("fill") == "toself":
        gaps = np.flatnonzero(np.isnan(x))
        for part in np.split(np.arange(len(x)), gaps):
            part = part[~np.isnan(x[part])]
            axes.fill(x[part], y[part], color=_rgba(trace.get("fillcolor")), linewidth=0, zorder=order, label=label)
            label = None
        return
    for way in ("x", "y"):
        if bars := trace.get(f"error_{way}"):
            reach = [_numbers(bars.get("arrayminus") or bars["array"]), _numbers(bars["array"])]
            axes.errorbar(x, y, **{f"{way}err": reach}, fmt="none", ecolor=_rgba(bars.get("color")), elinewidth=0.8)
    if "lines" in mode and len(x):
        style = DASHES.get(line.get("dash"), "-")
        axes.plot(x, y, style, color=colour, linewidth=POINT * (line.get("width") or 2), zorder=order, label=label)
        label = None
    if "markers" in mode and marker.get("opacity", 1) and len(x):
        _markers(axes, x, y, marker, colour, label, order)
    if "text" in mode:
        _texts(axes, x, y, trace)


def _markers(
    axes: Axes, x: np.ndarray, y: np.ndarray, marker: dict, colour: Any, label: str | None, order: int
) -> None:
    colours, edge = marker.get("color"), marker.get("line") or {}
    size = (POINT * np.asarray(marker.get("size") or 6, dtype=float)) ** 2
    told: dict[str, Any] = dict(color=[colour]) if colours is None or isinstance(colours, str) else {}
    if isinstance(colours, list) and colours and isinstance(colours[0], str):
        told = dict(color=[_rgba(one) for one in colours])
    elif isinstance(colours, list):
        values = _numbers(colours)
        half = np.nanmax(np.abs(values - (marker.get("cmid") or 0))) or 1
        told = dict(c=values, cmap=_map(marker.get("colorscale")))
        told |= dict(vmin=(marker.get("cmid") or 0) - half, vmax=(marker.get("cmid") or 0) + half)
    shape = MARKERS.get(marker.get("symbol", "circle"), "o")
    edges = dict(
        edgecolors=_rgba(edge.get("color")), linewidths=POINT * np.asarray(edge.get("width") or 0, dtype=float)
    )
    points = axes.scatter(x, y, s=size, marker=shape, zorder=order + 0.5, label=label, clip_on=False, **told, **edges)
    if isinstance(marker.get("colorbar"), dict):
        place = axes.get_position()
        picture = axes.figure
        bar = picture.colorbar(points, cax=picture.add_axes((place.x1 + 0.015, place.y0, 0.012, place.height * 0.7)))
        bar.ax.set_title(plain((marker["colorbar"].get("title") or {}).get("text")), fontsize=8.5, color=INK)
        bar.ax.tick_params(labelsize=8, colors=INK)
        bar.outline.set_visible(False)


def _texts(axes: Axes, x: np.ndarray, y: np.ndarray, trace: dict) -> None:
    places = trace.get("textposition") or "middle center"
    words = trace.get("text") or []
    places = [places] * len(words) if isinstance(places, str) else places
    for a, b, text, place in zip(x, y, words, places, strict=True):
        up, side = place.split()
        across = {"left": -9, "center": 0, "right": 9}[side]
        down = {"bottom": -9, "middle": 0, "top": 9}[up]
        flat = dict(ha={"left": "right", "center": "center", "right": "left"}[side], va="center_baseline")
        flat["va"] = {"bottom": "top", "middle": "center", "top": "bottom"}[up]
        axes.annotate(
            plain(text),
            (a, b),
            (across, down),
            textcoords="offset points",
            fontsize=8.5,
            color=INK,
            weight="bold" if "<b>" in text else "normal",
            parse_math=False,
            **flat,
        )


def _heatmap(picture: Figure, axes: Axes, trace: dict, layout: dict) -> None:
    told = {**trace, **(layout.get(trace.get("coloraxis") or "") or {})}
    z = np.array([_numbers(row) for row in trace["z"]])
    x = _numbers(trace.get("x") or range(z.shape[1]))
    edges = np.append(x - 0.5, x[-1] + 0.5)
    mesh = axes.pcolormesh(
        edges,
        np.arange(z.shape[0] + 1) - 0.5,
        np.ma.masked_invalid(z),
        cmap=_map(told.get("colorscale")),
        vmin=told.get("cmin"),
        vmax=told.get("cmax"),
        edgecolors="white",
        linewidth=0.7,
    )
    if not (layout.get(f"yaxis{trace.get('yaxis', 'y')[1:]}") or {}).get("tickvals"):
        axes.set_yticks(range(z.shape[0]), [plain(name) for name in trace.get("y") or range(z.shape[0])])
    if trace.get("texttemplate"):
        for (row, column), value in np.ndenumerate(z):
            ink = "white" if mesh.norm(value) > 0.5 else INK
            text = plain(trace["text"][row][column])
            axes.text(x[column], row, text, color=ink, fontsize=8.5, ha="center", va="center", parse_math=False)
    axes.set_ylim(-0.5, z.shape[0] - 0.5)
    axes.tick_params(length=0)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    place = axes.get_position()
    bar = picture.colorbar(mesh, cax=picture.add_axes((place.x1 + 0.015, place.y0, 0.012, place.height)))
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.outline.set_visible(False)


def _table(picture: Figure, trace: dict, layout: dict, width: int, height: int) -> None:
    """Header and rows, from the top of the table's domain down, each row as high as its longest cell."""
    left, bottom, across, up = _paper(layout, width, height)
    low, high = (trace.get("domain") or {}).get("y") or (0, 1)
    top = bottom + high * up
    parts = trace.get("columnwidth") or [1] * len(trace["cells"]["values"])
    starts = left + across * np.append(0, np.cumsum(parts)) / sum(parts)
    rows = [[head] for head in ((trace.get("header") or {}).get("values") or [])]
    lines = [[*head, *column] for head, column in zip(rows, trace["cells"]["values"], strict=True)]
    for i, cells in enumerate(zip(*lines, strict=False)):
        tall = (12 + 17 * max(plain(cell).count("\n") + 1 for cell in cells)) / height
        for start, cell in zip(starts, cells, strict=False):
            told = dict(va="top", fontsize=8.5, color=INK, parse_math=False, weight="bold" if i == 0 else "normal")
            picture.text(start + 6 / width, top - 6 / height, plain(cell), **told)
        top -= tall
        picture.add_artist(Line2D([left, left + across], [top, top], color=FAINT, linewidth=0.8))


def _decorate(picture: Figure, axes: dict[str, Axes], layout: dict, width: int, height: int) -> None:
    """Shapes, notes and the legend."""
    left, bottom, across, up = _paper(layout, width, height)
    for shape in layout.get("shapes") or []:
        where = axes.get(str(shape.get("yref", "y")).split()[0])
        if where is None:
            continue
        if shape.get("type") == "rect":
            where.axvspan(shape["x0"], shape["x1"], color=_rgba(shape.get("fillcolor")), linewidth=0, zorder=0)
        elif shape.get("type") == "line" and shape["x0"] == shape["x1"]:
            where.axvline(shape["x0"], color=INK, linestyle=":", linewidth=1)
    first = next(iter(axes.values()), None)
    for note in layout.get("annotations") or []:
        if note.get("showarrow") and first:  # a label at the end of a line from its point
            at = (10 ** note["x"] if first.get_xscale() == "log" else note["x"], note["y"])
            told = dict(arrowprops=dict(arrowstyle="-", color=INK, linewidth=0.7), fontsize=8.5, color=INK, ha="center")
            away = (note["ax"], -note["ay"])
            told |= dict(textcoords="offset pixels", weight="bold", parse_math=False)
            first.annotate(plain(note["text"]), at, away, **told)
            continue
        data_x = note.get("xref", "x") == "x"
        x = first.transData.transform((note["x"], 1))[0] / picture.bbox.width if data_x and first else None
        x = left + across * note.get("x", 0) if x is None else x
        y = bottom + up * note.get("y", 0) + (note.get("yshift") or 0) / height
        flat = dict(ha=note.get("xanchor", "center"), va=note.get("yanchor", "bottom"))
        flat = {key: {"auto": "center", "middle": "center"}.get(value, value) for key, value in flat.items()}
        bold = "bold" if "<b>" in note.get("text", "") else "normal"
        told = dict(fontsize=8.5, color=INK, weight=bold, parse_math=False)
        picture.text(x, y, plain(note.get("text")), **told, **flat)
    lines = [pair for one in axes.values() for pair in zip(*one.get_legend_handles_labels(), strict=True)]
    if len(lines) > 1 and layout.get("showlegend", True):
        handles, labels = zip(*lines, strict=True)
        top = bottom + up * (layout.get("legend") or {}).get("y", 1)
        wide = sum(len(label) + 6 for label in labels) > width / 8.5  # more letters than there is room for in one row
        columns = -(-len(labels) // 2) if wide else len(labels)
        place = dict(loc="lower left", bbox_to_anchor=(left - 0.01, top), ncols=columns, frameon=False)
        for text in picture.legend(handles, labels, fontsize=8.5, labelcolor=INK, **place).get_texts():
            text.set_parse_math(False)


def _rgba(colour: Any) -> Any:
    """A CSS colour as matplotlib has it.

    >>> _rgba("rgba(0,128,255,0.5)")
    (0.0, 0.5019607843137255, 1.0, 0.5)
    """
    if isinstance(colour, str) and (found := re.fullmatch(r"rgba?\(([^)]*)\)", colour.strip())):
        red, green, blue, *rest = map(float, found[1].split(","))
        return (red / 255, green / 255, blue / 255, *(rest or [1.0]))
    return to_rgba(colour or INK)


def _map(scale: Any) -> LinearSegmentedColormap:
    steps = scale if isinstance(scale, list) else [[0, "#FDE9B8"], [1, "#5B1A53"]]
    return LinearSegmentedColormap.from_list("scale", [(at, _rgba(colour)) for at, colour in steps])
