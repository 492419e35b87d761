"""Preference pairs: a prompt with a chosen and a rejected continuation."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from lerpnb.data.columns import read_columns
from lerpnb.errors import CorpusError


@dataclass(frozen=True)
class Pairs:
    """Preference pairs: of each a prompt, the chosen continuation and the rejected one.

    They serve preference data (DPO) as well as minimal pairs (BLiMP), whose prompts are empty. A prompt and what goes
    on from it are joined as they are: a space between them belongs to one of the two.

    Args:
        prompts: (n,) texts; "" for a pair without a prompt.
        chosen, rejected: (n,) texts, of each pair two different ones.
        name: what plots and tables call the pairs.

    Raises:
        CorpusError: no pairs, other numbers of them, or a pair with an empty or the same continuation.

    Example:
        >>> pairs = Pairs(("a film that is",), (" fine",), (" dull",), "taste")
        >>> len(pairs), pairs.chosen
        (1, (' fine',))
    """

    prompts: tuple[str, ...]
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    name: str

    def __post_init__(self):
        sizes = len(self.prompts), len(self.chosen), len(self.rejected)
        if len(set(sizes)) > 1 or not self.prompts:
            raise CorpusError(
                f"Pairs({self.name!r}): {sizes[0]} prompts, {sizes[1]} chosen and {sizes[2]} rejected.\n"
                "Give one of each a pair, and one pair or more."
            )
        for i, (prompt, *both) in enumerate(zip(self.prompts, self.chosen, self.rejected, strict=True)):
            if not isinstance(prompt, str) or not all(isinstance(text, str) and text.strip() for text in both):
                raise CorpusError(f"Pairs({self.name!r}): pair {i} is {(prompt, *both)}.\nDrop empty rows first.")
            if both[0] == both[1]:
                raise CorpusError(
                    f"Pairs({self.name!r}): pair {i} has {both[0][:40]!r} twice, as chosen and as rejected.\n"
                    "Drop such rows first: they say nothing of a preference."
                )

    def __len__(self) -> int:
        return len(self.prompts)

    def __repr__(self) -> str:
        return f"Pairs({self.name!r}: {len(self):,} pairs)"

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        prompt: str = "prompt",
        chosen: str = "chosen",
        rejected: str = "rejected",
        split: str = "train",
        name: str | None = None,
    ) -> "Pairs":
        """Read a `.csv`, `.jsonl` or `.parquet` file, or a hub data set, cells as they are written.

        Args:
            source: a file, or a hub data set's id.
            prompt: the column with the prompts; "" for pairs without. An empty cell is an empty prompt.
            chosen, rejected: the columns with the continuations.
            split: the split of a hub data set; a file has none.
            name: what plots call the pairs; by default the file's or data set's name.

        Raises:
            CorpusError: an empty or damaged file, no such column, cells that are lists (a chat is one text first), or
                as `Pairs` says.
            AssetError: no such file, and no such data set or no hub.

        Example:
            >>> import tempfile
            >>> file = Path(tempfile.mkdtemp()) / "agreement.csv"
            >>> _ = file.write_text("good,bad\\nthe films were,the films was\\n")
            >>> Pairs.load(file, prompt="", chosen="good", rejected="bad")
            Pairs('agreement': 1 pairs)
        """
        call = f"Pairs.load({str(source)!r})"
        columns = [prompt, chosen, rejected]
        frame = read_columns(source, columns, split, call).fillna("")
        texts = [tuple(frame[column].map(str)) if column else ("",) * len(frame) for column in columns]
        return cls(texts[0], texts[1], texts[2], name or Path(str(source)).stem)

    @property
    def sha256(self) -> str:
        """Hash of all texts in their order."""
        return hashlib.sha256(json.dumps([self.prompts, self.chosen, self.rejected]).encode()).hexdigest()
