"""lerpnb: what lies between two fine-tuned language models.

    import lerpnb as ln

Each name is imported when it is first used, so that the import itself stays light. `__init__.pyi` lists them.
"""

from importlib.metadata import PackageNotFoundError, version

from lerpnb import plots  # noqa: F401  gives results their figures
from lerpnb.utils.public import attach

NAMESPACES = ("checkpoints", "data", "errors", "evaluation", "generation", "merging", "paths", "plots", "probes")
NAMESPACES += ("results", "runs", "training")
__getattr__, __dir__, __all__ = attach(__name__, __file__)
__all__ = [name for name in __all__ if name not in NAMESPACES]

try:
    __version__ = version("lerpnb")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0"
