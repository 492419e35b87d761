"""The weight deltas of both fine-tuned models by layer and kind of tensor, as heat maps."""

from typing import Any

import numpy as np
import pandas as pd

from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import number
from lerpnb.results.deltas import WeightDeltas
from lerpnb.utils.tensor_names import KINDS

ROW, TITLE = 23, 44  # pixels


def plot_deltas(deltas: WeightDeltas) -> Figure:
    """Heat maps over layers (across) and kinds of tensor (down): sizes of the deltas, and their cosine.

    With a base: |minus - base| / |base| and |plus - base| / |base| on one scale, and the cosine of the two deltas, 1
    where both fine-tunes moved the same way. Without one: |plus - minus| / |minus|. Blank where there is no such
    tensor; what no fine-tune changed is 0, and its cosine blank.

    Example:
        >>> row = dict(layer="0", kind="MLP", tensors=3, parameters=9, distance=1.0, relative=0.5)
        >>> fig = plot_deltas(WeightDeltas(pd.DataFrame([row])))
        >>> [list(row) for row in fig.data[0].z]
        [[0.5]]
    """
    frame = deltas.frame
    layers = list(dict.fromkeys(frame["layer"]))
    kinds = [kind for kind in KINDS if kind in set(frame["kind"])][::-1]  # plotly counts upwards
    titles = {"relative": "how far apart the ends are: |plus − minus| / |minus|"}
    if "cosine" in frame:
        titles = {
            "minus": "minus from base: |minus − base| / |base|",
            "plus": "plus from base: |plus − base| / |base|",
            "cosine": "cosine of the two deltas",
        }
    body, columns, places = ROW * len(kinds), list(titles), list(range(len(layers)))
    look: dict[str, Any] = dict(gap=TITLE, top=40, left=110, right=20, subplot_titles=list(titles.values()))
    fig = Figure.panels([body] * len(titles), _alt(frame, columns), **look)
    fig.update_annotations(x=0, xanchor="left", yshift=3, font=None)
    for row, column in enumerate(columns, start=1):
        table = frame.pivot(index="kind", columns="layer", values=column).reindex(index=kinds, columns=layers)
        hover = [[_sentence(kind, layer, column, table.loc[kind, layer]) for layer in layers] for kind in kinds]
        axis = "coloraxis2" if column == "cosine" else "coloraxis"
        cells = [theme.rounded(cells) for cells in table.to_numpy(float)]
        fig.add_heatmap(x=places, y=kinds, z=cells, hovertext=hover, coloraxis=axis, row=row, col=1)
    every = next(step for step in (1, 2, 5, 10, 20, 50) if len(layers) / step <= 16)
    shown = [i for i, layer in enumerate(layers) if not layer.isdigit() or int(layer) % every == 0]
    bare: dict[str, Any] = dict(showgrid=False, showline=False, ticks="")
    fig.update_xaxes(tickmode="array", tickvals=shown, ticktext=[layers[i] for i in shown], **bare)
    fig.update_xaxes(range=[-0.5, len(layers) - 0.5]).update_yaxes(ticklabelstandoff=4, automargin=True, **bare)
    fig.update_xaxes(title_text="layer (in: before the first, out: behind the last)", row=len(columns), col=1)
    sizes = [column for column in columns if column != "cosine"]
    high = float(np.nanmax(frame[sizes].to_numpy(float), initial=0)) or 1.0
    tall, paper = (n * body + (n - 1) * TITLE for n in (len(sizes), len(columns)))
    bar = dict(ypad=0, lenmode="pixels", nticks=5, yanchor="middle", x=1.01)
    fig.update_layout(
        coloraxis=dict(cmin=0, cmax=high, colorbar=bar | dict(len=min(tall, 220), y=1 - tall / 2 / paper))
    )
    if "cosine" in columns:
        alike = dict(colorscale=theme.DIVERGING, cmin=-1, cmax=1, colorbar=bar | dict(len=body, y=body / 2 / paper))
        fig.update_layout(coloraxis2=alike)
    return fig


def _sentence(kind: str, layer: str, column: str, value: float) -> str:
    where = f"layer {layer}" if layer.isdigit() else {"in": "before the first layer", "out": "behind the last"}[layer]
    verb = {"relative": "the ends differ by", "minus": "minus moved by", "plus": "plus moved by", "cosine": "cosine"}
    if not np.isfinite(value):
        return f"{kind}, {where}:<br>unchanged" if column == "cosine" else ""
    unit = "" if column == "cosine" else " of the weights' norm"
    return f"{kind}, {where}:<br>{verb[column]} {number(value) if column == 'cosine' else f'{value:.3%}'}{unit}"


def _alt(frame: pd.DataFrame, columns: list[str]) -> str:
    parts = []
    for column in columns:
        known = frame[np.isfinite(frame[column].to_numpy(float))]
        if len(known):
            top = known.loc[known[column].idxmax()]
            parts.append(f"{column} is largest, {number(top[column])}, in {top['kind']} of layer {top['layer']}")
    return f"Deltas over {frame['layer'].nunique()} layers and {frame['kind'].nunique()} kinds of tensor: " + (
        "; ".join(parts) + "."
    )
