"""A table of weight deltas: how far two fine-tunes moved, by layer and kind of tensor."""

from dataclasses import dataclass

import pandas as pd

from lerpnb.results.display import Displayed


@dataclass(frozen=True, eq=False)
class WeightDeltas(Displayed):
    """How far the ends lie from each other and from their base, by layer and kind of tensor, shown as heat maps.

    frame: a row a (layer, kind), layer "in" before the first layer, "out" behind the last: tensors, parameters,
        distance = |plus - minus| (Euclidean, no unit), relative = distance / |minus|; with a base also minus and plus =
        |end - base| / |base|, and cosine, of the two deltas end - base; NaN where one of them is zero.
    """

    frame: pd.DataFrame

    def __repr__(self) -> str:
        return self.frame.to_string(index=False, float_format=lambda value: f"{value:.4g}")
