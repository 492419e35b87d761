"""What `lerpnb` alone and `--help` show, and which command a mistyped one may mean."""

import difflib
from typing import Any

from typer.core import TyperCommand, TyperGroup

from lerpnb.cli import parameters

WELCOME = """\
lerpnb measures what lies between two fine-tuned language models. To begin:

  lerpnb init my-project       a folder with the notebooks and the demo's data; not needed in a checkout
  lerpnb assets                the demo's model and reviews, once (190 MB)
  lerpnb run 02_interpolate    measures the demo line in about 5 minutes and writes a page to read
  lerpnb ls                    the runs that are there

Your own models: lerpnb run 02_interpolate --help
All commands: lerpnb --help. Something does not work: lerpnb doctor"""
DESTRUCTIVE = "rm"


class Commands(TyperGroup):
    """A mistyped command is answered with the nearest one that deletes nothing."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            safe = [name for name in self.commands if name != DESTRUCTIVE]
            near = difflib.get_close_matches(args[0], safe, n=1)
            hint = f" Did you mean `lerpnb {near[0]}`?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


class WithParameters(TyperCommand):
    """`lerpnb run NOTEBOOK --help` lists the notebook's own parameters below the command's options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--help" in args and len(args) > 1:
            ctx.meta["notebook"] = parameters.first_positional([arg for arg in args if arg != "--help"], self, ctx)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        if notebook := ctx.meta.get("notebook"):
            print(parameters.parameters_help(notebook))
