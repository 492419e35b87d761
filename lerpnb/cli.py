"""The command line, `lerpnb --help`. What is heavy is imported inside a command."""

import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from lerpnb.errors import LerpError, RunError

ROWS = 20  # of a curve, in the terminal
QUANTITIES = 6  # columns at most, where a curve has neither losses nor strengths

app = typer.Typer(
    name="lerpnb",
    help="What lies between two fine-tuned language models.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter", "-p", metavar="NAME VALUE", help="A parameter of the notebook; give it again for more."
    ),
]

Yaml = Annotated[str | None, typer.Option("--yaml", "-y", help="Parameters as YAML: 'alphas: [0, 0.5, 1]'.")]
Values = Annotated[Path | None, typer.Option("--file", "-f", help="A YAML file of parameters; -y and -p go before it.")]
Name = Annotated[str | None, typer.Option(help="The run's name; by default the notebook's.")]
To = Annotated[Path, typer.Option(help="The folder of runs.")]
TimeLimit = Annotated[str | None, typer.Option(metavar="TIME", help="End it after 2h, 90m, 1h30m, or seconds.")]
MemoryLimit = Annotated[float | None, typer.Option(metavar="GIB", help="End it when it holds more than this many GiB.")]
Runs = Annotated[str, typer.Option("--to", help="The folder of runs, or a URL such as s3://bucket/runs.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's name.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to; by default beside its source.")]
Code = Annotated[bool, typer.Option("--code/--no-code", help="Fold the code, or leave it out.")]


def main(arguments: list[str] | None = None) -> None:
    """Run one command; an error of lerpnb's is one message on stderr and exit code 1."""
    try:
        app(_paired(sys.argv[1:] if arguments is None else arguments), prog_name="lerpnb")
    except LerpError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="A new folder, or the one that you are in.")] = Path(".")) -> None:
    """Lay out a project of your own: notebooks, the demo's data, environment.yml and a README."""
    from lerpnb import project

    print(f"{project.init(folder)}: read README.md there, or open notebooks/00_quickstart.ipynb")


@app.command()
def assets() -> None:
    """Fetch the demo's model, reviews and classifier, once."""
    from lerpnb import assets
    from lerpnb.checkpoints.gguf import model_folder

    assets.fetch()
    for name in assets.BUILT_IN:
        model_folder(name)  # the demo's model is a GGUF file, converted once


class WithParameters(TyperCommand):
    """`lerpnb run NOTEBOOK --help` lists the notebook's own parameters below the command's options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--help" in args and len(args) > 1:
            ctx.meta["notebook"] = _positional([arg for arg in args if arg != "--help"], self, ctx)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        if notebook := ctx.meta.get("notebook"):
            print(_parameters(notebook))


@app.command(cls=WithParameters)
def run(
    notebook: Annotated[
        str, typer.Argument(help="A path, or the name of one of the project's; with --help: its parameters.")
    ],
    parameter: Pairs = None,
    yaml: Yaml = None,
    file: Values = None,
    name: Name = None,
    to: To = Path("runs"),
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
) -> None:
    """Execute a notebook into a run folder and print its result."""
    from lerpnb.runs import execution
    from lerpnb.utils.progress import seconds_of

    try:
        seconds = None if time_limit is None else seconds_of(time_limit)
    except ValueError as error:
        raise RunError(f"lerpnb run --time-limit: {error}") from error

    parameters = _mapping(_text(file), f"-f {file}") if file else {}
    parameters |= _mapping(yaml, "-y") if yaml else {}
    parameters |= dict(pair.split("=", 1) for pair in parameter or [])
    print(_result(execution.run(notebook, parameters, name, to, time_limit=seconds, memory_limit=memory_limit)))


@app.command()
def report(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or an executed notebook.")],
    output: Output = None,
    code: Code = True,
) -> None:
    """Write a run's page: one HTML file that needs no network."""
    from lerpnb.runs.report.exporter import write_report

    print(write_report(source, output, code))


@app.command()
def accuracy(
    scorer: Annotated[str, typer.Argument(help="A sequence classifier: a folder, an adapter folder or a hub id.")],
    n: Annotated[int, typer.Option(help="Texts a label and source.")] = 500,
) -> None:
    """Print a classifier's accuracy on held-out reviews of the demo, by source."""
    for source, value in held_out_accuracy(scorer, n).items():
        print(f"{source}: {value:.3f} of {2 * n:,} held-out texts")


@app.command()
def picture(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png or .svg file.")] = Path("curve.png"),
) -> None:
    """Draw a run's main figure as a static image; needs Chrome or Chromium."""
    from lerpnb.plots.image import save_image
    from lerpnb.results.curve import Curve

    print(save_image(Curve.load(source), output))


@app.command()
def store(clear: Annotated[bool, typer.Option("--clear", help="Delete every finished point.")] = False) -> None:
    """Show where finished points are kept, and how many."""
    from lerpnb.evaluation.cache import Cache

    kept = Cache()
    if clear:
        kept.clear()
    print(f"{kept.folder}: {kept!r}")


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
        return print(_planned(config, rows_of(config, to, retry_failed)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's way to end a job
    rows = perform(config, to, jobs=jobs, retry_failed=retry_failed, dask=dask)
    print(f"{summary(rows)}\n{_counted(rows)}")
    if not passed(rows):
        raise typer.Exit(1)


@app.command()
def ls(
    to: Runs = "runs",
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


@app.command()
def show(name: Run, to: Runs = "runs") -> None:
    """Print what is recorded of a run: status, parameters, summary numbers, versions, hashes."""
    import yaml

    from lerpnb.runs.directory import RunDirectory

    runs = RunDirectory(to)
    facts = None if "/" in name or name in ("", ".", "..") else runs.facts(name)
    if facts is None:
        raise RunError(f"lerpnb show {name}: no such run in {to}.\n`lerpnb ls --to {to}` lists them.")
    print(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=120).rstrip())
    if runs.local and (Path(runs.root) / name / "report.html").exists():
        print(f"page: {Path(to) / name / 'report.html'}")


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
    print(f"deleted {name}")


def _planned(config: Any, rows: list[Any]) -> str:
    """The table of --dry-run: each run, what it differs in, and what would become of it."""
    from lerpnb.runs.sweeps.display import text_table

    would = {"waiting": "run", "skipped": "be skipped: done", "failed before": "be left: failed before"}
    table = []
    for row in rows:
        values = (str(row.spec.parameters.get(key, "")) for key in config.varying)
        table.append([row.spec.name, *values, would.get(row.status, row.status)])
    if config.then:
        table.append([config.then["name"], *("" for _ in config.varying), "look at all of them"])
    return text_table(["run", *config.varying, "would"], table)


def _counted(rows: list) -> str:
    counts = {status: sum(row.status == status for row in rows) for status in dict.fromkeys(r.status for r in rows)}
    text = ", ".join(f"{count} {status}" for status, count in counts.items())
    failed = counts.get("failed before")
    return text + ("; --retry-failed runs again what failed before" if failed else "")


def held_out_accuracy(name: str, n: int = 500) -> dict[str, float]:
    """A classifier's accuracy on `n` held-out texts a label of each source, cut at 256 tokens: {source: accuracy}.

    The texts are of the demo's "held-out" split, on which neither the adapters nor the classifier were trained: its
    reviews, or its sentences in either voice where the classifier's labels are those of `voices`.
    """
    from lerpnb.data.demo import VOICES
    from lerpnb.data.splits import held_out
    from lerpnb.probes.classifier import Classifier

    classifier = Classifier.load(name)
    voices = {label.lower() for label in classifier.labels} == set(VOICES.values())
    accuracies = {}
    for source in ("voices",) if voices else ("rotten_tomatoes", "imdb"):
        corpus = held_out(source, n)
        labels = [corpus.label_names[label] for label in corpus.labels]
        accuracies[source] = classifier.accuracy(corpus.texts, labels)
    return accuracies


def _paired(arguments: list[str]) -> list[str]:
    """The arguments with each `-p NAME VALUE` as `-p NAME=VALUE`, which typer can take any number of times."""
    paired, rest = [], iter(arguments)
    for argument in rest:
        paired.append(argument)
        if argument in ("-p", "--parameter"):
            name = next(rest, "")
            value = name if "=" in name else next(rest, None)
            if not name or value is None:
                raise RunError(f"lerpnb run {' '.join(paired[-1:] + [name]).strip()}: no value.\nWrite -p NAME VALUE.")
            paired.append(value if "=" in name else f"{name}={value}")
    return paired


def _positional(arguments: list[str], command: Any, ctx: Any) -> str | None:
    """The first argument that is neither an option nor an option's value."""
    valued = {name for option in command.get_params(ctx) if option.param_type_name == "option" for name in option.opts}
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            return argument
        if argument in valued:
            next(rest, None)
    return None


def _parameters(notebook: str) -> str:
    """A notebook's parameters: a line each, with type, default and help."""
    import nbformat

    from lerpnb.runs.parameters import parameters_of
    from lerpnb.runs.spec import find_notebook
    from lerpnb.runs.sweeps.display import text_table

    source = find_notebook(notebook)
    parameters = parameters_of(nbformat.read(source, as_version=4), f'run("{source.stem}")').values()
    if not parameters:
        return f"{source.stem} takes no parameters: no cell is tagged 'parameters'."
    rows = [[f"  -p {p.name}", p.type or "any", repr(p.default), p.help] for p in parameters]
    return f"Parameters of {source.stem}: name, type, default, meaning\n{text_table([''] * 4, rows)}"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"lerpnb run -f {file}: {getattr(error, 'strerror', 'not a text file')}.") from error


def _mapping(text: str, option: str) -> dict[str, Any]:
    import yaml

    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RunError(f"lerpnb run {option}: not plain YAML: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict):
        raise RunError(f"lerpnb run {option}: no mapping of names to values.\nWrite it as 'name: value'.")
    return read


def _result(folder: Path) -> str:
    """A run in a few lines, from its folder: the curve, its barriers, the rise of the attribute, the time, the page."""
    import json

    from lerpnb.errors import CurveError
    from lerpnb.results.curve import Curve
    from lerpnb.utils.progress import time_text

    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    lines = []
    if (folder / "curve.parquet").exists():
        curve = Curve.load(folder)
        chief = [q for q in curve.quantities if curve.quantity(q).kind in ("loss", "strength")] or curve.quantities[
            :QUANTITIES
        ]
        table = curve.to_frame()[chief].reset_index()
        every = -(-len(table) // ROWS)
        table = table[(table.index % every == 0) | table["alpha"].isin([0, 1])]
        formats = {name: (lambda value: f"{value:.3f}") for name in chief} | {"alpha": lambda value: f"{value:.4g}"}
        lines += ["", table.to_string(index=False, formatters=formats), ""]
        numbers = []
        for quantity in chief:
            with suppress(CurveError):
                summarize = _barrier if curve.quantity(quantity).kind == "loss" else _rise
                numbers.append(summarize(curve, quantity))
        lines += numbers or ["no barrier and no rise: they need alpha 0 and 1, which the curve leaves out."]
    peak = f", peak memory {facts['peak_memory_bytes'] / 2**30:.2f} GiB" if facts.get("peak_memory_bytes") else ""
    lines.append(f"{facts['name']}: {facts['status']} in {time_text(facts['seconds'])}{peak}")
    return "\n".join([*lines, f"page: {folder / 'report.html'}"])


def _barrier(curve: Any, quantity: str) -> str:
    from lerpnb.utils.text import listed, show

    barrier = curve.barrier(quantity)
    if barrier.nan_alphas:
        return f"barrier of {quantity}: unknown, NaN at alpha {listed(map(show, barrier.nan_alphas))}"
    text = (
        f"barrier of {quantity}: {_interval('.4f', barrier.value, barrier.low, barrier.high)} {barrier.unit}".rstrip()
    )
    gaps = barrier.gaps.dropna()
    if not len(gaps):
        return text
    top = gaps.loc[gaps["high"].idxmax()]
    return f"{text}; gap to the chord at most {_interval('+.4f', top['gap'], top['low'], top['high'])}"


def _rise(curve: Any, quantity: str) -> str:
    rise, rho = curve.difference(quantity), curve.spearman(quantity)
    return (
        f"rise of {quantity} from alpha 0 to 1: {_interval('+.3f', rise.value, rise.low, rise.high)}; "
        f"Spearman's rho with alpha {_interval('.3f', rho.value, rho.low, rho.high)}"
    )


def _interval(shape: str, *values: float) -> str:
    value, low, high = ("NaN" if value != value else format(value, shape) for value in values)
    return f"{value} [{low}, {high}]"
