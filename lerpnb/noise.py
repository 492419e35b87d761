"""Noise as a function of what it is for: the same at every alpha, in every batch and on every device."""

import hashlib

import torch


def gumbel(keys: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Gumbel noise as a function of key and token alone, by the SplitMix64 mixer (Steele et al. 2014).

    Args:
        keys: (rows,) int64.
        tokens: (rows, n) int64 token ids.

    Returns:
        (rows, n) float32, -log(-log(u)) with u uniform in (0, 1): the same on every device and in every batch.
    """
    x = keys.unsqueeze(-1) + (tokens + 1) * _signed(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _right(x, shift)) * _signed(factor)
    x = x ^ _right(x, 31)
    uniform = (_right(x, 12).double() + 0.5) * 2.0**-52
    return (-torch.log(-torch.log(uniform))).float()


def noise_key(seed: int, prompt: str, draw: int) -> int:
    """A signed 64-bit number that stands for one continuation's noise."""
    digest = hashlib.sha256(f"{seed}\0{draw}\0{prompt}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def _signed(bits: int) -> int:
    return bits - 2**64 if bits >= 2**63 else bits


def _right(x: torch.Tensor, shift: int) -> torch.Tensor:
    """A shift to the right that fills with zeros; torch's own repeats the sign."""
    return (x >> shift) & ((1 << (64 - shift)) - 1)
