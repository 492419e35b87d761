"""What a curve finds, in sentences that its intervals bear out: how losses lie to chords, how strength changes."""

from contextlib import suppress

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.results.barrier import Barrier
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.curve import Curve
from lerpnb.results.quantity import ATTRIBUTES
from lerpnb.utils.text import listed, show

HARDLY = 0.01  # a change of a probability that is nothing to a reader, however narrow its interval


def sentences(curve: Curve, barriers: dict[str, Barrier] | None = None) -> list[str]:
    """The finding on the losses, and one for each attribute's strength; nothing where alpha 0 or 1 was not measured.

    Args:
        curve: what was measured.
        barriers: of quantities of one kind; by default those of the losses.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {a: {"loss/x": Measurement([a * a, 2 + a * a], unit="nats/token")} for a in (0.0, 0.5, 1.0)}
        >>> sentences(Curve.from_measures(points))
        ['Loss stays below the chord (by 0.25 [0.25, 0.25] nats/token or more)']
    """
    if barriers is None:
        barriers = {}
        with suppress(CurveError):
            barriers = {name: curve.barrier(name) for name in curve.of_kind("loss")}
    found = [_of_barriers(curve, barriers)] if barriers else []
    for name in curve.of_kind(*ATTRIBUTES):
        with suppress(CurveError):
            found.append(of_change(name, curve))
    return [sentence[:1].upper() + sentence[1:] for sentence in found]


def _of_barriers(curve: Curve, barriers: dict[str, Barrier]) -> str:
    first = next(iter(barriers.values()))
    kind, sign = curve.quantity(first.quantity).kind, -1 if first.better == "above" else 1
    by_verdict: dict[str, list[Barrier]] = {}
    for barrier in barriers.values():
        by_verdict.setdefault(barrier.verdict(), []).append(barrier)
    subject = kind.capitalize()
    if unknown := by_verdict.get("unknown"):
        where = listed(map(show, unknown[0].nan_alphas))
        return f"{subject} is no finite number at alpha {where}: cannot tell whether there is a barrier"
    if "unmeasured" in by_verdict:
        return f"{subject}: nothing was measured between the ends: cannot tell whether there is a barrier"
    verdict = next(word for word in ("breaks", "open", "holds") if word in by_verdict)
    barrier = max(by_verdict[verdict], key=lambda one: sign * one.worst[0].value)  # type: ignore[index]
    (gap, at), better = barrier.worst, barrier.better  # type: ignore[misc]
    extreme = "largest gap" if better == "below" else "least gap"
    gap_text = f"{extreme} {gap.text()} {barrier.unit}".rstrip()
    if verdict == "holds":
        if (away := Estimate(-gap.value, -gap.high, -gap.low) if better == "below" else gap).low > 0:
            return f"{subject} stays {better} the chord (by {f'{away.text()} {barrier.unit}'.rstrip()} or more)"
        return f"{subject} does not leave the chord ({gap_text})"
    of = f" of “{label}”" if len(barriers) > 1 and (label := curve.quantity(barrier.quantity).label) else ""
    if verdict == "breaks":
        move = "rises above" if better == "below" else "falls below"
        return f"{subject}{of} {move} the chord ({extreme} {gap.text()} {barrier.unit} at alpha {show(at)})"
    return f"Undecided whether {kind}{of} leaves the chord ({gap_text})"


def of_change(name: str, curve: Curve) -> str:
    """How a quantity changes from alpha 0 to 1, in words.

    Raises:
        CurveError: no such quantity, or alpha 0 or 1 was not measured.
    """
    quantity, rise = curve.quantity(name), curve.difference(name)
    subject = quantity.words
    if np.isnan(rise.low):
        return f"{subject} changes by {rise.text()}, without an interval"
    if quantity.unit == "probability" and max(-rise.low, rise.high) < HARDLY:
        return f"{subject} hardly changes ({rise.text(sign=True)})"
    size = rise if rise.value >= 0 else Estimate(-rise.value, -rise.high, -rise.low)
    if size.low <= 0:
        return f"undecided whether {subject} changes ({rise.text(sign=True)})"
    return f"{subject} {'rises' if rise.value > 0 else 'falls'} by {size.text()}"
