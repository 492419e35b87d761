"""The best alpha: limits of both kinds, ties, what is not feasible, and the bootstrap's choice recounted."""

import numpy as np
import pytest

from lerpnb.errors import AlphaError, CurveError
from lerpnb.results import bootstrap
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

ALPHAS = (-1.0, 0.0, 0.5, 1.0, 2.0)


def curve(strength: list[float], loss: list[float], kl: list[float] = (0.5, 0.0, 0.1, 0.2, 0.9)) -> Curve:
    spread = np.array([-0.01, 0.01])
    return Curve.from_measures(
        {
            alpha: {
                "strength/joy": Measurement(s + spread, unit="probability", items="prompts"),
                "loss/sad": Measurement(x + spread, unit="nats/token"),
                "kl/base": Measurement(k + spread, unit="nats/token"),
            }
            for alpha, s, x, k in zip(ALPHAS, strength, loss, kl, strict=True)
        }
    )


RISING = curve([0.1, 0.2, 0.5, 0.7, 0.9], [2.9, 3.0, 3.1, 3.5, 4.5])


@pytest.mark.parametrize(
    ("quantity", "limits", "alpha", "feasible"),
    [
        ("strength/joy", {}, 2.0, ALPHAS),
        ("strength/joy", {"at_most": {"loss/sad": 3.5}}, 1.0, ALPHAS[:4]),
        ("strength/joy", {"at_most": {"loss/sad": (0.2, 0)}}, 0.5, ALPHAS[:3]),
        ("strength/joy", {"at_most": {"loss/sad": (0.0, 0)}}, 0.0, ALPHAS[:2]),
        ("strength/joy", {"at_most": {"loss/sad": 3.5, "kl/base": 0.15}}, 0.5, (0.0, 0.5)),
        ("loss/sad", {"at_least": {"strength/joy": (-0.3, 1.0)}}, 0.5, (0.5, 1.0, 2.0)),
        ("kl/base", {"highest": False, "at_least": {"strength/joy": 0.6}}, 1.0, (1.0, 2.0)),
        ("kl/base", {"highest": True}, 2.0, ALPHAS),
    ],
)
def test_the_best_of_those_that_keep_the_limits(quantity, limits, alpha, feasible):
    best = RISING.best(quantity, **limits)
    assert (best.alpha, best.nearest, best.feasible) == (alpha, alpha, feasible)
    row = RISING[quantity].set_index("alpha").loc[alpha]
    assert best.frame.loc[quantity, ["value", "low", "high"]].tolist() == row.tolist()


def test_a_relative_limit_is_shown_as_the_number_that_it_is():
    frame = RISING.best("strength/joy", at_most={"loss/sad": (0.2, 0)}).frame
    assert frame.loc["loss/sad", "at_most"] == pytest.approx(3.2) and np.isnan(frame.loc["loss/sad", "at_least"])
    assert np.isnan(frame.loc["strength/joy", "at_most"])


def test_of_equals_the_one_nearest_to_a_half():
    assert curve([0.9, 0.7, 0.1, 0.9, 0.9], [3.0] * 5).best("strength/joy").alpha == 1.0


def test_where_nothing_keeps_the_limits_the_nearest_is_said():
    best = RISING.best("strength/joy", at_most={"loss/sad": 3.2, "kl/base": -0.5})
    assert np.isnan(best.alpha) and best.nearest == 0.0 and best.feasible == () and best.infeasible == 1.0
    assert repr(best).startswith("No alpha keeps all limits of the highest strength/joy; the nearest is alpha 0\n")


def test_a_nan_is_never_chosen():
    assert curve([0.1, 0.2, 0.5, 0.7, np.nan], [3.0] * 5).best("strength/joy").alpha == 1.0
    assert curve([0.1, 0.2, 0.5, 0.7, 0.9], [3.0] * 4 + [np.nan]).best("strength/joy", {"loss/sad": 9}).alpha == 1.0


def test_the_bootstrap_s_choice_is_counted():
    generator = np.random.default_rng(1)
    strength, loss = generator.normal(0.5, 0.1, (3, 20)), generator.normal(3.0, 0.2, (3, 20))
    points = {float(i): {"strength/joy": Measurement(strength[i]), "loss/sad": Measurement(loss[i])} for i in range(3)}
    best = Curve.from_measures(points).best("strength/joy", at_most={"loss/sad": (0.02, 0)})
    ones = np.ones((3, 20))
    draws, losses = bootstrap.resample(strength, ones), bootstrap.resample(loss, ones)
    picks = []
    for s, x in zip(draws, losses, strict=True):
        kept = [i for i in range(3) if x[i] <= x[0] + 0.02]
        picks.append(max(kept, key=lambda i: s[i]))
    picks = np.array(picks)
    assert 0.05 < best.chosen < 0.95
    assert best.chosen == pytest.approx(np.mean(picks == best.alpha))
    assert best.nearby == pytest.approx(np.mean(np.abs(picks - best.alpha) <= 1)) and best.infeasible == 0


def test_one_item_says_nothing_of_how_sure_it_is():
    one = Curve.from_measures({a: {"strength/joy": Measurement([a])} for a in (0.0, 1.0)}).best("strength/joy")
    assert one.alpha == 1.0 and np.isnan(one.chosen) and "draws" not in repr(one)


def test_bad_input_is_refused():
    for call, kind, text in (
        (lambda: RISING.best("strength/jo"), CurveError, "Did you mean 'strength/joy'?"),
        (lambda: RISING.best("strength/joy", {"loss/x": 1}), CurveError, "no quantity 'loss/x'"),
        (lambda: RISING.best("kl/base"), CurveError, "neither high nor low is better.\nPass highest=True or False."),
        (lambda: RISING.best("loss/sad", {"kl/base": "1"}), AlphaError, "Curve.best(at_most['kl/base']): '1' is not"),
        (lambda: RISING.best("loss/sad", {"kl/base": (1, 2, 3)}), AlphaError, "or (rise, alpha)"),
        (lambda: RISING.best("loss/sad", {"kl/base": (1, 0.3)}), CurveError, "nothing at alpha 0.3"),
        (
            lambda: Curve.from_measures({0.0: {"loss/a": Measurement([1])}, 1.0: {"loss/b": Measurement([1])}}).best(
                "loss/a", {"loss/b": 2}
            ),
            CurveError,
            "at no alpha were loss/a and loss/b measured",
        ),
    ):
        with pytest.raises(kind) as error:
            call()
        assert text in str(error.value)
