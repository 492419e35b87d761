"""Overhead: what it costs to write with a path's model, in time and in weights held, as ratios to another's."""

import statistics
import time
from collections.abc import Mapping

import pandas as pd
import torch

from lerpnb.errors import ProbeError
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.sampling import sample
from lerpnb.paths.base import BasePath


def inference_cost(points: Mapping[str, tuple[BasePath, float]], spec: Continuations, rounds: int = 3) -> pd.DataFrame:
    """Tokens a second and weights held while writing with the model at a point of each path, beside the first one's.

    All are timed in turn, round after round in one process, so that a slow moment of the machine meets all of them;
    each writes once before. Weights are those that the model at the point holds: what inference needs, not what the
    path keeps in order to move.

    Args:
        points: {name: (path, coordinate)}; the first is the yardstick.
        spec: what to write.
        rounds: how often each is timed, 1 or more.

    Returns:
        A row a name: `tokens/s`, the median over the rounds; `time a token`, as a multiple of the first's in the same
        round (median, and the lowest and highest as `from` and `to`); `weights`, in MiB; `weights held`, as a multiple
        of the first's.

    Raises:
        ProbeError: no points, or one that writes no token.

    Example:
        >>> import lerpnb as ln
        >>> minus, plus = (tiny_checkpoint(eos_token_id=None) for _ in range(2))
        >>> both = {"line": (ln.Line(minus, plus, device="cpu"), 0.5),
        ...         "both": (ln.merging.ProbabilityEnsemble(minus, plus, device="cpu"), 0.5)}
        >>> inference_cost(both, ln.Continuations(["a film"]), rounds=1)["weights held"].round(2).tolist()
        [1.0, 2.0]
    """
    if not points:
        raise ProbeError("inference_cost(points): no points.\nPass {name: (path, coordinate)}.")
    seconds: dict[str, list[float]] = {name: [] for name in points}
    for turn in range(rounds + 1):
        for name, (path, at) in points.items():
            model = path.at(at)
            start = time.perf_counter()
            texts = sample(model, path.tokenizer, spec)
            spent, tokens = time.perf_counter() - start, int(texts["n_tokens"].sum())
            if not tokens:
                raise ProbeError(f"inference_cost(points): {name!r} writes no token.\nPass other prompts.")
            if turn:
                seconds[name].append(spent / tokens)
    first = seconds[next(iter(points))]
    rows = {}
    for name, (path, _) in points.items():
        ratios = [mine / its for mine, its in zip(seconds[name], first, strict=True)]
        times = {"time a token": statistics.median(ratios), "from": min(ratios), "to": max(ratios)}
        rows[name] = {"tokens/s": 1 / statistics.median(seconds[name]), **times, "weights": held(path.model) / 2**20}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return frame.assign(**{"weights held": frame["weights"] / frame["weights"].iloc[0]})


def held(model: torch.nn.Module) -> int:
    """The bytes of all parameters and buffers of a model, memory that several of them share counted once."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())
