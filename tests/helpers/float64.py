"""Arithmetic in float64 where a model asks for float32, as norms and our loss do: a reference for tests."""

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Double(TorchFunctionMode):
    """With it, every cast to float32 is one to float64."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        func = torch.Tensor.double if func is torch.Tensor.float else func
        return func(*map(_raised, args), **{name: _raised(value) for name, value in (kwargs or {}).items()})


def _raised(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value
