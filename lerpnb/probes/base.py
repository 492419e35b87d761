"""What a probe is, and the two short ways to write one's own."""

import hashlib
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.errors import ProbeError
from lerpnb.generation.continuations import Continuations
from lerpnb.results.measurement import Measurement


@runtime_checkable
class Probe(Protocol):
    """Something measured at a point from the model itself, such as `Loss`.

    Two further methods are used where a probe has them: `subset()`, a cheap copy of it by which `evaluate` checks that
    a point repeats, and `prepare(base)`, which returns the probe with the path's base at hand, or with that one of the
    path's checkpoints that its `role` names.

    Example:
        >>> class HeadNorm:
        ...     name = "norm of the head"
        ...
        ...     def identity(self):
        ...         return {"probe": self.name}
        ...
        ...     def measure(self, model, tokenizer):
        ...         norm = model.get_output_embeddings().weight.norm().item()
        ...         return {self.name: Measurement(np.array([norm]), items="values")}
        >>> isinstance(HeadNorm(), Probe), list(HeadNorm().measure(tiny_llama(), tiny_tokenizer()))
        (True, ['norm of the head'])
    """

    @property
    def name(self) -> str:
        """What messages call the probe."""
        ...

    def identity(self) -> dict | None:
        """All that the values depend on besides the weights, as JSON.

        A stored point is used again only where this is equal; None means that nothing is stored. A probe of your own is
        stored only where it has a `cache_key` besides: a text that you change whenever its code changes.
        """
        ...

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Measurement]:
        """{name of a quantity: what was measured}; the model is not changed."""
        ...


@runtime_checkable
class TextProbe(Protocol):
    """Something measured from the texts that the model writes, such as `AttributeStrength`.

    Probes with equal `continuations` share their texts, which are then sampled once.
    """

    @property
    def name(self) -> str:
        """What messages call the probe."""
        ...

    @property
    def continuations(self) -> Continuations:
        """What is sampled."""
        ...

    def identity(self) -> dict | None:
        """All that the values depend on besides the texts, as JSON; None means that nothing is stored."""
        ...

    def score(self, samples: pd.DataFrame) -> tuple[dict[str, Measurement], dict[str, Sequence[float]]]:
        """Measure sampled texts.

        Args:
            samples: the rows of `generation.sample`: prompt_id, prompt, continuation and more.

        Returns:
            {name of a quantity: what was measured}, and {name of a column: a value for each row}, which join the rows.
        """
        ...


@dataclass(frozen=True)
class FunctionProbe:
    """A probe from a function `f(model, tokenizer)` that returns a number, one number an item, or a dict of those.

    `evaluate` wraps a plain function in it, named after the function.

    Args:
        name: what the quantity is called.
        function: `f(model, tokenizer)`.
        unit: shown on axes.
        cache_key: a text that you change whenever what the function uses changes; only with one are its values stored.
            Its own code and constants count besides. A plain function may have it as an attribute.

    Raises:
        ProbeError: when measured, where the function returns anything else.

    Example:
        >>> def head_norm(model, tokenizer):
        ...     return model.get_output_embeddings().weight.norm()
        >>> FunctionProbe("head_norm", head_norm).name
        'head_norm'
    """

    name: str
    function: Callable[[PreTrainedModel, PreTrainedTokenizerBase], Any]
    unit: str = ""
    cache_key: str = ""

    def identity(self) -> dict | None:
        return {"name": self.name, "unit": self.unit, "code": code_of(self.function)} if self.cache_key else None

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Measurement]:
        result = self.function(model, tokenizer)
        if isinstance(result, Mapping) and result:
            return {f"{self.name}/{key}": self._measure(value) for key, value in result.items()}
        return {self.name: self._measure(result)}

    def _measure(self, value: Any) -> Measurement:
        if isinstance(value, Measurement):
            return value
        try:
            values = np.atleast_1d(np.asarray(value.tolist() if hasattr(value, "tolist") else value, dtype=np.float64))
        except (TypeError, ValueError):
            values = None
        if value is None or values is None or values.ndim != 1 or not values.size:
            raise ProbeError(
                f"probe {self.name!r}: its function returned {type(value).__name__}.\n"
                "It returns a number, one number an item, a Measurement, or a dict of those."
            )
        return Measurement(values, unit=self.unit, items="values")


@dataclass(frozen=True)
class TextFunctionProbe:
    """A probe from a function of one text: its mean over the continuations of each prompt, then over prompts.

    Args:
        name: what the quantity is called.
        function: `f(text) -> number`, given the continuation alone.
        continuations: what to sample; share one with `AttributeStrength` and the texts are written once.
        unit, cache_key: as of `FunctionProbe`.

    Example:
        >>> probe = TextFunctionProbe("words", lambda text: len(text.split()), Continuations(("The film",)))
        >>> probe.score(pd.DataFrame({"prompt_id": [0], "continuation": ["was long"]}))[0]["words"].value()
        2.0
    """

    name: str
    function: Callable[[str], float]
    continuations: Continuations
    unit: str = ""
    cache_key: str = ""

    def identity(self) -> dict | None:
        return {"name": self.name, "unit": self.unit, "code": code_of(self.function)} if self.cache_key else None

    def score(self, samples: pd.DataFrame) -> tuple[dict[str, Measurement], dict[str, Sequence[float]]]:
        try:
            values = [float(self.function(text)) for text in samples["continuation"]]
        except (TypeError, ValueError) as error:
            raise ProbeError(f"probe {self.name!r}: its function must return a number for a text: {error}.") from error
        return {self.name: by_prompt(samples, values, self.unit)}, {self.name: values}


def code_of(function: Callable) -> str:
    """Hash of what a function does: its code, names, constants and plain defaults, and those of functions inside it.

    What it uses from elsewhere is not in it.

    >>> code_of(lambda x: x + 1) == code_of(lambda x: x + 1), code_of(lambda x: x + 1) == code_of(lambda x: x + 2)
    (True, False)
    """

    def told(code: Any) -> str:
        if isinstance(code, types.CodeType):
            parts = [
                code.co_code.hex(),
                code.co_names,
                code.co_varnames,
                code.co_freevars,
                [*map(told, code.co_consts)],
            ]
            return repr(parts)
        return repr(sorted(map(repr, code))) if isinstance(code, frozenset) else repr(code)

    code = getattr(function, "__code__", None)
    if code is None:  # compiled, or an object that is called
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    plain = (type(None), bool, int, float, str, bytes)
    defaults = [value for value in function.__defaults__ or () if isinstance(value, plain)]
    return hashlib.sha256(f"{told(code)}{defaults!r}".encode()).hexdigest()


def by_prompt(
    samples: pd.DataFrame,
    values: Sequence[float] | np.ndarray,
    unit: str,
    keep: Sequence[bool] | None = None,
    kind: str = "",
) -> Measurement:
    """The mean of `values` over each prompt's kept continuations, weighted by how many were kept."""
    frame = pd.DataFrame({"prompt": samples["prompt_id"].to_numpy(), "value": np.asarray(values, dtype=np.float64)})
    frame["keep"] = True if keep is None else np.asarray(keep, dtype=bool)
    kept = frame[frame["keep"]].groupby("prompt")["value"]
    prompts = sorted(frame["prompt"].unique())
    means = kept.agg(lambda v: v.mean(skipna=False)).reindex(prompts)
    counts = kept.size().reindex(prompts, fill_value=0)
    return Measurement(means.where(counts > 0, 0.0).to_numpy(), counts.to_numpy(float), unit, "prompts", kind=kind)


def as_probe(thing: Any) -> Probe | TextProbe:
    """A probe as it is, or a plain function wrapped in `FunctionProbe`.

    Raises:
        ProbeError: it is neither.
    """
    if isinstance(thing, (Probe, TextProbe)) and not inspect.isclass(thing):
        return thing
    if inspect.isfunction(thing):
        return FunctionProbe(thing.__name__, thing, cache_key=getattr(thing, "cache_key", ""))
    raise ProbeError(
        f"evaluate(probes): {thing!r} is no probe.\n"
        "A probe is ln.Loss, ln.AttributeStrength, a function of (model, tokenizer), or an object with "
        "name, identity() and measure(model, tokenizer)."
    )


def stored_as(probe: Any) -> dict | None:
    """What a probe's values are stored under; None of one's own without a `cache_key`, and of one that gives None."""
    kind, key = type(probe), getattr(probe, "cache_key", "")
    if not key and not kind.__module__.startswith("lerpnb."):
        return None
    identity = probe.identity()
    return identity and {"class": f"{kind.__module__}.{kind.__qualname__}", "cache_key": key, "identity": identity}


def prepared(probe: Any, path: Any) -> Any:
    """The probe as it is measured along a path: with the checkpoint of the path that it asks for, see `Probe`."""
    if not hasattr(probe, "prepare"):
        return probe
    role = getattr(probe, "role", "base")
    return probe.prepare(path.base if role == "base" else path.checkpoints.get(role))
