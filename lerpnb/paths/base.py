"""A mixture: checkpoints, and one live model that any combination of them is put into. Every path is one."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.devices import pick_device, spread, writable_tensors
from lerpnb.checkpoints.loading import load_all
from lerpnb.checkpoints.saving import write_folder
from lerpnb.errors import AlphaError, MismatchError
from lerpnb.paths.mixer import Mixer
from lerpnb.utils.text import show

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


RESERVED = ("path", "device", "dtype", "settings")  # what else `fingerprint` tells


Coefficients = Sequence[float] | Callable[[str], Sequence[float]]


class BasePath:
    """theta(x) = sum_i c_i(x) theta_i in one live model: what all paths share. A path says what `coefficients` are.

    Everything is mixed in float32 from all checkpoints each time; they, and a caller's models, never change.

    Args:
        named: role -> a name (`assets.resolve`), a `Checkpoint`, or a live transformers model.
        base: the pre-trained model that all share; left out, the base that all adapters share, else none. It is the
            default judge of fluency.
        device: the live model's; "auto" takes cuda, then mps, then cpu.
        dtype: the live model's.
        ends_device: where the checkpoints lie; None has each tensor where the live model has it. "cpu" leaves them in
            the host's memory (float32 safetensors in memory-mapped files, which are read when needed), and each point
            streams into the live model tensor by tensor: for models that do not fit several times.
        device_map: spreads the live model over several devices, instead of `device`: "auto", or {module: device} as in
            transformers. Each tensor is mixed where its ends lie, and what accelerate offloads to the host, in there.

    Attributes:
        checkpoints: role -> checkpoint, in the order of the coefficients.
        base: the base, or None.
        tokenizer: the first that a checkpoint or the base has.
        model: the live model.

    Raises:
        AssetError, CheckpointError, MismatchError: as `load_all` says, before any long work.
        CheckpointError: a device_map with the disk in it, or one that offloads the embeddings.

    Example:
        >>> class Sum(BasePath):
        ...     def coefficients(self, at):
        ...         return at
        >>> a, b, c = (tiny_llama() for _ in range(3))
        >>> mixed = Sum({"a": a, "b": b, "c": c}, device="cpu").at((2.0, -1.0, 0.5))
        >>> torch.allclose(mixed.lm_head.weight, 2 * a.lm_head.weight - b.lm_head.weight + c.lm_head.weight / 2)
        True
    """

    named: ClassVar[tuple[tuple[float, str], ...]] = ()  # what stands where on the path, as figures mark it
    kind: ClassVar[str] = ""  # the class's name in lower case, if a subclass gives none
    coordinate: ClassVar[str] = "x"  # what an error calls it
    start: ClassVar[Any] = 0.0  # where a probe is measured twice before anything else

    def __init__(
        self,
        named: Mapping[str, str | Path | Checkpoint | nn.Module],
        base: str | Path | Checkpoint | nn.Module | None = None,
        *,
        device: str = "auto",
        dtype: str = "float32",
        ends_device: str | None = None,
        device_map: str | Mapping[str, Any] | None = None,
    ):
        name = type(self).__name__
        if dtype not in DTYPES:
            raise AlphaError(f"{name}(dtype={dtype!r}): no such dtype.\nIt is one of: {', '.join(DTYPES)}.")
        if clash := [role for role in named if role in RESERVED]:
            raise MismatchError(
                f"{name}({clash[0]}): no checkpoint can be called so.\nGive it another name than {', '.join(RESERVED)}."
            )
        self.device, self.dtype = pick_device(device), dtype
        home = pick_device(ends_device or ("cpu" if device_map else self.device))
        ends, base = load_all(named, base, home, f"{name}({', '.join(named)})")
        moved: dict = {}
        self.checkpoints = {role: end.to(home, moved) for role, end in ends.items()}
        self.base = base and base.to(home, moved)
        all_of_them = [*self.checkpoints.values(), *([self.base] if self.base else [])]
        self.tokenizer = next((end.tokenizer for end in all_of_them if end.tokenizer), None)
        self._here: Any = None
        self.model = self._new_model("cpu" if device_map else self.device)
        if device_map:
            self.device = next(spread(self.model, device_map).parameters()).device
            if ends_device is None:
                where = {name: tensor.device for name, tensor in writable_tensors(self.model).items()}
                self.checkpoints = {role: end.to(where, moved) for role, end in self.checkpoints.items()}
                self.base = self.base and self.base.to(where, moved)
        self._mixer = self._new_mixer(self.model)

    def _new_model(self, device: str | torch.device) -> nn.Module:
        return next(iter(self.checkpoints.values())).new_model(device, DTYPES[self.dtype])

    def _new_mixer(self, model: nn.Module) -> Mixer:
        return Mixer(model, [end.weights for end in self.checkpoints.values()])

    def checked(self, at: Any, call: str) -> Any:
        """The coordinate as it is kept: a float, or a tuple of them. A path refuses here what is none of its own."""
        return at

    def coefficients(self, at: Any) -> Coefficients:
        """What each checkpoint is multiplied by at a coordinate: the same in all tensors, or a function of a tensor's
        name. They are never renormalised."""
        raise NotImplementedError

    def at(self, at: Any) -> nn.Module:
        """The live model, moved to theta(at): one ordinary transformers model, until the next call moves it on."""
        at, self._here = self.checked(at, f"{type(self).__name__}.at({self.coordinate})"), None
        self._put(self.model, self._mixer, at)
        if self._mixer:
            self._mixer.mark()  # some paths write to the model themselves
        self._here = at
        return self.model

    @property
    def here(self) -> Any:
        """The coordinate that the live model stands at; None before the first, after one that failed, and where a probe
        has written to its weights."""
        return None if self._mixer and self._mixer.touched else self._here

    def _put(self, model: nn.Module, mixer: Mixer, at: Any) -> None:
        mixer.put(self.coefficients(at))

    def save(self, at: Any, to: str | Path, *, dtype: str | None = None, overwrite: bool = False) -> Path:
        """Write theta(at) as an ordinary Hugging Face folder: no inference overhead.

        Args:
            at: the coordinate.
            to: a new folder: safetensors, config, tokenizer, generation config, a model card.
            dtype: of the saved weights; by default the live model's.
            overwrite: replace a folder that is there.

        Raises:
            CheckpointError: the folder is there and `overwrite` is not given.
        """
        name = type(self).__name__
        at = self.checked(at, f"{name}.save({self.coordinate})")
        kind = DTYPES.get(dtype) if dtype else None
        if dtype and kind is None:
            raise AlphaError(f"{name}.save(dtype={dtype!r}): no such dtype.\nIt is one of: {', '.join(DTYPES)}.")
        model = self.at(at)
        if hasattr(model, "hf_device_map"):  # its hooks and offloaded tensors would not be saved
            model = self._new_model("cpu")
            self._put(model, self._new_mixer(model), at)
        return write_folder(model, self.tokenizer, Path(to), kind, self._card(at), overwrite)

    def identity(self) -> dict:
        """What every value on this path depends on: the checkpoints (weights, network, tokenizer), device kind, dtype
        and, where a path adds them, settings of its own, under "settings"."""
        found = {"path": self.kind or type(self).__name__.lower()}
        found |= {role: end.identity for role, end in self.checkpoints.items()}
        return found | {"device": self.device.type, "dtype": self.dtype}

    def _card(self, at: Any) -> str:
        hub = self.base and re.fullmatch(r"[\w.-]+/[\w.-]+", self.base.name) and not Path(self.base.name).exists()
        base = f"base_model: {self.base.name}\n" if hub else ""  # a path would tell whose machine this was
        rows = "".join(f"| {role} | {Path(end.name).name} | {end.sha256} |\n" for role, end in self.checkpoints.items())
        return (
            f"---\n{base}library_name: transformers\ntags: [linear-interpolation, lerpnb]\n---\n\n"
            f"# theta({show(at) if isinstance(at, float) else json.dumps(at)})\n\n"
            f"{self._recipe(at)}, mixed in float32 by lerpnb after arXiv 2211.12092.\n\n"
            f"| end | name | sha256 of the weights |\n|---|---|---|\n{rows}"
        )

    def recipe(self, at: Any) -> str:
        """How theta(at) is made, in words: the coefficients as they are used."""
        return self._recipe(self.checked(at, f"{type(self).__name__}.recipe({self.coordinate})"))

    def _recipe(self, at: Any) -> str:
        """How theta(at) is made, in words."""
        found = self.coefficients(at)
        if callable(found):
            return f"{', '.join(self.checkpoints)}, each tensor at coefficients of its own ({type(self).__name__})"
        return " + ".join(f"{c:.10g} x {role}" for c, role in zip(found, self.checkpoints, strict=True))
