"""The commands. What is heavy is imported inside a command."""

import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from lerpnb.cli import parameters, results
from lerpnb.cli.help import WELCOME, Commands, WithParameters
from lerpnb.errors import LerpError, RunError

app = typer.Typer(name="lerpnb", cls=Commands, add_completion=False, pretty_exceptions_enable=False)

MORE = "A parameter of the notebook; give it again for more."
Pairs = Annotated[list[str] | None, typer.Option("--parameter", "-p", metavar="NAME VALUE", help=MORE)]
NOTEBOOK = "A path, or the name of one of the project's; with --help: its parameters."
NotebookName = Annotated[str, typer.Argument(metavar="NOTEBOOK", help=NOTEBOOK)]
Yaml = Annotated[str | None, typer.Option("--yaml", "-y", help="Parameters as YAML: '{seed: 1, device: cpu}'.")]
Values = Annotated[Path | None, typer.Option("--file", "-f", help="A YAML file of parameters; -y and -p go before it.")]
Name = Annotated[str | None, typer.Option(help="The run's name; by default the notebook's, and the time.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a run of the same name.")]
To = Annotated[Path, typer.Option(help="The folder of runs.")]
TimeLimit = Annotated[str | None, typer.Option(metavar="TIME", help="End it after 2h, 90m, 1h30m, or seconds.")]
MemoryLimit = Annotated[float | None, typer.Option(metavar="GIB", help="End it when it holds more than this many GiB.")]
Runs = Annotated[str, typer.Option("--to", help="The folder of runs, or a URL such as s3://bucket/runs.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's name.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to; by default beside its source.")]
Code = Annotated[bool, typer.Option("--code/--no-code", help="Fold the code, or leave it out.")]


def main(arguments: list[str] | None = None) -> None:
    """Run one command; an error of lerpnb's is one message on stderr and exit code 1."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # see lerpnb/runs/sweeps/__main__.py
    try:
        app([*parameters.paired(sys.argv[1:] if arguments is None else arguments)], prog_name="lerpnb")
    except LerpError as error:
        results.say(f" {error}", label="error:")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


@app.callback(invoke_without_command=True)
def lerpnb(ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print it.")] = False) -> None:
    """What lies between two fine-tuned language models."""
    if version:
        from lerpnb import __version__

        results.out(f"lerpnb {__version__}")
    elif ctx.invoked_subcommand is None:
        results.out(WELCOME)


@app.command()
def doctor() -> None:
    """Print what an issue should say of this machine: versions, device, Chrome, folders, hub."""
    from lerpnb.cli.doctor import diagnosis

    results.out("\n".join(diagnosis()))


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="A new folder, or the one that you are in.")] = Path(".")) -> None:
    """Lay out a project of your own: notebooks, the demo's data, environment.yml and a README."""
    from lerpnb import project

    results.out(f"{project.init(folder)}: read README.md there, or open notebooks/00_quickstart.ipynb")


@app.command()
def assets() -> None:
    """Fetch the demo's model, reviews and classifier, once."""
    from lerpnb import assets
    from lerpnb.checkpoints.gguf import model_folder

    assets.fetch()
    for name in assets.BUILT_IN:
        model_folder(name)  # the demo's model is a GGUF file, converted once


@app.command(cls=WithParameters)
def run(
    notebook: NotebookName,
    parameter: Pairs = None,
    yaml: Yaml = None,
    file: Values = None,
    name: Name = None,
    to: To = Path("runs"),
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    force: Force = False,
) -> None:
    """Execute a notebook into a run folder and print its result."""
    from lerpnb.project import timed_name
    from lerpnb.runs import execution
    from lerpnb.runs.spec import find_notebook
    from lerpnb.utils.progress import seconds_of

    try:
        seconds = None if time_limit is None else seconds_of(time_limit)
    except ValueError as error:
        raise RunError(f"lerpnb run --time-limit: {error}") from error
    given = parameters.given_parameters(parameter or [], yaml, file)
    name = name or timed_name(find_notebook(notebook).stem, time.time())
    limits: dict[str, Any] = {"time_limit": seconds, "memory_limit": memory_limit}
    results.out(results.run_result(execution.run(notebook, given, name, to, force=force, **limits)))


@app.command()
def report(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or an executed notebook.")],
    output: Output = None,
    code: Code = True,
) -> None:
    """Write a run's page: one HTML file that needs no network."""
    from lerpnb.runs.report.exporter import write_report

    page = write_report(source, output, code)
    executed = source / "executed.ipynb" if source.is_dir() else source
    if not results.has_outputs(executed):
        results.say(f"{executed.name} holds no outputs, and so the page holds none: execute it first.")
    results.out(str(page))


@app.command()
def accuracy(
    scorer: Annotated[str, typer.Argument(help="A sequence classifier: a folder, an adapter folder or a hub id.")],
    n: Annotated[int, typer.Option(help="Texts a label and source.")] = 500,
) -> None:
    """Print a classifier's accuracy on held-out reviews of the demo, by source."""
    for source, value in held_out_accuracy(scorer, n).items():
        results.out(f"{source}: {value:.3f} of {2 * n:,} held-out texts")


def held_out_accuracy(name: str, n: int = 500) -> dict[str, float]:
    """A classifier's accuracy on `n` held-out texts a label of each source, cut at 256 tokens: {source: accuracy}.

    Neither the adapters nor the classifier were trained on them: the demo's reviews, or its sentences in either voice
    where the classifier's labels are those of `voices`.
    """
    from lerpnb.data.demo import VOICES
    from lerpnb.data.splits import held_out
    from lerpnb.probes.classifier import Classifier

    classifier = Classifier.load(name)
    voices = {label.lower() for label in classifier.labels} == set(VOICES.values())
    corpora = {source: held_out(source, n) for source in (["voices"] if voices else ["rotten_tomatoes", "imdb"])}
    return {
        source: classifier.accuracy(corpus.texts, [corpus.label_names[label] for label in corpus.labels])
        for source, corpus in corpora.items()
    }


@app.command()
def picture(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png or .svg file.")] = Path("curve.png"),
) -> None:
    """Draw a run's main figure as a static image; needs Chrome or Chromium."""
    from lerpnb.plots.image import save_image
    from lerpnb.results.curve import Curve

    results.out(str(save_image(Curve.load(source), output)))


store = typer.Typer()
app.add_typer(store, name="store")


@store.callback(invoke_without_command=True)
def show_store(
    ctx: typer.Context, clear: Annotated[bool, typer.Option("--clear", help="Delete every finished point.")] = False
) -> None:
    """Show where finished points are kept, and how many."""
    from lerpnb.evaluation.cache import Cache

    if ctx.invoked_subcommand is not None:
        return
    kept = Cache()
    if clear:
        kept.clear()
    results.out(f"{kept.folder}: {kept!r}")


@store.command("verify")
def verify_store(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/demo.")],
    share: Annotated[float, typer.Option(help="Of its stored values, how many are computed again: 0 to 1.")] = 0.1,
) -> None:
    """Compute a sample of a run's stored values again and compare: exit code 1 where one differs."""
    from lerpnb.runs.verify import verify

    found = verify(run, share)
    for text in found.differences[:20]:
        results.say(f" {text}", label="differs:")
    results.out(f"{found.compared} stored measurements were made again; {len(found.differences)} values differ.")
    if found.differences:
        raise SystemExit(1)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP.YAML", help="Which notebook, which parameters.")],
    to: Runs = "runs",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the table of runs, and run nothing.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; by default one a GPU, else one.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed.")] = False,
    dask: Annotated[str | None, typer.Option(help="A Dask scheduler, such as tcp://127.0.0.1:8786.")] = None,
) -> None:
    """Execute every run of a sweep that is not done yet; exit code 1 unless all are done."""
    from lerpnb.runs.sweeps.config import read_sweep
    from lerpnb.runs.sweeps.display import summary
    from lerpnb.runs.sweeps.scheduler import passed, perform, rows_of

    config = read_sweep(file, to)
    if dry_run:
        return results.out(results.sweep_plan(config, rows_of(config, to, retry_failed)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's way to end a job
    rows = perform(config, to, jobs=jobs, retry_failed=retry_failed, dask=dask)
    results.out(f"{summary(rows)}\n{results.sweep_counts(rows)}")
    if not passed(rows):
        raise typer.Exit(1)


@app.command()
def ls(
    to: Runs = "runs",
    where: Annotated[str | None, typer.Option(help='Which of them, as pandas\' query: "seed == 0".')] = None,
) -> None:
    """List the runs of a folder: status, when, how long, and the parameters in which they differ."""
    import warnings

    from lerpnb.runs.table import read_runs

    with warnings.catch_warnings(action="ignore"):
        frame = read_runs(to, where)
    if len(frame):
        results.out(results.run_table(frame))
    results.out(f"{len(frame)} runs in {to}")
    for name, why in frame.attrs["unreadable"].items():
        results.out(f"no whole run: {name} ({why})")


@app.command()
def show(name: Run, to: Runs = "runs") -> None:
    """Print what is recorded of a run: status, parameters, summary numbers, versions, hashes."""
    import yaml

    from lerpnb.runs.directory import RunDirectory

    runs = RunDirectory(to)
    if "/" in name or name in ("", ".", "..") or (facts := runs.facts(name)) is None:
        raise RunError(f"lerpnb show {name}: no such run in {to}.\n`lerpnb ls --to {to}` lists them.")
    results.out(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=120).rstrip())
    if runs.local and (Path(runs.root) / name / "report.html").exists():
        results.out(f"page: {Path(to) / name / 'report.html'}")


@app.command()
def rm(
    name: Run, to: Runs = "runs", yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Delete a run, after asking."""
    from lerpnb.runs.directory import RunDirectory

    runs = RunDirectory(to)
    runs.removable(name)
    if not yes:
        typer.confirm(f"Delete the run {name} in {to}?", abort=True)
    runs.remove(name)
    results.out(f"deleted {name}")
