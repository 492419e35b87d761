"""Trajectories in three dimensions, with a slider over alpha."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, number, rounded

REFERENCES = (theme.MINUS, theme.PLUS, *theme.NEUTRALS)


def plot_motion(
    motions: Mapping[float, np.ndarray], references: Mapping[str, np.ndarray] | None = None, unit: str = "m"
) -> Figure:
    """Where things go in space under the model at each alpha, which a slider moves, beside fixed references.

    Args:
        motions: {alpha: (n, steps + 1, 3) positions}, of the same n things at every alpha.
        references: {name: positions}, drawn dotted at every alpha, at most 5; the first in the color of alpha 0, the
            second in that of alpha 1.
        unit: of the positions.

    Raises:
        CurveError: no motion, positions of another shape, or more than 5 references.

    Example:
        >>> fall = np.array([[[0.0, 0, 2], [0, 0, 1], [0, 0, 0]]])
        >>> fig = plot_motion({0.0: fall, 1.0: fall / 2}, {"stone": fall})
        >>> [trace.name for trace in fig.data], [step.label for step in fig.layout.sliders[0].steps]
        (['stone', 'alpha', 'starts'], ['0', '1'])
    """
    references = references or {}
    if not motions or len(references) > len(REFERENCES):
        raise CurveError(
            f"plot_motion(motions, references): {len(motions)} motions, {len(references)} references.\n"
            f"Pass one motion or more, and at most {len(REFERENCES)} references."
        )
    for name, positions in [*motions.items(), *references.items()]:
        if np.ndim(positions) != 3 or np.shape(positions)[2] != 3:
            raise CurveError(
                f"plot_motion(): {name!r} has the shape {np.shape(positions)}, expected (n, steps + 1, 3).\n"
                "Pass the positions of n things, such as rollout.states[..., :3]."
            )
    alphas = sorted(motions)
    active = int(np.abs(np.array(alphas) - 0.5).argmin())
    fig = Figure.blank(640, _alt(motions, alphas, unit), t=10, b=90, l=10, r=10)
    for (name, positions), color in zip(references.items(), REFERENCES, strict=False):
        look: dict[str, Any] = dict(line=dict(color=color, width=3, dash="dot"), opacity=0.7)
        fig.add_scatter3d(**_lines(positions), mode="lines", name=escaped(name), hoverinfo="name", **look)
    look = dict(mode="lines+markers", line=dict(color=theme.GREEN, width=5), marker=dict(color=theme.GREEN, size=2.5))
    fig.add_scatter3d(**_lines(motions[alphas[active]]), name="alpha", **look, hoverinfo="skip")
    starts = dict(zip("xyz", map(rounded, np.asarray(motions[alphas[0]])[:, 0].T), strict=True))
    marker = dict(symbol="diamond", size=5, color=theme.INK)
    fig.add_scatter3d(**starts, mode="markers", name="starts", marker=marker, hoverinfo="skip")
    steps = [
        dict(
            method="restyle",
            label=alpha_text(alpha),
            args=[{axis: [line] for axis, line in _lines(motions[alpha]).items()}, [len(references)]],
        )
        for alpha in alphas
    ]
    fig.add_slider(active, steps, -0.02, 0.05)
    places = np.concatenate([np.reshape(one, (-1, 3)) for one in [*motions.values(), *references.values()]])
    reach = float(np.abs(places[np.isfinite(places).all(1)]).max(initial=0.0)) or 1.0
    axis = dict(gridcolor=theme.FAINT, zerolinecolor=theme.FAINT, showbackground=False, nticks=5)
    axes = {f"{name}axis": dict(title_text=f"{name} ({unit})", range=[-reach, reach], **axis) for name in "xyz"}
    return fig.update_scenes(**axes, aspectmode="cube").update_layout(legend=dict(y=0.98, yanchor="top"))


def _lines(positions: np.ndarray) -> dict[str, list]:
    """x, y and z of several lines as those of one, with a gap behind each."""
    gap = np.full((len(positions), 1, 3), np.nan)
    flat = np.concatenate([positions, gap], axis=1).reshape(-1, 3)
    return dict(zip("xyz", map(rounded, flat.T), strict=True))


def _alt(motions: Mapping[float, np.ndarray], alphas: list[float], unit: str) -> str:
    parts = []
    for alpha in alphas:
        last = float(np.linalg.norm(np.asarray(motions[alpha])[:, -1], axis=-1).mean())
        parts.append(f"{number(last)} {unit} at alpha {alpha_text(alpha)}")
    n = len(next(iter(motions.values())))
    return f"{n} trajectories in three dimensions. Mean distance from the origin at their ends: {'; '.join(parts)}."
