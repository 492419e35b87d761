from .checkpoint import Checkpoint as Checkpoint
from .embeddings import embedding_shifts as embedding_shifts
from .embeddings import purify_embeddings as purify_embeddings
from .initialization import small_model as small_model
from .initialization import untrained as untrained

__all__ = [
    "Checkpoint",
    "embedding_shifts",
    "purify_embeddings",
    "small_model",
    "untrained",
]
