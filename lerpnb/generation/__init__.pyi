from .batched_line import BatchedLine as BatchedLine
from .continuations import Continuations as Continuations
from .sampling import sample as sample
from .sampling import sample_batched as sample_batched
from .text_policy import TextPolicy as TextPolicy

__all__ = ["BatchedLine", "Continuations", "TextPolicy", "sample", "sample_batched"]
