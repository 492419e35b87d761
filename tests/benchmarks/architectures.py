"""Every causal architecture of transformers as a tiny model: what is equal to transformers', what is refused.

    python tests/benchmarks/architectures.py [--tiny]

Columns: models load; both ends bit for bit; the loss; greedy texts; all alphas in one batch; saving and reloading.
"""

import collections
import sys
import tempfile
import warnings
from pathlib import Path

import common
import tiny_architectures as architectures
import transformers

SIGNS = {"right": "=", "refused": "refused", "wrong": "WRONG"}
TINY = ("bamba", "bart", "gpt2", "xlnet")


def main() -> None:
    options = common.arguments(__doc__.splitlines()[0])
    warnings.filterwarnings("ignore", category=UserWarning)  # of models whose cache cannot be continued
    names = [check.__name__.replace("_", " ") for check in architectures.CHECKS]
    print(f"| transformers {transformers.__version__} | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    rows, counts, reasons = {}, collections.Counter(), {}
    for name in TINY if options.tiny else architectures.NAMES:
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = row = architectures.examine(name, Path(folder))
        said = [value.split(":")[0] for value in row.values()]
        kind = next((kind for kind in ("not built", "wrong") if kind in [*row, *said]), None)
        kind = kind or ("refused" if "refused" in said[:4] else "right")
        counts[kind] += 1
        counts["batched"] += row.get("batched_alphas") == "right"
        reasons |= {f"{name}, {check}": text for check, text in row.items() if text != "right"}
        print(
            f"| {name} | {' | '.join(SIGNS[value] for value in said)} |" if len(said) > 1 else f"| {name} | not built |"
        )
    print("", *(f"{where}: {' '.join(text.split())}" for where, text in reasons.items()), "", sep="\n")
    print(
        f"{len(rows)} architectures: {counts['right']} right, {counts['refused']} without losses and texts, "
        f"{counts['wrong']} wrong, {counts['not built']} not built; {counts['batched']} with all alphas in one batch"
    )
    if not options.tiny:
        common.save("architectures", rows)
    if counts["wrong"]:
        sys.exit("an architecture is wrong")


if __name__ == "__main__":
    main()
