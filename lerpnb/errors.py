"""The exceptions that lerpnb raises on purpose. A message names the call, what came, what was expected, the way out."""


class LerpError(Exception):
    """Base of every error that lerpnb raises on purpose.

    Example:
        >>> import lerpnb as ln
        >>> try:
        ...     ln.alpha_grid(1, 0, 5)
        ... except ln.LerpError as error:
        ...     print(error)
        alpha_grid(1, 0, 5): expected lo below hi and 2 or more points.
    """


class AssetError(LerpError):
    """A name leads to no files: no such folder, an offline hub, a wheel that is not installed."""


class CheckpointError(LerpError):
    """A checkpoint cannot be read or written: corrupt file, pickle, NaN weights, folder in the way."""


class MismatchError(LerpError):
    """Two checkpoints cannot be mixed: other architecture, shapes, vocabulary, tokenizer or base."""


class AlphaError(LerpError, ValueError):
    """A coordinate is not a finite number, or a grid is not a grid."""


class CorpusError(LerpError):
    """Texts are missing, empty, or without the column or label that was asked for."""


class ProbeError(LerpError):
    """A probe cannot be built, does not repeat, or returned something that is no measurement."""


class NotFiniteError(ProbeError):
    """The model at an alpha gives NaN or infinite logits: nothing can be sampled from it."""


class CurveError(LerpError):
    """A curve has no such quantity or alpha, or its files are damaged."""


class RunError(LerpError):
    """A notebook could not be run: unknown parameter, missing file, failed cell, dead kernel."""


class ArgumentError(LerpError, TypeError):
    """An argument is of a wrong kind, such as a text where a list of texts belongs."""
