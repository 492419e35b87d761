"""The rows of a batch: on the device what each continuation needs at any step, on the host which one it is."""

from collections.abc import Sequence

import torch
from torch import Tensor

Slot = tuple[float | None, int, int]  # a continuation: its alpha (None without a batched line), its prompt, its draw


class Rows:
    """Continuations written side by side, whose prompts have tokens left to be fed, a step each.

    Attributes:
        slots: which continuation each row is.
        lengths: tokens that are left of each row's prompt.
        keys: (rows,) int64, of the noise.
        alphas: (rows,) float32 or None.

    Example:
        >>> rows = Rows([(None, 0, 0), (None, 1, 0)], [[], [5, 6]], [11, 12], None, torch.device("cpu"))
        >>> [rows.fed(step, torch.tensor([7, -1])).tolist() for step in (0, 2)]
        [[[7], [5]], [[7], [0]]]
        >>> rows.steps(3).tolist(), rows.select([1]).slots
        ([3, 1], [(None, 1, 0)])
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        rest: Sequence[list[int]],
        keys: Sequence[int],
        alphas: Tensor | None,
        device: torch.device,
    ):
        self.slots, self.lengths, self.alphas = list(slots), [len(ids) for ids in rest], alphas
        width = max(self.lengths)
        padded = [[*ids, *[0] * (width - len(ids))] for ids in rest]
        self.keys, self._rest, self._lengths = (
            torch.tensor(values, dtype=torch.long, device=device) for values in (keys, padded, self.lengths)
        )

    def steps(self, position: int) -> Tensor:
        """(rows,): the index of the token within its continuation, at a step counted from the prompts' common start."""
        return (position - self._lengths).clamp(min=0)

    def fed(self, position: int, drawn: Tensor) -> Tensor:
        """(rows, 1): what goes into the model after a draw at a step: the prompt's next token while it has one."""
        tokens = drawn.clamp(min=0)  # -1 says that a row is not finite
        if position < self._rest.shape[1]:
            tokens = torch.where(position < self._lengths, self._rest[:, position], tokens)
        return tokens.unsqueeze(-1)

    def select(self, kept: Sequence[int]) -> "Rows":
        """The rows at these places."""
        index = torch.tensor(kept, device=self.keys.device)
        made = object.__new__(Rows)
        made.slots, made.lengths = [self.slots[place] for place in kept], [self.lengths[place] for place in kept]
        made.keys, made._rest, made._lengths = self.keys[index], self._rest[index], self._lengths[index]
        made.alphas = None if self.alphas is None else self.alphas[index]
        return made
