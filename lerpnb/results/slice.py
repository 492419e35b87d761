"""A slice: a surface along a straight segment. It knows no torch and no plots."""

from dataclasses import dataclass

import pandas as pd

from lerpnb.results.display import Displayed


@dataclass(frozen=True, eq=False)
class Slice(Displayed):
    """A cut through a surface: what is met on the straight way from a to b, as the ends are called.

    frame: a row a place: distance from a (Euclidean, in parameter space), x, y, the interpolated value (by
        `interpolation`) and its estimated error. met: distance, value, low, high of the measured points on the way.
    """

    frame: pd.DataFrame
    met: pd.DataFrame
    quantity: str
    unit: str
    a: str
    b: str
    interpolation: str

    def __repr__(self) -> str:
        length, worst = self.frame["distance"].iloc[-1], self.frame["error"].max()
        return (
            f"Slice of {self.quantity} from {self.a} to {self.b}, {length:.4g} long: {len(self.met)} measured points "
            f"on it; in between by {self.interpolation}, estimated error at most {worst:.2g} {self.unit}"
        ).rstrip()
