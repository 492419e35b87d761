from .batched_line import BatchedLine as BatchedLine
from .continuations import Continuations as Continuations
from .sampling import sample as sample
from .sampling import sample_batched as sample_batched

__all__ = ["BatchedLine", "Continuations", "sample", "sample_batched"]
