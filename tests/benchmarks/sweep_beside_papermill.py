"""Four runs of which one fails, by `lerpnb sweep` and by papermill in a shell loop: what each leaves behind.

`python tests/benchmarks/sweep_beside_papermill.py` prints it. Each is asked twice, since the second time tells whether
the first was remembered.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
CELL = "seed: int = 0  # a seed\nfails: bool = False  # whether to fail"
WORK = 'print("working")\nif fails:\n    raise ValueError("boom")'
PLAN = """\
notebook: small.ipynb
name: s{seed}
list: [{seed: 0}, {seed: 1, fails: true}, {seed: 2}, {seed: 3}]
"""
LOOP = """\
for seed in 0 1 2 3; do
  fails=false; [ $seed = 1 ] && fails=true
  $PAPERMILL small.ipynb s$seed.ipynb -p seed $seed -y "fails: $fails" --no-progress-bar 2>> loop.log
done
"""


def left(folder: Path) -> list[str]:
    files = (file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file())
    return [file for file in files if file not in ("small.ipynb", "four.yaml")]


def ask(name: str, command: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PAPERMILL": f"{sys.executable} -m papermill"}
    for time_ in ("first time", "again"):
        start = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        print(f"\n== {name}, {time_}: exit code {done.returncode}, {time.perf_counter() - start:.1f} s")
        print(done.stdout.strip() or "(it printed nothing)")
    print(f"-- it leaves: {', '.join(left(folder))}")


def main() -> None:
    with tempfile.TemporaryDirectory() as bare, tempfile.TemporaryDirectory() as ours:
        for folder in (bare, ours):
            cells = [new_code_cell(CELL, metadata={"tags": ["parameters"]}), new_code_cell(WORK)]
            metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            nbformat.write(new_notebook(cells=cells, metadata=metadata), Path(folder) / "small.ipynb")
        (Path(ours) / "four.yaml").write_text(PLAN, encoding="utf-8")
        ask("papermill in a shell loop", ["sh", "-c", LOOP], Path(bare))
        command = [sys.executable, "-c", "from lerpnb.cli import main; main()", "sweep", "four.yaml"]
        ask("lerpnb sweep", command, Path(ours))


if __name__ == "__main__":
    main()
