"""What changed: the deltas of both ends by layer and kind of tensor, as heat maps. No torch."""

import numpy as np
import pandas as pd

from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, number
from lerpnb.results.deltas import WeightDeltas
from lerpnb.utils.tensor_names import KINDS

ROW, TITLE, TOP, BOTTOM = 23, 44, 40, 62  # pixels


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
    panels = [("relative", "how far apart the ends are: |plus − minus| / |minus|", "a")]
    if "cosine" in frame:
        panels = [
            ("minus", "minus from base: |minus − base| / |base|", "a"),
            ("plus", "plus from base: |plus − base| / |base|", "a"),
            ("cosine", "cosine of the two deltas", "b"),
        ]
    body, between = ROW * len(kinds), TITLE
    paper = len(panels) * body + (len(panels) - 1) * between
    fig = Figure.blank(TOP + paper + BOTTOM, _alt(frame, [name for name, *_ in panels]))
    top = paper
    for i, (column, title, scale) in enumerate(panels):
        name = "" if i == 0 else str(i + 1)
        table = frame.pivot(index="kind", columns="layer", values=column).reindex(index=kinds, columns=layers)
        fig.add_heatmap(
            x=list(range(len(layers))),
            y=kinds,
            z=[theme.rounded(row) for row in table.to_numpy(float)],
            xaxis="x",
            yaxis=f"y{name}",
            coloraxis="coloraxis" if scale == "a" else "coloraxis2",
            xgap=1,
            ygap=1,
            hovertext=[[_sentence(kind, layer, column, table.loc[kind, layer]) for layer in layers] for kind in kinds],
            hoverinfo="text",
            hoverlabel=theme.HOVER,
            hoverongaps=False,
        )
        axis = dict(
            domain=[(top - body) / paper, top / paper], showgrid=False, zeroline=False, ticks="", automargin=True
        )
        fig.update_layout({f"yaxis{name}": dict(axis, showline=False)})
        fig.add_annotation(
            text=title, x=0, xref="paper", xanchor="left", y=top / paper, yref="paper", yanchor="bottom", yshift=3
        )
        fig.layout.annotations[-1].showarrow = False
        top -= body + between
    _lay_out(fig, frame, layers, panels, body, paper)
    return fig


def _lay_out(fig: Figure, frame: pd.DataFrame, layers: list[str], panels: list, body: int, paper: int) -> None:
    every = next(step for step in (1, 2, 5, 10, 20, 50) if len(layers) / step <= 16)
    shown = [i for i, layer in enumerate(layers) if not layer.isdigit() or int(layer) % every == 0]
    across = dict(text="layer (in: before the first, out: behind the last)", standoff=6, font=dict(size=14))
    bar = dict(thickness=12, outlinewidth=0, ypad=0, lenmode="pixels", nticks=5, yanchor="middle", x=1.01)
    sizes = [name for name, _, scale in panels if scale == "a"]
    high = float(np.nanmax(frame[sizes].to_numpy(float), initial=0)) or 1.0
    tall = len(sizes) * body + (len(sizes) - 1) * TITLE
    fig.update_layout(
        margin=dict(t=TOP, b=BOTTOM, l=110, r=20),
        xaxis=dict(
            title=across,
            tickmode="array",
            tickvals=shown,
            ticktext=[layers[i] for i in shown],
            range=[-0.5, len(layers) - 0.5],
            anchor="y" if len(panels) == 1 else f"y{len(panels)}",
            showgrid=False,
            zeroline=False,
            ticks="outside",
            tickcolor=theme.FAINT,
        ),
        coloraxis=dict(
            colorscale=theme.MUCH, cmin=0, cmax=high, colorbar=dict(bar, len=min(tall, 220), y=1 - tall / 2 / paper)
        ),
    )
    if len(panels) > 1:
        fig.update_layout(
            coloraxis2=dict(
                colorscale=theme.ALIKE, cmin=-1, cmax=1, colorbar=dict(bar, len=body, y=body / 2 / paper, nticks=5)
            )
        )


def _sentence(kind: str, layer: str, column: str, value: float) -> str:
    where = f"layer {layer}" if layer.isdigit() else {"in": "before the first layer", "out": "behind the last"}[layer]
    told = {"relative": "the ends differ by", "minus": "minus moved by", "plus": "plus moved by", "cosine": "cosine"}
    if not np.isfinite(value):
        return f"{kind}, {where}:<br>unchanged" if column == "cosine" else ""
    unit = "" if column == "cosine" else " of the weights' norm"
    return f"{kind}, {where}:<br>{told[column]} {number(value) if column == 'cosine' else f'{value:.3%}'}{unit}"


def _alt(frame: pd.DataFrame, columns: list[str]) -> str:
    told = []
    for column in columns:
        known = frame[np.isfinite(frame[column].to_numpy(float))]
        if len(known):
            top = known.loc[known[column].idxmax()]
            told.append(f"{column} is largest, {number(top[column])}, in {top['kind']} of layer {top['layer']}")
    return f"Deltas over {frame['layer'].nunique()} layers and {frame['kind'].nunique()} kinds of tensor: " + (
        "; ".join(told) + "."
    )
