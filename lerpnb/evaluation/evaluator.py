"""The evaluator: what probes measure at a point of a path, from the cache where it has it."""

import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch

from lerpnb.checkpoints.identity import UnstorableError, environment
from lerpnb.data.chat import Chat
from lerpnb.errors import NotFiniteError, ProbeError
from lerpnb.evaluation.cache import Cache
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.generation.batched_line import BatchedLine, prefer_batched
from lerpnb.generation.continuations import BATCH_SIZE, Continuations
from lerpnb.generation.sampling import sample, sample_batched
from lerpnb.paths.base import BasePath
from lerpnb.probes.base import Probe, TextProbe, stored_as
from lerpnb.results.measurement import Measurement
from lerpnb.utils.progress import track
from lerpnb.utils.text import plain, show
from lerpnb.utils.verification import is_drawn, write_report

Point = tuple[dict[str, Measurement], pd.DataFrame | None]


class Evaluator:
    """Measures probes at points of a path, or reads what they measured there before from the cache.

    Attributes:
        cached, measured, compared: how many measurements came from the cache, were made, and were compared with it.
        sampling_modes: how texts were sampled, in words.
    """

    def __init__(self, path: BasePath, probes: list[Probe | TextProbe], store: Cache | None, fresh: bool = False):
        self.path: Any = path
        self.probes, self.store, self.fresh = probes, store, fresh
        self.cached, self.measured, self.compared = 0, 0, 0
        self._dates: list[float] = []
        self._differences: list[str] = []
        self._ends = path.checkpoints | ({"base": path.base} if path.base else {})
        self._hashes = {role: end.sha256 for role, end in self._ends.items()}  # refuses weights that were written to
        for spec in {probe.continuations for probe in probes if isinstance(probe, TextProbe)}:
            for prompt in spec.prompts:
                if isinstance(prompt, Chat):
                    prompt.render(path.tokenizer)  # refuses one without a template, before any work
        self._names: dict[int, dict | None] = {}  # of probes, in the store
        if store is not None:
            try:
                self._common = {"environment": environment(), "path": path.identity()}
                self._names = {id(probe): self._name(probe) for probe in probes}
            except UnstorableError as error:
                self.store = None
                print(f"store: nothing is kept, because of {error}.")
        self.sampling_modes: list[str] = []
        self._batched_line: BatchedLine | None = None
        self._batch_size = ExecutableBatchSize("texts")
        self._texts_ahead: dict[tuple[Continuations, float], pd.DataFrame] = {}

    def _name(self, probe: Any) -> dict | None:
        """What a probe is called in the store; None where it is measured each time, which is said."""
        reason = "it is your own, without a cache_key"
        try:
            name = stored_as(probe)
        except UnstorableError as error:
            name, reason = None, f"because of {error}"
        if name is None:
            print(f"store: {probe.name!r} is measured each time: {reason}.")
        return name

    def sample_batch(self, alphas: Sequence[float], batched: bool | None = None) -> None:
        """Sample the texts that the probes need at several alphas and the store lacks, where all share one pass.

        `batched` says whether they do, None by `prefer_batched`; True is refused where the model does not allow it.
        """
        for spec in dict.fromkeys(p.continuations for p in self.probes if isinstance(p, TextProbe)):
            new = [a for a in alphas if self._stored_texts(spec, a) is None]
            if not new:
                continue
            pays, why = False, "one alpha at a time: batched=False."
            if batched is not False:
                pays, why = prefer_batched(self.path, spec, len(new))
            if not pays and not batched:
                self._say(why, aloud=False)  # as every path does it, unless told otherwise
                continue
            self._batched_line = self._batched_line or BatchedLine(self.path)
            each = max(1, (spec.batch_size or BATCH_SIZE) // (len(spec.prompts) * spec.n_samples))
            groups = [new[i : i + each] for i in range(0, len(new), each)]
            self._say(why if pays else f"all {len(new)} alphas in one pass: batched=True.")
            for group in track(groups, label="texts"):
                texts = sample_batched(self._batched_line, self.path.tokenizer, group, spec, self._batch_size)
                for alpha, samples in texts.items():
                    self._keep_texts(spec, alpha, samples)

    def finished(self, alphas: Iterable[float]) -> dict[float, Point]:
        """The points at those of the alphas where the store has all that the probes measure."""
        stored = [alpha for alpha in alphas if all(self._stored(probe, alpha) for probe in self.probes)]
        return {alpha: self.point(alpha) for alpha in stored}

    def point(self, alpha: float) -> Point:
        """All probes at one alpha, from the store where it has them; none of texts where no text can be sampled."""
        measures: dict[str, Measurement] = {}
        texts: dict[Continuations, pd.DataFrame] = {}
        unusable: set[Continuations] = set()
        for probe in self.probes:
            spec = probe.continuations if isinstance(probe, TextProbe) else None
            try:
                if spec and spec not in unusable and spec not in texts:
                    texts[spec] = self._texts(spec, alpha)
            except NotFiniteError as error:
                if self._overflows(alpha):
                    raise self._overflow(alpha, probe) from error
                unusable |= {spec} if spec else set()
                warnings.warn(f"{self.path.coordinate} {show(alpha)}: {error}", stacklevel=4)
            if spec in unusable:
                continue
            by_name, columns = self._measured(probe, alpha, texts)
            twice = sorted(set(by_name) & set(measures))
            if twice:
                raise ProbeError(f"evaluate(probes): two probes measure {twice[0]!r}.\nGive one of them another name.")
            measures |= by_name
            if spec and columns is not None:
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
        key, stored = self._probe_key(probe, alpha), self._stored(probe, alpha)
        again = bool(stored and key and is_drawn(key))
        if again and isinstance(probe, TextProbe):  # its texts too, which the others keep
            spec = probe.continuations
            texts = {spec: sample(self._model(alpha), self.path.tokenizer, spec, self._batch_size)}
        if stored and self.store is not None and key and not again:
            self.cached += 1
            self._dates.append(self.store.date(key))
            return stored
        self.measured += 1
        if isinstance(probe, TextProbe):
            measures, columns = probe.score(texts[probe.continuations])
            point = checked(probe, measures), pd.DataFrame(columns)
        else:
            point = checked(probe, probe.measure(self._model(alpha), self.path.tokenizer)), None
            # Each is a mean of log-probabilities: finite where the logits are.
            nats = [m.value() for m in point[0].values() if m.unit == "nats/token"]
            if self._overflows(alpha) and not np.isfinite(nats).all():
                raise self._overflow(alpha, probe)
        if self.store is not None and key:
            if (self.fresh or again) and (before := self.store.get(key)):
                self._compare(alpha, before[0], point[0], 1e-4 if again else 0.0)
            if not again:
                self.store.put(key, *point)
        return point

    def _overflows(self, alpha: float) -> bool:
        """Whether what is not finite there is float16's fault: far from the checkpoints it is a gap in any dtype."""
        return self.path.dtype == "float16" and alpha in {self.path.start, *(at for at, _ in self.path.landmarks)}

    def _overflow(self, alpha: float, probe: Any) -> NotFiniteError:
        return NotFiniteError(
            f"evaluate(): at {self.path.coordinate} {show(alpha)} the float16 model's logits are not finite, seen by "
            f"{probe.name!r}.\nfloat16 holds nothing beyond 65,504. Take dtype='bfloat16' or 'float32'."
        )

    def _compare(self, alpha: float, before: dict, now: dict, tolerance: float) -> None:
        self.compared += 1
        for name in before.keys() | now.keys():
            both = [found[name] if name in found else None for found in (before, now)]
            old, new = (measured and (measured.values, measured.weights) for measured in both)
            pairs = list(zip(old, new, strict=True)) if old and new else []
            alike = [len(a) == len(b) and np.allclose(a, b, tolerance, tolerance / 100, True) for a, b in pairs]
            if not (alike and all(alike)):
                said = ["nothing" if measured is None else repr(measured.value()) for measured in both]
                self._differences.append(f"{name} at {show(alpha)} was {said[0]} and is {said[1]}")

    def report(self) -> None:
        """Print how many values came from the store and from when, or how many differ from it."""
        if self.cached:
            first, last = (datetime.fromtimestamp(when(self._dates)).date().isoformat() for when in (min, max))
            of = f"{self.cached} of {self.cached + self.measured} measurements are from the store"
            print(f"store: {of}, of {first if first == last else f'{first} to {last}'}.")
        write_report(self.compared, self._differences)
        if self.fresh and self.store is not None:
            print(f"store: of {self.compared} measurements made anew, {len(self._differences)} values differ.")
            print(*self._differences[:10], sep="\n", end="\n" if self._differences else "")

    def _probe_key(self, probe: Any, alpha: float) -> dict | None:
        name = self._names.get(id(probe))
        return name and self._key(alpha, name, probe.continuations if isinstance(probe, TextProbe) else None)

    def _stored(self, probe: Any, alpha: float) -> Point | None:
        key = self._probe_key(probe, alpha)
        return self.store.get(key) if self.store is not None and key and not self.fresh else None

    def _texts(self, spec: Continuations, alpha: float) -> pd.DataFrame:
        samples = self._stored_texts(spec, alpha)
        if samples is None:
            samples = sample(self._model(alpha), self.path.tokenizer, spec, self._batch_size)
            self._keep_texts(spec, alpha, samples)
        return self._texts_ahead.pop((spec, alpha), samples)

    def _stored_texts(self, spec: Continuations, alpha: float) -> pd.DataFrame | None:
        if (spec, alpha) in self._texts_ahead:
            return self._texts_ahead[spec, alpha]
        if self.store is None or self.fresh:
            return None
        stored = self.store.get(self._key(alpha, None, spec))
        return stored and stored[1]

    def _say(self, mode: str, aloud: bool = True) -> None:
        if mode not in self.sampling_modes:
            self.sampling_modes.append(mode)
            if aloud:
                print(f"texts: {mode}")

    def _keep_texts(self, spec: Continuations, alpha: float, samples: pd.DataFrame) -> None:
        """In the store; in memory where none is read."""
        if self.store is None or self.fresh:
            self._texts_ahead[spec, alpha] = samples
        if self.store is not None:
            self.store.put(self._key(alpha, None, spec), {}, samples)

    def _model(self, alpha: float) -> torch.nn.Module:
        return self.path.model if self.path.here == alpha else self.path.at(alpha)

    def _key(self, alpha: float, measured: dict | None, spec: Continuations | None) -> dict:
        """What a value is kept under: everything that it depends on, each part under a name of its own."""
        return self._common | {"alpha": alpha, "measured": measured, "texts": spec and spec.identity()}

    def check_repeats(self, grid: list[float]) -> None:
        """Measure each probe without a stored point on the grid twice at the start, and refuse one that differs."""
        for probe in self.probes:
            if any(self._stored(probe, alpha) for alpha in grid):
                continue  # it was checked before its first point was stored
            few = probe.subset() if hasattr(probe, "subset") else probe
            first, second = (self._once(few) for _ in range(2))
            for name in first:
                if name not in second or not np.array_equal(first[name].values, second[name].values, equal_nan=True):
                    other = second[name].value() if name in second else "nothing"
                    where = f"{self.path.coordinate} {show(self.path.start)}"
                    raise ProbeError(
                        f"evaluate(probes): {name!r} does not repeat: at {where} it is {first[name].value()!r}, "
                        f"then {other!r}.\nFix its seed, or pass check=False to measure its noise."
                    )

    def _once(self, probe: Any) -> dict[str, Measurement]:
        if isinstance(probe, TextProbe):
            texts = self._stored_texts(probe.continuations, self.path.start)
            if texts is None:
                texts = sample(self._model(self.path.start), self.path.tokenizer, probe.continuations, self._batch_size)
            return checked(probe, probe.score(texts)[0])
        return checked(probe, probe.measure(self._model(self.path.start), self.path.tokenizer))

    def provenance(self) -> dict:
        """Where the numbers come from, as JSON."""
        path = self.path
        settings = {probe.name: _settings(probe) for probe in self.probes}
        identities = [(name, key, value) for name, its in settings.items() for key, value in (its or {}).items()]
        hashes = self._hashes | {f"texts of {name}": value for name, key, value in identities if key == "texts"}
        hashes |= {key: value for _, key, value in identities if key in ("classifier", "perplexity_model") and value}
        samplings = [probe.continuations for probe in self.probes if isinstance(probe, TextProbe)]
        return {
            "ends": {key: end.name for key, end in self._ends.items()},
            "coordinate": path.coordinate,
            "named": [list(mark) for mark in path.landmarks],
            "stored_dtypes": {key: sorted(end.stored_dtypes) for key, end in self._ends.items()},
            "hashes": hashes,
            "dtype": path.dtype,
            "device": _device_name(path.device),
            "seeds": {"sampling": sorted({spec.seed for spec in samplings})},
            "settings": settings | {"continuations": [spec.identity() for spec in dict.fromkeys(samplings)]},
            "item_names": {
                probe.name: [plain(text, 160) for text in probe.corpus.texts]
                for probe in self.probes
                if hasattr(probe, "corpus")
            },
            "measured": self.measured,
            "from_store": self.cached,
            "sampling": self.sampling_modes,
            "versions": {name: version(name) for name in ("lerpnb", "torch", "transformers")},
        }


def checked(probe: Any, measures: Any) -> dict[str, Measurement]:
    """What a probe returned; refuses what is no dict of measures."""
    if not isinstance(measures, dict) or not all(isinstance(m, Measurement) for m in measures.values()):
        raise ProbeError(
            f"probe {probe.name!r}: it returned {type(measures).__name__}.\n"
            "A probe returns a dict of name to ln.Measurement."
        )
    return measures


def _settings(probe: Any) -> dict | None:
    with suppress(UnstorableError):
        return probe.identity()
    return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
