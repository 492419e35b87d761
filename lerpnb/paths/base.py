"""The base class of all paths: checkpoints, and one live model that any combination of them is put into."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint, ModelSource
from lerpnb.checkpoints.devices import DeviceOptions, checked_options, pick_device, pick_dtype, spread, writable_tensors
from lerpnb.checkpoints.identity import UnstorableError, identity_of
from lerpnb.checkpoints.loading import load_checkpoints
from lerpnb.checkpoints.low_rank import base_of
from lerpnb.checkpoints.saving import write_folder
from lerpnb.errors import AlphaError
from lerpnb.paths.mixer import Mixer
from lerpnb.utils.coordinates import distinct, number
from lerpnb.utils.text import show

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Coefficients = Sequence[float] | Callable[[str], Sequence[float]]


class BasePath:
    """theta(x) = sum_i c_i(x) theta_i in one live model: what all paths share. A path defines its `coefficients`.

    Every point is mixed in float32 from all checkpoints. The checkpoints and a caller's models never change.

    Args:
        checkpoints: role -> a name (`assets.resolve`), a `Checkpoint`, or a live transformers model.
        base: the pre-trained model that all share; left out, the base that all adapters share, else none. Perplexity is
            measured with it by default.
        options: device, dtype, ends_device and device_map, see `DeviceOptions`.

    Attributes:
        checkpoints: role -> checkpoint, in the order of the coefficients.
        base: the base, or None.
        tokenizer: the first that a checkpoint or the base has.
        model: the live model.

    Raises:
        AssetError, CheckpointError, MismatchError: as `load_checkpoints` says, before any long work.
        CheckpointError: a device_map with the disk in it, or one that offloads the embeddings.
        TypeError: an argument that is neither the path's nor one of `DeviceOptions`.

    Example:
        >>> class Sum(BasePath):
        ...     def coefficients(self, point):
        ...         return point
        >>> a, b, c = (tiny_llama() for _ in range(3))
        >>> mixed = Sum({"a": a, "b": b, "c": c}, device="cpu").at((2.0, -1.0, 0.5))
        >>> torch.allclose(mixed.lm_head.weight, 2 * a.lm_head.weight - b.lm_head.weight + c.lm_head.weight / 2)
        True
    """

    landmarks: tuple[tuple[float, str], ...] = ()  # (coordinate, name): what figures mark on the path
    kind: ClassVar[str] = ""  # the formula's name in the store; a path without one is not stored
    coordinate: str = "x"  # what an error calls it
    axes: tuple[str, ...] = ("alpha",)  # what the numbers of a coordinate are called
    role_names: Mapping[str, str] = {}  # what a recipe calls a role, where another word is the field's
    start: Any = 0.0  # where a probe is measured twice before anything else

    def __init__(
        self, checkpoints: Mapping[str, ModelSource], base: ModelSource | None = None, **options: Unpack[DeviceOptions]
    ):
        name = type(self).__name__
        checked_options(options, name)
        device, dtype = options.get("device", "auto"), options.get("dtype", "auto")
        ends_device, device_map = options.get("ends_device"), options.get("device_map")
        if dtype not in ("auto", *DTYPES):
            raise AlphaError(f"{name}(dtype={dtype!r}): no such dtype.\nIt is one of: auto, {', '.join(DTYPES)}.")
        self.device = pick_device(device)
        home = pick_device(ends_device or ("cpu" if device_map else self.device))
        ends, loaded_base = load_checkpoints(checkpoints, base, home, f"{name}({', '.join(checkpoints)})")
        moved: dict = {}
        self.checkpoints = {role: end.to(home, moved) for role, end in ends.items()}
        self.base = loaded_base and loaded_base.to(home, moved)
        all_of_them = [*self.checkpoints.values(), *([self.base] if self.base else [])]
        self.tokenizer: Any = next((end.tokenizer for end in all_of_them if end.tokenizer), None)
        self.dtype, why = self._pick_dtype(home) if dtype == "auto" else (dtype, "")
        self._here: Any = None
        self._model: Any = self._new_model("cpu" if device_map else self.device)
        self._filled = False
        if device_map:
            self.device = next(spread(self._model, device_map).parameters()).device
            if ends_device is None:
                where = {name: tensor.device for name, tensor in writable_tensors(self._model).items()}
                self.checkpoints = {role: end.to(where, moved) for role, end in self.checkpoints.items()}
                self.base = self.base and self.base.to(where, moved)
        self._mixer = self._new_mixer(self._model)
        if why:
            print(f"{why}{self._kept()}.", flush=True)

    def _kept(self) -> str:
        """What a line about a rounded live model adds: how much of what the path is about survives."""
        return ""

    def _pick_dtype(self, home: torch.device) -> tuple[str, str]:
        ends = list(self.checkpoints.values())
        tensors = {t.data_ptr(): t.nbytes for end in ends for t in map(base_of, end.weights.values())}
        held = sum(tensors.values()) if home == self.device else 0
        stored = {dtype for end in ends for dtype in (end.base or end).stored_dtypes}
        return pick_dtype(self.device, held, ends[0].n_parameters, stored)

    @property
    def model(self) -> Any:
        """The live model: where the last `at` put it, and before the first at the first checkpoint."""
        if self._mixer and not self._filled:
            Mixer(self._model, [next(iter(self.checkpoints.values())).weights]).put((1.0,))
            self._filled = True
        return self._model

    def _new_model(self, device: str | torch.device) -> Any:
        """A live model without weights: the mixer puts them, once."""
        return next(iter(self.checkpoints.values())).new_model(device, DTYPES[self.dtype], fill=False)

    def _new_mixer(self, model: nn.Module) -> Mixer | None:
        return Mixer(model, [end.weights for end in self.checkpoints.values()])

    def checked(self, point: Any, call: str) -> Any:
        """The coordinate as it is kept: a float, or a tuple of them.

        Raises:
            AlphaError: it is no coordinate of this path.
        """
        return point

    def checked_points(self, points: Any, call: str) -> list[Any]:
        """The coordinates that `evaluate` was given, each as it is kept.

        Raises:
            AlphaError: none, one that is not of this path, or one given twice.
        """
        points = [points] if np.isscalar(points) else points
        if len(self.axes) == 1:
            points = [number(point, call) for point in points]
        return distinct([self.checked(point, call) for point in points], call)

    def provenance(self) -> dict[str, Any]:
        """What a result keeps of this path, beside its checkpoints."""
        return {}

    def coefficients(self, point: Any) -> Coefficients:
        """What each checkpoint is multiplied by at a coordinate: the same in all tensors, or a function of a tensor's
        name. They are never renormalized."""
        raise NotImplementedError

    def at(self, point: Any) -> Any:
        """The live model, moved to theta(point): one ordinary transformers model, until the next call moves it on."""
        point, self._here = self.checked(point, f"{type(self).__name__}.at({self.coordinate})"), None
        self._put(self._model, self._mixer, point)
        if self._mixer:
            self._mixer.mark()  # some paths write to the model themselves
        self._here, self._filled = point, True
        return self._model

    @property
    def here(self) -> Any:
        """The coordinate that the live model stands at; None before the first, after one that failed, and where a probe
        has written to its weights."""
        return None if self._mixer and self._mixer.touched else self._here

    def _put(self, model: Any, mixer: Any, point: Any) -> None:
        mixer.put(self.coefficients(point))

    def save(
        self, point: Any, to: str | Path, *, dtype: str | None = None, overwrite: bool = False, as_adapter: bool = False
    ) -> Path:
        """Write theta(point) as an ordinary Hugging Face folder: no inference overhead.

        Args:
            point: the coordinate.
            to: a new folder: safetensors, config, tokenizer, generation config, a model card.
            dtype: of the saved weights; by default the live model's, of an adapter float32.
            overwrite: replace a folder that is there.
            as_adapter: write a PEFT adapter on the base instead, where the path is one between LoRA adapters on it: the
                factors of all of them side by side, of their ranks' sum. It gives the point's weights to rounding.

        Raises:
            CheckpointError: the folder is there and `overwrite` is not given; `as_adapter`, but a tensor is no low-rank
                change of the base's (whole models, DoRA, trained biases, modules_to_save), or none is changed.
        """
        name = type(self).__name__
        point = self.checked(point, f"{name}.save({self.coordinate})")
        kind = DTYPES.get(dtype) if dtype else None
        if dtype and kind is None:
            raise AlphaError(f"{name}.save(dtype={dtype!r}): no such dtype.\nIt is one of: {', '.join(DTYPES)}.")
        if as_adapter:
            from lerpnb.paths.adapter import save_adapter

            return save_adapter(self, point, to, kind, overwrite, self._card(point))
        model = self.at(point)
        if hasattr(model, "hf_device_map"):  # its hooks and offloaded tensors would not be saved
            model = self._new_model("cpu")
            self._put(model, self._new_mixer(model), point)
        end = self._end(point)
        tokenizer = end.tokenizer if end and end.tokenizer else self.tokenizer
        settings = (end.config, end.generation_config) if end else None
        return write_folder(model, tokenizer, Path(to), kind, self._card(point), overwrite, settings)

    def _end(self, point: Any) -> Checkpoint | None:
        """The checkpoint that theta(point) is, whose settings for generation a saved one keeps; None in between."""
        coefficients = self.coefficients(point)
        if callable(coefficients) or len(coefficients) != len(
            self.checkpoints
        ):  # some are of what is derived from them
            return None
        parts = [(c, end) for c, end in zip(coefficients, self.checkpoints.values(), strict=True) if c]
        return parts[0][1] if len(parts) == 1 and parts[0][0] == 1 else None

    def identity(self) -> dict:
        """What every value on this path depends on: the checkpoints (see `checkpoints/identity.py`), device kind, dtype
        and, where a path adds them, settings of its own.

        Raises:
            UnstorableError: of a checkpoint's part that cannot be told, or a class of one's own without a `kind`.
        """
        if not self.kind or "kind" not in vars(type(self)) and not type(self).__module__.startswith("lerpnb."):
            raise UnstorableError(f"{type(self).__name__}, a path of your own without a kind")
        ends = {role: end.identity for role, end in self.checkpoints.items()}
        # The live model too, which may have been given a hook; those of a device map move tensors alone.
        model = None if hasattr(self.model, "hf_device_map") else getattr(self.model, "models", self.model)
        live = identity_of(model, self.tokenizer)
        where = {"device": self.device.type, "dtype": self.dtype}
        return {"path": self.kind, "ends": ends, "live": live, **where}

    def _card(self, point: Any) -> str:
        name = self.base.name if self.base else ""
        hub = re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists()
        base = f"base_model: {name}\n" if hub else ""  # a path would tell whose machine this was
        rows = "".join(f"| {role} | {Path(end.name).name} | {end.sha256} |\n" for role, end in self.checkpoints.items())
        return (
            f"---\n{base}library_name: transformers\ntags: [linear-interpolation, lerpnb]\n---\n\n"
            f"# theta({show(point) if isinstance(point, float) else json.dumps(point)})\n\n"
            f"{self._recipe(point)}, mixed in float32 by lerpnb after arXiv 2211.12092.\n\n"
            f"| end | name | sha256 of the weights |\n|---|---|---|\n{rows}"
        )

    def recipe(self, point: Any) -> str:
        """How theta(point) is made, in words: the coefficients as they are used."""
        return self._recipe(self.checked(point, f"{type(self).__name__}.recipe({self.coordinate})"))

    def recipe_yaml(self, point: Any) -> str:
        """theta(point) as a YAML file for mergekit (`mergekit-yaml`, arXiv 2403.13257): its linear merge in float32.

        The weights are the coefficients as they are used, not normalized; checkpoints whose coefficient is 0 are left
        out. Folders are named as they were given, adapters as base+adapter, built-ins by where they lie.

        Raises:
            AlphaError: no such coordinate, or a point that is no sum of the checkpoints with one number for each.
            CheckpointError: a live model, which no file can name, or a name with + or @.

        Example:
            >>> import tempfile
            >>> from lerpnb.paths.line import Line
            >>> ends = [tempfile.mkdtemp() for _ in range(2)]
            >>> for end in ends:
            ...     tiny_llama().save_pretrained(end)
            >>> print(Line(*ends, device="cpu").recipe_yaml(0.25).replace(ends[0], "minus").replace(ends[1], "plus"))
            merge_method: linear
            models:
            - model: minus
              parameters: {weight: 0.75}
            - model: plus
              parameters: {weight: 0.25}
            parameters: {normalize: false}
            dtype: float32
            <BLANKLINE>
        """
        from lerpnb.paths.mergekit import recipe_yaml

        return recipe_yaml(self, point)

    @property
    def _is_sum(self) -> bool:
        """Whether a point is the sum of the checkpoints times the coefficients, and nothing else is done to it."""
        return type(self)._put is BasePath._put and type(self)._new_mixer is BasePath._new_mixer

    def _recipe(self, point: Any) -> str:
        """How theta(point) is made, in words."""
        coefficients = self.coefficients(point)
        roles = [self.role_names.get(role, role) for role in self.checkpoints]
        if callable(coefficients):
            return f"{', '.join(roles)}, each tensor at coefficients of its own ({type(self).__name__})"
        return " + ".join(f"{c:.10g} x {role}" for c, role in zip(coefficients, roles, strict=True))


class ScalarPath(BasePath):
    """A path whose coordinate is one finite number."""

    def checked(self, point: float, call: str) -> float:
        return number(point, call)
