"""Which merging methods agree with mergekit's, and to what, on tiny models; where not, whose design it is.

    python tests/benchmarks/merging.py

Limit: 1e-5, the largest difference of a number, where both mean the same. Where mergekit means something else the
difference is shown with the reason, and must be there.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import common
import torch

import lerpnb as ln
from lerpnb.generation.noise import noise_key
from lerpnb.merging.dare import dropped_and_rescaled
from lerpnb.paths.base import BasePath

LIMIT = 1e-5
ROLES = ("base", "one", "two")
Tensors = dict[str, torch.Tensor]
# method, ours, mergekit's, what is compared, why they differ ("" where they are to agree)
Row = tuple[str, Callable[[], BasePath], Any, Callable[[], Tensors], str]


class Sum(BasePath):
    """Any sum of its checkpoints: the coordinate is the coefficients."""

    def coefficients(self, at: tuple[float, ...]) -> tuple[float, ...]:
        return at


def models() -> dict[str, torch.nn.Module]:
    """A tiny Llama, two fine-tunes of it, and two strangers, none of whose tensors lie near each other."""
    import tiny_models as tiny

    base = tiny.llama(0, tied=False)
    tuned = {"base": base, "one": tiny.moved(base, 11, 0.02), "two": tiny.moved(base, 12, 0.02)}
    return tuned | {"stranger": tiny.llama(1, tied=False), "other": tiny.llama(2, tied=False)}


def merged(
    method: str,
    models: Mapping[str, torch.nn.Module],
    with_base: bool = True,
    shared: Mapping | None = None,
    masks: Callable[[str, int], torch.Tensor] | None = None,
    **of_input: Mapping[str, float],
) -> Tensors:
    """What mergekit's method makes of each tensor of the models, the first of which is its base.

    Args:
        shared: parameters of all inputs.
        masks: from a tensor's name and a fine-tune's place to what stands for mergekit's own random draw.
        of_input: {parameter: {role: value}}.
    """
    from mergekit.merge_methods.base import PerInputValues, TensorGroup
    from mergekit.merge_methods.registry import get

    found, parts = {}, {role: model.state_dict() for role, model in models.items()}
    parameters = dict(shared or {})
    parameters |= {name: PerInputValues(list(values.items())) for name, values in of_input.items()}
    for name in next(iter(parts.values())):
        tensors = [part[name] for part in parts.values()]
        group = TensorGroup.from_tensors(tensors, ids=list(models), base_index=0 if with_base else None, name=name)
        places = iter(range(len(models)))
        draw = patch("torch.bernoulli", side_effect=lambda _, name=name, places=places: masks(name, next(places)))
        with draw if masks else patch("torch.bernoulli", torch.bernoulli):
            found[name] = get(method)([group], parameters=parameters)[0]
    return found


def rows(held: Mapping[str, torch.nn.Module]) -> Iterator[Row]:
    of = {role: held[role] for role in ROLES}
    base, one, two = of.values()
    tuned, ends = {"one": one, "two": two}, {"one": one, "two": two}
    yield (
        "linear: Line",
        lambda: ln.Line(one, two, device="cpu"),
        0.3,
        lambda: merged("linear", ends, False, {"normalize": False}, weight={"one": 0.7, "two": 0.3}),
        "",
    )
    yield (
        "linear: Soup of three",
        lambda: ln.merging.ModelSoup(of, device="cpu"),
        3.0,
        lambda: merged("linear", of, False, weight=dict.fromkeys(ROLES, 1.0)),
        "",
    )
    yield (
        "linear, weights that sum to 1.4",
        lambda: Sum(ends, device="cpu"),
        (0.7, 0.7),
        lambda: merged("linear", ends, False, weight={"one": 0.7, "two": 0.7}),
        "mergekit divides by the weights' sum unless normalize is false; ours never renormalises",
    )
    yield (
        "slerp: Slerp, strangers",
        lambda: ln.merging.Slerp(held["stranger"], held["other"], device="cpu"),
        0.3,
        lambda: merged("slerp", {"a": held["stranger"], "b": held["other"]}, shared={"t": 0.3}),
        "",
    )
    yield (
        "slerp: Slerp, fine-tunes (the line)",
        lambda: ln.merging.Slerp(one, two, device="cpu"),
        0.3,
        lambda: merged("slerp", ends, shared={"t": 0.3}),
        "",
    )
    yield (
        "nuslerp: Slerp(deltas)",
        lambda: ln.merging.Slerp(one, two, base, deltas=True, device="cpu"),
        0.3,
        lambda: merged("nuslerp", of, weight={"one": 0.7, "two": 0.3}),
        "",
    )
    yield (
        "task_arithmetic: TaskArithmetic",
        lambda: ln.merging.TaskArithmetic(base, tuned, weights={"two": -0.5}, device="cpu"),
        0.8,
        lambda: merged("task_arithmetic", of, shared={"lambda": 0.8}, weight={"one": 1.0, "two": -0.5}),
        "",
    )
    for density in (0.2, 0.73):
        yield (
            f"ties, density {density:g}: Ties",
            lambda density=density: ln.merging.Ties(base, tuned, density=density, device="cpu"),
            0.8,
            lambda density=density: merged(
                "ties",
                of,
                shared={"lambda": 0.8},
                weight={"one": 1.0, "two": 1.0},
                density={"one": density, "two": density},
            ),
            "",
        )
    for method, elect, why in (
        ("dare_linear", False, "mergekit rescales each tensor to its L1 norm before; the paper and ours by 1/(1 - p)"),
        ("dare_ties", True, "as dare_linear, and mergekit sums what agrees; TIES and ours take the mean"),
    ):
        plain = {"weight": {"one": 1.0, "two": 1.0}, "density": {"one": 0.4, "two": 0.4}}
        ours = lambda elect=elect: ln.merging.Dare(base, tuned, drop=0.6, seed=5, elect=elect, device="cpu")  # noqa: E731
        paper = {"rescale": False, "normalize": elect, "lambda": 1 / 0.4}
        yield (
            f"{method}, our mask, rescaled by 1/(1 - p)",
            ours,
            1.0,
            lambda method=method, paper=paper, plain=plain: merged(method, of, True, paper, kept(base), **plain),
            "",
        )
        yield (
            f"{method}, our mask, its defaults",
            ours,
            1.0,
            lambda method=method, plain=plain: merged(method, of, True, {}, kept(base), **plain),
            why,
        )


def kept(model: torch.nn.Module) -> Callable[[str, int], torch.Tensor]:
    """What `Dare(drop=0.6, seed=5)` keeps of a tensor of a fine-tune, as 0 and 1."""
    parts = model.state_dict()
    return lambda name, place: (
        dropped_and_rescaled(torch.ones_like(parts[name]), 0.6, noise_key(5, name, place)) > 0
    ).float()


def largest(ours: Tensors, theirs: Tensors) -> float:
    return max((ours[name].double() - theirs[name].double()).abs().max().item() for name in theirs)


def main() -> None:
    options = common.arguments(__doc__.splitlines()[0])
    try:
        import mergekit  # noqa: F401
    except ImportError:
        print("mergekit is not installed: pip install -r tests/benchmarks/requirements.txt")
        return
    held, odd, saved = models(), [], []
    print("| mergekit's: ours | largest difference | |\n|---|---|---|")
    for name, ours, at, theirs, why in rows(held):
        with torch.no_grad():
            found = largest(ours().at(at).state_dict(), theirs())
        odd += [name] if (found > LIMIT) != bool(why) else []
        saved.append({"name": name, "difference": found, "differs by design": why})
        print(f"| {name} | {found:.1e} | {why or 'agrees'} |")
    kept_share = (dropped_and_rescaled(torch.ones(10**6), 0.6, 1) > 0).float().mean().item()
    theirs_share = torch.bernoulli(torch.full((10**6,), 0.4)).mean().item()
    print(
        f"\nkept of a million at p = 0.6: ours {kept_share:.4f}, torch's draw, which mergekit takes, {theirs_share:.4f}"
    )
    print(f"{len(saved) - len(odd)} of {len(saved)} as expected, limit {LIMIT:g}")
    if odd:
        sys.exit(f"not as expected: {', '.join(odd)}")
    if not options.tiny:
        common.save("merging", saved)


if __name__ == "__main__":
    main()
