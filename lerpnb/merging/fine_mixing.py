"""Fine-mixing's second step: every point of a path, fine-tuned on a few clean texts.

https://arxiv.org/abs/2210.09545
"""

import tempfile
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch

from lerpnb.data.corpus import Corpus
from lerpnb.errors import CheckpointError
from lerpnb.paths.base import BasePath
from lerpnb.training import FineTuneConfig, train


class FineMixing(BasePath):
    """A path whose every point is fine-tuned on a few clean texts: what Fine-mixing does after mixing.

    theta(x) = train(path(x), clean): the coordinates and checkpoints are the path's. All weights are trained, by
    `training.train`, anew at each point and from the same seed; the path and its live model do not change.

    Args:
        path: what is trained at each point, such as a `RandomMask` or a `Line`.
        clean: the texts, with the model's labels in their order where it is a classifier.
        config: task, epochs or steps, batch size, learning rate, length and seed; its base and rank are not used.

    Raises:
        CheckpointError: labels that are not the classifier's, or a path without a tokenizer.

    Example:
        >>> from lerpnb.merging.random_mask import RandomMask
        >>> ends = [tiny_checkpoint() for _ in range(2)]
        >>> path, clean = RandomMask(*ends, device="cpu"), Corpus(("a film", "film a"), (0, 0), ("x",), "two texts")
        >>> mended = FineMixing(path, clean, FineTuneConfig("", steps=2)).at(0.5)
        >>> bool((mended.lm_head.weight == path.at(0.5).lm_head.weight).all())
        False
    """

    kind = "fine-mixed"

    def __init__(self, path: BasePath, clean: Corpus, config: FineTuneConfig):
        self.path, self.clean, self.config = path, clean, config
        self.coordinate, self.axes = path.coordinate, path.axes
        self.checkpoints, self.base = path.checkpoints, path.base
        self.tokenizer: Any = path.tokenizer
        self.device, self.dtype, self._here = path.device, path.dtype, None
        first = next(iter(self.checkpoints.values()))
        if self.tokenizer is None:
            way_out = "Wrap live models: Checkpoint.from_model(model, tokenizer)."
            raise CheckpointError(f"FineMixing(path): the path has no tokenizer.\n{way_out}")
        if first.labels and first.labels != clean.label_names:
            differ = f"labels {', '.join(clean.label_names)}, and the classifier's are {', '.join(first.labels)}"
            raise CheckpointError(f"FineMixing(clean): {differ}.\nGive the texts its labels, in its order.")
        self._model = first.new_model(self.device, next(path.model.parameters()).dtype)
        self._mixer, self._filled = None, True

    def checked(self, point: Any, call: str) -> Any:
        return self.path.checked(point, call)

    def coefficients(self, point: Any) -> Any:
        """Those of the path, before the training."""
        return self.path.coefficients(point)

    def identity(self) -> dict:
        config = {key: value for key, value in asdict(self.config).items() if key not in ("base", "rank")}
        return self.path.identity() | {
            "then": {"texts": self.clean.sha256, "recipe": config, "accelerate": version("accelerate")}
        }

    def _put(self, model: Any, mixer: Any, point: Any) -> None:
        # A new mixer: one that was used before believes that what all checkpoints share, a head, is still in place.
        self.path._put(model, self.path._new_mixer(model), point)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), tempfile.TemporaryDirectory() as work:
            model.requires_grad_(True)
            try:
                train(model, self.tokenizer, self.config, self.clean, work, keep_on_cpu=True)
            finally:
                model.requires_grad_(False).eval()

    def _recipe(self, point: Any) -> str:
        return f"{self.path._recipe(point)}, then fine-tuned on {len(self.clean)} texts"
