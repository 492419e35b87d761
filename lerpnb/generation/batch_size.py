"""Halving: work in batches that are halved, and stay so, where memory runs out."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from lerpnb.errors import ProbeError

Item = TypeVar("Item")


Result = TypeVar("Result")


# What torch's CPU allocator says; torch.OutOfMemoryError is a RuntimeError too.
SAID = ("not enough memory", "can't allocate memory")


class ExecutableBatchSize:
    """Calls that take a batch and, where memory runs out, half of it at a time from then on.

    `largest` is the batch that is known to fit, None until one did not: the next call starts there, so that a walk pays
    for what does not fit once. Each new size is said in a warning. Results come in the order of the items.

    Args:
        name: what ran out of memory, as an error names it.

    Example:
        >>> def work(batch):
        ...     if len(batch) > 2:
        ...         raise torch.OutOfMemoryError
        ...     return [x * x for x in batch]
        >>> halving = ExecutableBatchSize("squares")
        >>> with warnings.catch_warnings(action="ignore"):
        ...     halving(work, [1, 2, 3, 4, 5])
        [1, 4, 9, 16, 25]
        >>> halving.largest
        2
    """

    def __init__(self, name: str):
        self.name, self.largest = name, None

    def __call__(self, work: Callable[[Sequence[Item]], Sequence[Result]], batch: Sequence[Item]) -> list[Result]:
        """`work(batch)`, in as many parts as memory asks for.

        Args:
            work: takes a part of the batch and returns one result an item.
            batch: a list or whatever can be sliced.

        Raises:
            ProbeError: a single item does not fit.
        """
        found: list[Result] = []
        while len(found) < len(batch):
            part = batch[len(found) :][: self.largest]
            if (results := self._tried(work, part)) is not None:
                found += results
                continue
            self.halve(len(part))
        return found

    def halve(self, size: int) -> None:
        """A batch of `size` did not fit: remember half of it, say so, and give what was held back to the device.

        Raises:
            ProbeError: a single item did not fit.
        """
        if size == 1:
            raise ProbeError(
                f"{self.name}: out of memory with a single item in a batch.\n"
                "Shorten the texts (max_length, max_new_tokens), take a smaller dtype, or another device."
            )
        self.largest = (size + 1) // 2
        warnings.warn(f"{self.name}: out of memory; batches of {self.largest} from here on.", stacklevel=3)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _tried(self, work: Callable[[Sequence[Item]], Sequence[Result]], part: Sequence[Item]) -> Any:
        try:
            return work(part)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        return None  # here the error, and with it every tensor of its frames, is gone


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or a CPU."""
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(text in said for text in SAID)
