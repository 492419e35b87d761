"""lerpnb: what lies between two fine-tuned language models.

    import lerpnb as ln

Each name is imported when it is first used, so that the import itself stays light. `__init__.pyi` lists them.
"""

from lerpnb import plots  # noqa: F401  gives results their figures
from lerpnb.utils.environment import VERSION as __version__  # noqa: F401
from lerpnb.utils.public import attach

NAMESPACES = ("checkpoints", "data", "errors", "evaluation", "generation", "merging", "paths", "plots", "probes")
NAMESPACES += ("results", "runs", "training")
__getattr__, __dir__, __all__ = attach(__name__, __file__)
__all__ = [name for name in __all__ if name not in NAMESPACES]
