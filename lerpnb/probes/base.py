"""What a probe is, and the two short ways to write one's own."""

import dis
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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

        A stored point is used again only where this is equal; None means that nothing is stored.
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

    def identity(self) -> dict | None:
        return source_of(self.function, self.name, self.unit)

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
        unit: shown on axes.

    Example:
        >>> probe = TextFunctionProbe("words", lambda text: len(text.split()), Continuations(("The film",)))
        >>> probe.score(pd.DataFrame({"prompt_id": [0], "continuation": ["was long"]}))[0]["words"].value()
        2.0
    """

    name: str
    function: Callable[[str], float]
    continuations: Continuations
    unit: str = ""

    def identity(self) -> dict | None:
        return source_of(self.function, self.name, self.unit)

    def score(self, samples: pd.DataFrame) -> tuple[dict[str, Measurement], dict[str, Sequence[float]]]:
        try:
            values = [float(self.function(text)) for text in samples["continuation"]]
        except (TypeError, ValueError) as error:
            raise ProbeError(f"probe {self.name!r}: its function must return a number for a text: {error}.") from error
        return {self.name: by_prompt(samples, values, self.unit)}, {self.name: values}


def by_prompt(
    samples: pd.DataFrame, values: Sequence[float] | np.ndarray, unit: str, keep: Sequence[bool] | None = None
) -> Measurement:
    """The mean of `values` over each prompt's kept continuations, weighted by how many were kept."""
    frame = pd.DataFrame({"prompt": samples["prompt_id"].to_numpy(), "value": np.asarray(values, dtype=np.float64)})
    frame["keep"] = True if keep is None else np.asarray(keep, dtype=bool)
    kept = frame[frame["keep"]].groupby("prompt")["value"]
    prompts = sorted(frame["prompt"].unique())
    means = kept.agg(lambda v: v.mean(skipna=False)).reindex(prompts)
    counts = kept.size().reindex(prompts, fill_value=0)
    return Measurement(means.where(counts > 0, 0.0).to_numpy(), counts.to_numpy(float), unit, "prompts")


def as_probe(thing: Any) -> Probe | TextProbe:
    """A probe as it is, or a plain function wrapped in `FunctionProbe`.

    Raises:
        ProbeError: it is neither.
    """
    if isinstance(thing, (Probe, TextProbe)) and not inspect.isclass(thing):
        return thing
    if inspect.isfunction(thing):
        return FunctionProbe(thing.__name__, thing)
    raise ProbeError(
        f"evaluate(probes): {thing!r} is no probe.\n"
        "A probe is ln.Loss, ln.AttributeStrength, a function of (model, tokenizer), or an object with "
        "name, identity() and measure(model, tokenizer)."
    )


def prepared(probe: Any, path: Any) -> Any:
    """The probe as it is measured along a path: with the checkpoint of the path that it asks for, see `Probe`."""
    if not hasattr(probe, "prepare"):
        return probe
    role = getattr(probe, "role", "base")
    return probe.prepare(path.base if role == "base" else path.checkpoints.get(role))


def source_of(function: Callable, name: str, unit: str) -> dict | None:
    """A function's source as its identity, where the source tells all that it does; else None, so it is never stored.

    None for what is no plain function, has no source, closes over or defaults to values, shares its line with another
    lambda, or uses a global or an import that is not from an installed package: a file of one's own may be edited.
    """
    if not inspect.isfunction(function) or function.__closure__ or function.__defaults__ or function.__kwdefaults__:
        return None
    try:
        source = inspect.getsource(function)
    except (TypeError, OSError):
        return None
    codes = [function.__code__]
    for code in codes:  # it grows: functions inside functions see the same globals
        codes += [inner for inner in code.co_consts if inspect.iscode(inner)]
    if function.__name__ == "<lambda>" and source.count("lambda") > 1:
        return None
    for step in (step for code in codes for step in dis.get_instructions(code)):
        if step.opname == "IMPORT_NAME" and not _installed(step.argval):
            return None
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval in function.__globals__:
            value = function.__globals__[step.argval]
            named = inspect.ismodule(value) or inspect.isroutine(value) or inspect.isclass(value)
            module = inspect.getmodule(value) if named else None
            if not (inspect.isbuiltin(value) or module and _installed(module.__name__)):
                return None
    return {"name": name, "unit": unit, "source": source}


def _installed(module: str) -> bool:
    """Whether a module is Python's, ours or an installed package's, whose code changes with its version only."""
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names or root == __name__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
