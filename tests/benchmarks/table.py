"""One table of the last results on this kind of device: what is measured, ours, what stands beside it, the limit.

    python tests/benchmarks/table.py

It reads what mix.py, size.py, memory.py, losses.py, batched_texts.py and adaptive.py saved, and says which of them has
saved nothing.
"""

import json
from collections.abc import Iterator

import common

Row = tuple[str, str, str, str]  # what, ours, beside, limit
OURS, NAIVE, COPY = "lerpnb", "naive dict + load_state_dict", "copy_ of the same bytes"


def spread(way: dict) -> str:
    return f"{way['ratio']:.2f}x ({way['low']:.2f} to {way['high']:.2f})"


def mix(results: list[dict]) -> Iterator[Row]:
    for result in results:
        ways = result["ways"]
        told = {way: f"{way} {found['ratio']:.1f}x" for way, found in ways.items() if way not in (OURS, COPY)}
        told[NAIVE] += f" ({result['naive over ours']:.1f} times ours)"
        limit = "4x" if "adapters of rank" in result["name"] else "1.5x; the naive way at least 8 times ours"
        yield (
            f"one point, {result['name']}, in copies of the same bytes",
            spread(ways[OURS]),
            ", ".join(told.values()),
            limit,
        )


def size(result: dict) -> Iterator[Row]:
    from size import LIMITS

    for row in result["rows"]:
        held, fixed, loading, _ = LIMITS[row["ends"], row["live"]]
        what = f"1.1B, bfloat16 {row['ends']}, live {row['live']}"
        last = "" if fixed is None else f", {row['fixed']:.2f} that cannot be dropped"
        limit = f"{held}" + ("" if fixed is None else f", {fixed}")
        yield f"{what}: bytes held a parameter", f"{row['held']:.2f}{last}", "", limit
        yield f"{what}: time to its first point, in bare reads", f"{row['loading']:.2f}x", "", f"{loading}x"
    yield "1.1B, bfloat16 ends: one point, in copies of the same bytes", spread(result["point"]), "", "2x"


def memory(results: list[dict]) -> Iterator[Row]:
    for result in results:
        for kind, limit in (("dense ends", "3.1x"), ("two adapters", "2.2x")):
            yield (
                f"peak memory of an evaluation, {result['name']}, {kind}",
                f"{result[kind]['ratio']:.2f}x the weights",
                "",
                limit,
            )


def losses(result: dict) -> Iterator[Row]:
    ways = result["ways"]
    ours, careful = (ways[way] for way in ("ln.evaluate, fresh store", "a careful user's loop"))
    yield (
        f"losses, {result['name']}, in bare forward passes",
        spread(ours),
        f"a careful loop {careful['ratio']:.2f}x",
        "1.05x",
    )
    yield "the same, in that careful loop's time", f"{result['ours / careful']:.2f}x", "", "0.7x"
    yield "the same, peak memory beyond weights", f"{result['peak, ours / careful']:.2f}x the loop's", "", "0.25x"


def batched_texts(result: dict) -> Iterator[Row]:
    for way, found in result["speed"]["ways"].items():
        if way.startswith("rows"):
            told = f"{1 / found['ratio']:.2f}x ({1 / found['high']:.2f} to {1 / found['low']:.2f})"
            yield (
                f"{result['speed']['name']}: mix + generate, in the time of {way.replace('rows', 'one batch')}",
                told,
                "",
                "at least 2x",
            )
    if "one alpha" in result:
        ours = result["one alpha"]["ways"]["lerpnb"]
        told = f"{1 / ours['ratio']:.2f}x ({1 / ours['high']:.2f} to {1 / ours['low']:.2f})"
        yield f"{result['one alpha']['name']}: tokens a second, over generate's", told, "", "at least 1x"
    for row in result["crossover"]:
        ratios = ", ".join(f"{row[kind]['ratio']:.2f}x with {kind}" for kind in row if kind != "rows an alpha")
        yield f"one batch over mixing, {row['rows an alpha']} texts an alpha", ratios, "", ""
    for kind, found in result["memory"].items():
        yield f"memory beside the live model, {kind}", f"{found['ratio']:.2f}x", "", "2.2x"
    errors = result["bfloat16"]
    yardstick = errors["theta(alpha) in bfloat16"]
    for name, limit in (
        ("rows, float32 activations", "0.2x"),
        ("rows, bfloat16 activations", "none: nothing is gained"),
    ):
        yield (
            f"error of the logits, {name.replace('rows', 'one batch')}, ends in bfloat16",
            f"{errors[name] / yardstick:.3f}x",
            "",
            limit,
        )


def adaptive(result: dict) -> Iterator[Row]:
    for kind, found in result["summary"].items():
        cases = found["cases"]
        told = f"covered {found['covered']} of {cases}"
        good = f"at most 4 more points than an even grid as good: {found['at most 4 more than an even grid as good']}"
        fewer = f"fewer than an even grid to tol: {found['fewer than an even grid to tol']}"
        yield f"adaptive alphas, {kind}", told, f"{good}; {fewer}", f"{cases}; {cases}"


def gpu(result: dict) -> Iterator[Row]:
    limits = {"mixing, dense": "1.5x", "mixing, low-rank": "4x", "walk": "1.05x"}
    for name, limit in limits.items():
        if name in result:
            yield (
                f"774M: {result[name]['name']}",
                spread(result[name]["ways"]["lerpnb" if "mix" in name else "walk"]),
                "",
                limit,
            )
    for name in ("texts, dense", "texts, low-rank"):
        if name in result:
            rows = result[name]["ways"]["mix + generate a point"]["ratio"]
            yield f"774M: {result[name]['name']}, mix + generate in the time of rows", f"{rows:.2f}x", "", "5x"
    if "8B" in result:
        found = result["8B"]
        yield "8B, bfloat16: bytes held a parameter", f"{found['held']:.2f}", "", "6.2"
        yield "8B, bfloat16: one point, in copies of its bytes", spread(found["point"]["ways"]["lerpnb"]), "", "2x"
        ours = found["one alpha"]["ways"]["lerpnb"]
        yield "8B, bfloat16: tokens a second, over generate's", f"{1 / ours['ratio']:.2f}x", "", "at least 1x"
        yield "8B, bfloat16: 11 alphas, a loss and 100 texts each", f"{found['end to end']:.0f} s", "", ""
        kept = ", ".join(f"{dtype} {share:.1%}" for dtype, share in found["resolutions"].items())
        yield "8B: what is left of the delta", kept, "", ""


TABLES = {
    "mix": mix,
    "size": size,
    "memory": memory,
    "losses": losses,
    "batched_texts": batched_texts,
    "adaptive": adaptive,
}


def main() -> None:
    device = "cuda" if common.torch.cuda.is_available() else "cpu"
    told: dict[tuple, list] = {}
    lines = ["| what | ours | beside | limit |", "|---|---|---|---|"]
    for name, rows_of in (TABLES | ({"gpu": gpu} if device == "cuda" else {})).items():
        file = common.RESULTS / f"{name}-{device}.json"
        if not file.exists():
            lines.append(f"| {name}.py | has saved nothing | | |")
            continue
        saved = json.loads(file.read_text(encoding="utf-8"))
        told.setdefault((saved["device"], saved["torch"], saved["date"]), []).append(saved["threads"])
        lines += [f"| {' | '.join(row)} |" for row in rows_of(saved["result"])]
    for (device_name, torch, date), threads in told.items():
        print(f"{device_name}, {max(threads)} threads, torch {torch}, {date}")
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    main()
