"""Executable batch size: work in batches that are halved, and stay so, where memory runs out."""

import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from lerpnb.errors import ProbeError

Item = TypeVar("Item")
Result = TypeVar("Result")


class ExecutableBatchSize:
    """Calls that take a batch and, where memory runs out, half of it at a time from then on.

    accelerate's `find_executable_batch_size` starts the whole call again; this one goes on from where it stopped.
    Each new size is announced by a warning. Results come in the order of the items.

    Args:
        name: what ran out of memory, as an error names it.

    Attributes:
        largest: the batch that is known to fit, None until one did not. The next call starts there.

    Example:
        >>> def work(batch):
        ...     if len(batch) > 2:
        ...         raise torch.OutOfMemoryError
        ...     return [x * x for x in batch]
        >>> batch_size = ExecutableBatchSize("squares")
        >>> with warnings.catch_warnings(action="ignore"):
        ...     batch_size(work, [1, 2, 3, 4, 5])
        [1, 4, 9, 16, 25]
        >>> batch_size.largest
        2
    """

    def __init__(self, name: str):
        self.name = name
        self.largest: int | None = None

    def __call__(self, work: Callable[[Sequence[Item]], Sequence[Result]], batch: Sequence[Item]) -> list[Result]:
        """`work(batch)`, one result an item, in as many parts as memory asks for.

        Raises:
            ProbeError: a single item does not fit.
        """
        results: list[Result] = []
        while len(results) < len(batch):
            part = batch[len(results) :][: self.largest]
            try:
                results += work(part)
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self.reduce(len(part))  # here the error, and with it every tensor of its frames, is gone
        return results

    def reduce(self, size: int) -> None:
        """A batch of `size` did not fit: remember half of it, warn, and give cached memory back to the device."""
        if size == 1:
            raise ProbeError(
                f"{self.name}: out of memory with a single item in a batch.\n"
                "Shorten the texts (max_length, max_new_tokens), take a smaller dtype, or another device."
            )
        self.largest = (size + 1) // 2
        warnings.warn(f"{self.name}: out of memory; batches of {self.largest} from here on.", stacklevel=3)
        clear_device_cache()


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a GPU or a CPU: accelerate's test, and the words that it lacks."""
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or should_reduce_batch_size(error)
        or "not enough memory" in text
        or "can't allocate memory" in text
    )
