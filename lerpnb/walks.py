"""Walks: the one loop. Probes are measured along a path; a Curve comes back."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from .alpha import alpha_grid, number, show
from .curve import Curve, Measure
from .errors import AlphaError, NotFiniteError, ProbeError
from .paths import Line
from .picture import plain
from .probes.base import Probe, TextProbe, as_probe
from .progress import track
from .sampling import Continuations, sample
from .store import Store

Point = tuple[dict[str, Measure], pd.DataFrame | None]


def walk(
    line: Line,
    alphas: Sequence[float] | None = None,
    probes: Sequence[Any] = (),
    *,
    store: Store | str | Path | None | bool = True,
    check: bool = True,
) -> Curve:
    """Measure probes along a line.

    Every point is mixed from both ends, measured and stored at once, so that a walk that dies resumes, and a denser
    grid or one more probe pays only for what is new. Text probes with equal `Continuations` share their texts.
    Ctrl-C returns the curve of what is done.

    Args:
        line: the path.
        alphas: coordinates, without unit; by default `alpha_grid(-1, 2, 13)`.
        probes: `Loss`, `Attribute`, `OfTexts`, functions of (model, tokenizer), or objects like them.
        store: where finished points are kept: a `Store`, a folder, True for the default folder, False for nowhere.
        check: first measure each new probe twice at alpha 0 on a few items, and refuse one that does not repeat.

    Returns:
        A `Curve`: every probe's quantities (NaN where the model at an alpha cannot be used), their 95 % intervals, all
        samples and the provenance.

    Raises:
        AlphaError: an alpha that is not a finite number, or one given twice.
        ProbeError: no probes, two with one name, one that does not repeat or that returns no measurement.

    Example:
        >>> import lerpnb as ln
        >>> from tokenizers import Tokenizer, models
        >>> from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
        >>> vocabulary = models.WordLevel({"end": 0, "a": 1, "film": 2}, unk_token="end")
        >>> words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(vocabulary), eos_token="end")
        >>> config = LlamaConfig(vocab_size=3, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        ...                      num_attention_heads=2)
        >>> ends = [ln.Checkpoint.from_model(LlamaForCausalLM(config), words) for _ in range(2)]
        >>> def norm(model, tokenizer):
        ...     return model.lm_head.weight.norm()
        >>> ln.walk(ln.Line(*ends, device="cpu"), [0, 0.5, 1], [norm], store=False).alphas.tolist()
        [0.0, 0.5, 1.0]
    """
    started = time.time()
    grid = _checked_alphas(alpha_grid(-1, 2, 13) if alphas is None else alphas)
    probes = [as_probe(probe) for probe in probes]
    _check_names(probes)
    if line.tokenizer is None:
        raise ProbeError(
            "walk(line): the line has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
        )
    probes = [probe.prepare(line.base) if hasattr(probe, "prepare") else probe for probe in probes]
    work = _Work(line, probes, _store(store))
    if check:
        work.check_repeats(grid)
    points: dict[float, Point] = {}
    order = sorted(grid, key=lambda alpha: (alpha not in (0.0, 1.0), alpha))  # the ends first: a barrier needs both
    try:
        for alpha in track(order, label="walk"):
            points[alpha] = work.point(alpha)
    except KeyboardInterrupt:
        if not points:
            raise
        print(f"Interrupted: {len(points)} of {len(grid)} alphas are done.")
    _fill_gaps(points)
    samples = [found.assign(alpha=alpha) for alpha, (_, found) in points.items() if found is not None]
    return Curve.from_measures(
        {alpha: measures for alpha, (measures, _) in points.items()},
        pd.concat(samples, ignore_index=True) if samples else None,
        work.provenance() | {"started": _utc(started), "seconds": round(time.time() - started, 1)},
    )


class _Work:
    """One walk's line, probes and store."""

    def __init__(self, line: Line, probes: list[Probe | TextProbe], store: Store | None):
        self.line, self.probes, self.store = line, probes, store
        self.known, self.new = 0, 0

    def point(self, alpha: float) -> Point:
        """All probes at one alpha, from the store where it has them; none of texts where no text can be sampled."""
        measures: dict[str, Measure] = {}
        texts: dict[Continuations, pd.DataFrame] = {}
        unusable: set[Continuations] = set()
        for probe in self.probes:
            spec = probe.continuations if isinstance(probe, TextProbe) else None
            try:
                if spec and spec not in unusable and spec not in texts:
                    texts[spec] = self._texts(spec, alpha)
            except NotFiniteError as error:
                unusable.add(spec)
                warnings.warn(f"alpha {show(alpha)}: {error}", stacklevel=4)
            if spec in unusable:
                continue
            found, columns = self._measured(probe, alpha, texts)
            twice = sorted(set(found) & set(measures))
            if twice:
                raise ProbeError(f"walk(probes): two probes measure {twice[0]!r}.\nGive one of them another name.")
            measures |= found
            if columns is not None:
                texts[spec] = texts[spec].assign(**{name: columns[name] for name in columns})
        return measures, self._joined(texts)

    def _joined(self, texts: dict[Continuations, pd.DataFrame]) -> pd.DataFrame | None:
        """All samples of one alpha; of several samplings each has prompt_ids of its own."""
        frames, taken = [], 0
        for place, spec in enumerate(dict.fromkeys(p.continuations for p in self.probes if isinstance(p, TextProbe))):
            if spec in texts:
                frames.append(texts[spec].assign(prompt_id=texts[spec]["prompt_id"] + taken, sampling=place))
            taken += len(spec.prompts)
        if not frames:
            return None
        joined = pd.concat(frames, ignore_index=True)
        return joined if joined["sampling"].any() or len(frames) > 1 else joined.drop(columns="sampling")

    def _measured(self, probe: Any, alpha: float, texts: dict) -> Point:
        key, found = self._probe_key(probe, alpha), self._stored(probe, alpha)
        if found:
            self.known += 1
            return found
        self.new += 1
        if isinstance(probe, TextProbe):
            measures, columns = probe.score(texts[probe.continuations])
            found = _checked(probe, measures), pd.DataFrame(columns)
        else:
            found = _checked(probe, probe.measure(self._model(alpha), self.line.tokenizer)), None
        if self.store is not None and key:
            self.store.put(key, *found)
        return found

    def _probe_key(self, probe: Any, alpha: float) -> dict | None:
        identity = probe.identity()
        spec = probe.continuations if isinstance(probe, TextProbe) else None
        return None if identity is None else self._key(alpha, identity, spec)

    def _stored(self, probe: Any, alpha: float) -> Point | None:
        key = self._probe_key(probe, alpha)
        return self.store.get(key) if self.store is not None and key else None

    def _texts(self, spec: Continuations, alpha: float) -> pd.DataFrame:
        key = self._key(alpha, {"texts": spec.identity()}, None)
        stored = None if self.store is None else self.store.get(key)
        if stored:
            return stored[1]
        found = sample(self._model(alpha), self.line.tokenizer, spec)
        if self.store is not None:
            self.store.put(key, {}, found)
        return found

    def _model(self, alpha: float) -> torch.nn.Module:
        return self.line.model if self.line.alpha == alpha else self.line.at(alpha)

    def _key(self, alpha: float, identity: dict, spec: Continuations | None) -> dict:
        key = self.line.identity() | {"alpha": alpha, "measured": identity}
        return key | {"texts": spec.identity()} if spec else key

    def check_repeats(self, grid: list[float]) -> None:
        """Measure each probe without a stored point on the grid twice at alpha 0, and refuse one that differs."""
        for probe in self.probes:
            if any(self._stored(probe, alpha) for alpha in grid):
                continue  # it was checked before its first point was stored
            few = probe.few() if hasattr(probe, "few") else probe
            first, second = (self._once(few) for _ in range(2))
            for name in first:
                if name not in second or not np.array_equal(first[name].values, second[name].values, equal_nan=True):
                    other = second[name].value() if name in second else "nothing"
                    raise ProbeError(
                        f"walk(probes): {name!r} does not repeat: at alpha 0 it is {first[name].value()!r}, "
                        f"then {other!r}.\n"
                        "Fix its seed, or pass check=False to walk through its noise."
                    )

    def _once(self, probe: Any) -> dict[str, Measure]:
        if isinstance(probe, TextProbe):
            texts = sample(self._model(0.0), self.line.tokenizer, probe.continuations)
            return _checked(probe, probe.score(texts)[0])
        return _checked(probe, probe.measure(self._model(0.0), self.line.tokenizer))

    def provenance(self) -> dict:
        """Where the numbers come from, as JSON."""
        line = self.line
        ends = {"minus": line.minus, "plus": line.plus} | ({"base": line.base} if line.base else {})
        settings = {probe.name: probe.identity() for probe in self.probes}
        told = [(name, key, value) for name, found in settings.items() for key, value in (found or {}).items()]
        hashes = {key: end.sha256 for key, end in ends.items()}
        hashes |= {f"texts of {name}": value for name, key, value in told if key == "texts"}
        hashes |= {key: value for _, key, value in told if key in ("scorer", "judge") and value}
        samplings = [probe.continuations for probe in self.probes if isinstance(probe, TextProbe)]
        return {
            "ends": {key: end.name for key, end in ends.items()},
            "stored_dtypes": {key: sorted(end.stored_dtypes) for key, end in ends.items()},
            "hashes": hashes,
            "dtype": line.dtype,
            "device": _device_name(line.device),
            "seeds": {"sampling": sorted({spec.seed for spec in samplings})},
            "settings": settings | {"continuations": [spec.identity() for spec in dict.fromkeys(samplings)]},
            "item_names": {
                probe.name: [plain(text, 160) for text in probe.corpus.texts]
                for probe in self.probes
                if hasattr(probe, "corpus")
            },
            "measured": self.new,
            "from_store": self.known,
            "versions": {name: version(name) for name in ("lerpnb", "torch", "transformers")},
        }


def _fill_gaps(points: dict[float, Point]) -> None:
    """Give a quantity that could not be measured at an alpha a NaN there, so that it is drawn as a gap and named."""
    known = {name: measure for measures, _ in points.values() for name, measure in measures.items()}
    for measures, _ in points.values():
        for name in known.keys() - measures.keys():
            like = known[name]
            measures[name] = replace(like, values=np.full(len(like.values), np.nan), weights=np.ones(len(like.values)))


def _checked(probe: Any, measures: Any) -> dict[str, Measure]:
    if not isinstance(measures, dict) or not all(isinstance(m, Measure) for m in measures.values()):
        raise ProbeError(
            f"probe {probe.name!r}: it returned {type(measures).__name__}.\n"
            "A probe returns a dict of name to ln.Measure."
        )
    return measures


def _checked_alphas(alphas: Sequence[float]) -> list[float]:
    alphas = [alphas] if np.isscalar(alphas) else list(alphas)
    grid = [number(alpha, "walk(alphas)") for alpha in alphas]
    if not grid:
        raise AlphaError("walk(alphas): no alphas.\nPass alpha_grid(-1, 2, 13), say.")
    twice = [show(alpha) for alpha in sorted(set(grid)) if grid.count(alpha) > 1]
    if twice:
        raise AlphaError(f"walk(alphas): {', '.join(twice[:3])} is given twice.\nGive each alpha once.")
    return grid


def _check_names(probes: list) -> None:
    if not probes:
        raise ProbeError("walk(probes): no probes.\nPass one or more, such as ln.Loss(corpus).")
    names = [probe.name for probe in probes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProbeError(f"walk(probes): two probes are called {twice[0]!r}.\nGive one of them another name.")


def _store(store: Store | str | Path | None | bool) -> Store | None:
    if store is True:
        return Store()
    if store is None or store is False or isinstance(store, Store):
        return store if isinstance(store, Store) else None
    if isinstance(store, (str, Path)):
        return Store(store)
    raise ProbeError(f"walk(store): got {store!r}.\nIt takes a folder, a Store, True for the default one, or False.")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
