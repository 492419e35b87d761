"""A curve's chief numbers, as run.json holds them: so ten thousand runs are read in seconds. No torch, no plots."""

from lerpnb.errors import CurveError
from lerpnb.results.curve import Curve


def chief_numbers(curve: Curve) -> dict[str, dict[str, float | str]]:
    """The few numbers that a table of runs shows, each with its 95 % interval and unit.

    barrier/LOSS and gap/LOSS: how far a loss rises above its ends' chord on [0, 1], and its largest signed gap to the
    chord inside (see `Barrier`); rise/STRENGTH: value(1) - value(0); spearman/STRENGTH: its rank correlation with
    alpha over the whole walk. What needs an alpha that was not measured is left out; a NaN stays a NaN.

    >>> from lerpnb.results.measurement import Measurement
    >>> points = {a: {"loss/x": Measurement([a * a, a * a], unit="nats/token")} for a in (0.0, 0.5, 1.0)}
    >>> curve = Curve.from_measures(points)
    >>> chief_numbers(curve)["gap/loss/x"]
    {'value': -0.25, 'low': -0.25, 'high': -0.25, 'unit': 'nats/token'}
    """
    found: dict[str, dict] = {}

    def keep(name: str, value: float, low: float, high: float, unit: str) -> None:
        found[name] = {"value": float(value), "low": float(low), "high": float(high), "unit": unit}

    for quantity in curve.quantities:
        kind, unit = quantity.partition("/")[0], curve.unit(quantity)
        try:
            if kind == "loss":
                barrier = curve.barrier(quantity)
                keep(f"barrier/{quantity}", barrier.value, barrier.low, barrier.high, unit)
                if len(inside := barrier.gaps.dropna(subset=["gap"])):
                    top = inside.loc[inside["gap"].idxmax()]
                    keep(f"gap/{quantity}", top["gap"], top["low"], top["high"], unit)
            elif kind == "strength":
                rho, rise = curve.spearman(quantity), curve.rise(quantity)
                keep(f"rise/{quantity}", rise.value, rise.low, rise.high, unit)
                keep(f"spearman/{quantity}", rho.value, rho.low, rho.high, "")
        except CurveError:  # 0 or 1 was not measured
            continue
    return found
