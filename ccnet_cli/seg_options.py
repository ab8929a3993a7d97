"""Options of `ccnet-seg`, spelled as PaddleSeg's tools have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

PathType = click.Path(path_type=Path)
Decorator = Callable[[Any], Any]


class SpacedCommand(click.Command):
    """A command whose repeatable options also take several values after one name: `--scales 0.75 1.0 1.25`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the name before each value, which is click's own way."""
        repeatable = {
            name
            for option in self.params
            if isinstance(option, click.Option) and option.multiple
            for name in option.opts
        }
        return super().parse_args(ctx, list(_repeat_names(args, repeatable)))


def _repeat_names(arguments: list[str], repeatable: set[str]) -> Iterator[str]:
    name, valueless = "", False
    for argument in arguments:
        if argument.startswith("--"):
            if valueless:
                yield name
            name = argument if argument in repeatable else ""
            valueless = bool(name)
            if not name:
                yield argument
        elif name:
            valueless = False
            yield from (name, argument)
        else:
            yield argument
    if valueless:
        yield name


def combine(*decorators: Decorator) -> Decorator:
    """One decorator of several, in the order of the help page."""

    def apply(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


import_option = click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE...",
    help="Import these first, which register your own components with PaddleSeg.",
)
download_option = click.option(
    "--allow_download", "downloads", is_flag=True, help="Fetch a pretrained that is a URL; else it is refused."
)
masks_option = click.option(
    "--keep_masks", is_flag=True, help="Take labels that hold only 0 and 255 as they are: 255 is ignored."
)
config_option = combine(
    click.option("--config", type=PathType, required=True, metavar="YML", help="A PaddleSeg config."),
    click.option("--opts", multiple=True, metavar="KEY=VALUE...", help="Change values of the config."),
)
device_option = click.option(
    "--device",
    type=click.Choice(["cpu", "gpu", "xpu", "npu", "mlu"]),
    default="gpu",
    show_default=True,
    help="Where to run; on the CPU where there is none of these.",
)
model_option = click.option("--model_path", type=PathType, metavar="FILE", help="Weights (.pdparams); all must fit.")
workers_option = click.option("--num_workers", type=click.IntRange(0), default=0, show_default=True)
precision_options = combine(
    click.option("--precision", type=click.Choice(["fp32", "fp16"]), default="fp32", show_default=True),
    click.option("--amp_level", type=click.Choice(["O1", "O2"]), default="O1", show_default=True),
)
view_options = combine(
    click.option(
        "--scales",
        multiple=True,
        type=float,
        default=[1.0],
        metavar="NUMBER...",
        help="Average over pictures scaled by these.",
    ),
    click.option("--flip_horizontal", is_flag=True, help="Average with the mirrored picture."),
    click.option("--flip_vertical", is_flag=True, help="Average with the picture upside down."),
    click.option("--is_slide", is_flag=True, help="Sliding windows."),
    click.option("--crop_size", type=click.IntRange(1), nargs=2, metavar="W H", help="Size of a window, in pixels."),
    click.option("--stride", type=click.IntRange(1), nargs=2, metavar="W H", help="From window to window, in pixels."),
)
