"""Identity: a hash of the whole state of a model or a tokenizer. All counts that no test shows to be harmless."""

import functools
import hashlib
import inspect
import sys
import types
from collections.abc import Iterable, Iterator
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from torch import nn

# Attributes that change no value, as tests/unit/checkpoints/test_identity.py shows: where files lie, what warnings were
# shown, and a hash that is another one in every process.
HARMLESS = {"name_or_path", "_name_or_path", "deprecation_warnings", "_original_object_hash"}
version = functools.cache(metadata.version)  # which reads a file; every key of a stored point asks for several
PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), torch.dtype, torch.device)


class UnstorableError(Exception):
    """Something whose state cannot be told, so that nothing measured with it is stored; its text says what it is."""


def environment() -> dict:
    """What every value depends on besides: versions, and torch's global settings."""
    packages = ("lerpnb", "torch", "transformers", "tokenizers", "numpy")
    settings = {"default_dtype": str(torch.get_default_dtype()), "matmul": torch.get_float32_matmul_precision()}
    return {name: version(name) for name in packages} | settings


def identity_of(*things: Any) -> str:
    """Hash of things and all that they hold: classes, configurations, settings, tensors; not a module's own tensors,
    which `tensors_sha256` hashes.

    Raises:
        UnstorableError: a function or a class that no installed package defines, or what does not say its state.
    """
    state = _State()
    try:
        state.add(things)
    except RecursionError as error:
        raise UnstorableError("it is nested too deeply") from error
    roots = sorted(root for root in state.roots if root not in sys.stdlib_module_names)
    state.write([(root, _version(root)) for root in roots])
    return state.digest.hexdigest()


def tensors_sha256(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Hash over the names, dtypes, shapes and bytes of tensors, one after the other."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def stamp(tensors: Iterable[torch.Tensor], sums: bool = True) -> list[tuple[int, int]]:
    """What changes when one of the tensors is written to: torch's count of writes, and, as it counts none through
    `.data`, a sum of the bytes, for which all are read."""
    return [(0, 0) if t.is_meta or t.is_inference() else (t._version, _sum(t) if sums else 0) for t in tensors]


def _sum(tensor: torch.Tensor) -> int:
    """The sum of a tensor's bytes as whole numbers of 8, which torch adds up as fast as it reads them."""
    bits = tensor.detach().contiguous().flatten().view(torch.uint8)
    bits = bits.clone() if bits.storage_offset() % 8 else bits
    eights = len(bits) // 8 * 8
    return int(bits[:eights].view(torch.int64).sum()) + int(bits[eights:].sum())


class _State:
    """Writes what an object is made of to a hash, each object once: by name what a package defines, else its parts."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.roots: set[str] = set()
        self.seen: dict[int, tuple[int, Any]] = {}  # with the object, whose id could be another's by then

    def write(self, *parts: Any) -> None:
        self.digest.update("".join(f"{part!r}\0" for part in parts).encode())

    def add(self, value: Any) -> None:
        kind = type(value)
        if kind in PLAIN:
            self.write(kind.__name__, value)
        elif kind in (list, tuple):
            self.write(kind.__name__, len(value))
            for item in value:
                self.add(item)
        elif kind is dict:
            self.write("dict", len(value))
            for pair in value.items():
                self.add(pair)
        elif kind in (set, frozenset):
            self.write(kind.__name__, sorted(identity_of(item) for item in value))
        elif isinstance(value, torch.Tensor):
            self.write("tensor", tensors_sha256([("", value)]))
        elif isinstance(value, (np.ndarray, np.generic)):
            self.add(("array", str(value.dtype), value.shape, value.tobytes()))
        elif isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.MethodDescriptorType):
            self.write("name", self.named(value))
        elif isinstance(value, types.MethodType):
            self.add((value.__func__, value.__self__))
        elif isinstance(value, types.ModuleType):
            raise UnstorableError(f"the module {value.__name__}")
        elif isinstance(value, Enum):
            self.add((kind, value.name))
        elif id(value) in self.seen:
            self.write("seen", self.seen[id(value)][0])
        else:
            self.seen[id(value)] = len(self.seen), value
            self.write("object", self.named(kind))
            for part in self.parts(value):
                self.add(part)

    def parts(self, value: Any) -> Iterator[Any]:
        """What an object is made of, as pickle would take it apart."""
        if isinstance(value, tokenizers.Tokenizer):
            copy = tokenizers.Tokenizer.from_str(value.to_str())
            copy.no_truncation()  # of the last call, not of the tokenizer
            copy.no_padding()
            yield copy.to_str()
        elif isinstance(value, nn.Module):
            if not _installed(inspect.getsourcefile(inspect.unwrap(type(value).forward)) or ""):
                raise UnstorableError(f"{type(value).__name__}.forward, which was replaced")
            held = dict(vars(value))
            for tensors in ("_parameters", "_buffers"):
                yield list(held.pop(tensors))
            yield _kept(held)
        else:
            try:
                reduced = value.__reduce_ex__(4)
            except Exception as error:
                raise UnstorableError(f"a {type(value).__name__}") from error
            if isinstance(reduced, str):
                raise UnstorableError(f"{reduced}")
            make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
            yield [make, arguments, list(items or ()), dict(pairs or ())]
            yield _kept(state) if isinstance(state, dict) else state

    def named(self, thing: Any) -> str:
        """The full name of what an installed package defines."""
        compiled = getattr(thing, "__self__", None)  # of a function from a compiled module, that module
        module, name = thing.__module__ or getattr(compiled, "__name__", "builtins"), thing.__qualname__
        root, found = module.partition(".")[0], sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        file = getattr(sys.modules.get(root), "__file__", None) or ""
        if found is not thing or not (root in sys.stdlib_module_names or _installed(file)):
            raise UnstorableError(f"{name}, which no installed package defines")
        self.roots.add(root)
        return f"{module}.{name}"


def _kept(state: dict) -> dict:
    """An object's attributes without the harmless ones."""
    kept = {key: value for key, value in state.items() if key not in HARMLESS}
    return kept | {key: _kept(value) for key, value in kept.items() if key == "init_kwargs"}


def _installed(file: str) -> bool:
    """Whether a file is Python's, ours or an installed package's, which changes with its version only."""
    here = Path(__file__).parents[1]
    return here in Path(file).parents or not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _version(root: str) -> str:
    try:
        return version(root)
    except metadata.PackageNotFoundError as error:
        raise UnstorableError(f"{root}, a package without a version") from error
