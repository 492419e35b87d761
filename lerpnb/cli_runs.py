"""The commands about many runs: sweep, ls, show, rm. What is heavy is imported inside a command."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from lerpnb.errors import RunError

To = Annotated[str, typer.Option(help="The folder of runs, or a URL such as s3://bucket/runs.")]


Name = Annotated[str, typer.Argument(metavar="RUN", help="A run's name.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (sweep, ls, show, rm):
        app.command()(command)


def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP.YAML", help="Which notebook, which parameters.")],
    to: To = "runs",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the table of runs, and run nothing.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; by default one a GPU, else one.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed.")] = False,
    dask: Annotated[str | None, typer.Option(help="A Dask scheduler, such as tcp://127.0.0.1:8786.")] = None,
) -> None:
    """Execute every run of a sweep that is not done yet; exit code 1 unless all are done."""
    from lerpnb.runs.sweeps.config import read_sweep
    from lerpnb.runs.sweeps.display import summary
    from lerpnb.runs.sweeps.scheduler import known, passed, perform

    plan = read_sweep(file, to)
    if dry_run:
        return print(_planned(plan, known(plan, to, retry_failed)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's way to end a job
    rows = perform(plan, to, jobs=jobs, retry_failed=retry_failed, dask=dask)
    print(f"{summary(rows)}\n{_counted(rows)}")
    if not passed(rows):
        raise typer.Exit(1)


def ls(
    to: To = "runs",
    where: Annotated[str | None, typer.Option(help='Which of them, as pandas\' query: "seed == 0".')] = None,
) -> None:
    """List the runs of a folder: status, when, how long, and the parameters in which they differ."""
    import warnings

    from lerpnb.runs.table import differing, read_runs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = read_runs(to, where)
    if len(frame):
        table = frame[["status", "notebook", "started", "seconds", *differing(frame)]].copy()
        table["started"] = table["started"].dt.strftime("%Y-%m-%d %H:%M")
        print(table.to_string(max_colwidth=40))
    print(f"{len(frame)} runs in {to}")
    for name, why in frame.attrs["unreadable"].items():
        print(f"no whole run: {name} ({why})")


def show(name: Name, to: To = "runs") -> None:
    """Print what is recorded of a run: status, parameters, chief numbers, versions, hashes."""
    import yaml

    from lerpnb.runs.directory import RunDirectory

    shelf = RunDirectory(to)
    facts = None if "/" in name or name in ("", ".", "..") else shelf.facts(name)
    if facts is None:
        raise RunError(f"lerpnb show {name}: no such run in {to}.\n`lerpnb ls --to {to}` lists them.")
    print(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=120).rstrip())
    if shelf.local and (Path(shelf.root) / name / "report.html").exists():
        print(f"page: {Path(to) / name / 'report.html'}")


def rm(
    name: Name, to: To = "runs", yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Delete a run, after asking."""
    from lerpnb.runs.directory import RunDirectory

    shelf = RunDirectory(to)
    shelf.removable(name)
    if not yes:
        typer.confirm(f"Delete the run {name} in {to}?", abort=True)
    shelf.remove(name)
    print(f"deleted {name}")


def _planned(plan: Any, rows: list) -> str:
    """The table of --dry-run: each run, what it differs in, and what would become of it."""
    from lerpnb.runs.sweeps.display import columns

    would = {"waiting": "run", "skipped": "be skipped: done", "failed before": "be left: failed before"}
    table = [["run", *plan.varying, "would"]]
    for row in rows:
        values = (str(row.spec.parameters.get(key, "")) for key in plan.varying)
        table.append([row.spec.name, *values, would.get(row.status, row.status)])
    if plan.then:
        table.append([plan.then["name"], *("" for _ in plan.varying), "look at all of them"])
    return columns(table)


def _counted(rows: list) -> str:
    counts = {status: sum(row.status == status for row in rows) for status in dict.fromkeys(r.status for r in rows)}
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    failed = counts.get("failed before")
    return told + ("; --retry-failed runs again what failed before" if failed else "")
