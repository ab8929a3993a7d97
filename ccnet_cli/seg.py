"""`ccnet-seg`: PaddleSeg's train, val, predict, export and infer tools, and their TIPC chain."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from ccnet_cli.common import json_option, reports_errors, say_error
from ccnet_cli.seg_options import (
    PathType,
    SpacedCommand,
    config_option,
    device_option,
    download_option,
    import_option,
    masks_option,
    model_option,
    precision_options,
    view_options,
    workers_option,
)
from ccnet_cli.user_code import import_modules


@click.group(
    epilog="\b\nExamples:\n"
    "  ccnet-seg train --config configs/generated.yml --iters 100 --do_eval --use_vdl\n"
    "  ccnet-seg val --config configs/generated.yml --model_path out.pdparams --aug_eval --flip_horizontal\n"
    "  ccnet-seg predict --config configs/generated.yml --model_path out.pdparams --image_path street.png\n"
    "  ccnet-seg export --config configs/generated.yml --model_path out.pdparams --save_dir exported\n"
    "  ccnet-seg infer --config exported/deploy.yaml --image_path street.png --enable_mkldnn True\n"
    "  ccnet-seg tipc lite_train_lite_infer\n"
    "\n\nExit code: 0 success, 1 a step failed, 2 bad input."
)
def seg() -> None:
    """Train and evaluate the port in PaddleSeg, by PaddleSeg's own configs and options."""
    if importlib.util.find_spec("paddleseg") is None:
        say_error("PaddleSeg is not installed; pip install 'paddleseg>=2.8,<2.9' 'numpy<2'")
        sys.exit(2)


@seg.command(cls=SpacedCommand)
@config_option
@device_option
@workers_option
@precision_options
@click.option("--save_dir", type=PathType, default="./output", show_default=True, metavar="DIR")
@click.option("--do_eval", is_flag=True, help="Evaluate at each save, and keep the best model.")
@click.option("--use_vdl", is_flag=True, help="Write VisualDL's logs into --save_dir.")
@click.option("--use_ema", is_flag=True, help="Keep an average of the weights, too.")
@click.option("--resume_model", metavar="DIR", help="Go on from this iter_N folder.")
@click.option("--iters", type=click.IntRange(1), metavar="N")
@click.option("--batch_size", type=click.IntRange(1), metavar="N", help="Per device.")
@click.option("--learning_rate", type=float)
@click.option("--save_interval", type=click.IntRange(1), default=1000, show_default=True, metavar="N")
@click.option("--log_iters", "--log_iter", type=click.IntRange(1), default=10, show_default=True, metavar="N")
@click.option("--keep_checkpoint_max", type=int, default=5, show_default=True, metavar="N")
@click.option("--seed", type=int)
@click.option("--profiler_options", metavar="TEXT", help="Options of Paddle's profiler, as in PaddleSeg.")
@masks_option
@download_option
@import_option
@reports_errors()
def train(config: Path, modules: tuple[str, ...], downloads: bool, keep_masks: bool, **options: Any) -> None:
    """Train."""
    from paddleseg_port import run

    import_modules(modules)
    changes = {name: options.pop(name) for name in ("iters", "batch_size", "learning_rate")}
    with run.guarded(config, downloads=downloads, keep_masks=keep_masks):
        run.train(config, changes=changes, **options)


@seg.command(cls=SpacedCommand)
@config_option
@model_option
@device_option
@workers_option
@precision_options
@click.option("--aug_eval", is_flag=True, help="Average over --scales and flips.")
@view_options
@click.option("--auc_roc", is_flag=True, help="Area under the ROC curve, too.")
@masks_option
@download_option
@import_option
@json_option
@reports_errors()
def val(
    config: Path,
    model_path: Path | None,
    aug_eval: bool,
    modules: tuple[str, ...],
    downloads: bool,
    keep_masks: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate. With --json, also the confusion matrix, as ccnet-eval prints it."""
    from paddleseg_port import run

    views = _views(options, augmented=aug_eval)
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        import_modules(modules)
        with run.guarded(config, downloads=downloads, keep_masks=keep_masks):
            score = run.validate(config, model_path, views, record=as_json, **options)
    if score is not None:
        click.echo(json.dumps(score.to_json(), allow_nan=False))


@seg.command(cls=SpacedCommand)
@config_option
@click.option("--model_path", type=PathType, required=True, metavar="FILE", help="Weights (.pdparams); all must fit.")
@click.option("--image_path", type=PathType, required=True, help="A picture, a list of pictures, or a folder.")
@device_option
@click.option("--save_dir", type=PathType, default="./output/result", show_default=True, metavar="DIR")
@click.option("--aug_pred", is_flag=True, help="Average over --scales and flips.")
@view_options
@click.option("--custom_color", type=click.IntRange(0, 255), multiple=True, metavar="R G B...", help="Colour map.")
@download_option
@import_option
@reports_errors()
def predict(config: Path, aug_pred: bool, modules: tuple[str, ...], downloads: bool, **options: Any) -> None:
    """Predict pictures."""
    from paddleseg_port import run

    views = _views(options, augmented=aug_pred)
    import_modules(modules)
    with run.guarded(config, downloads=downloads):
        run.predict(config, views=views, **options)


@seg.command(cls=SpacedCommand)
@config_option
@model_option
@click.option("--save_dir", type=PathType, default="./output/inference_model", show_default=True, metavar="DIR")
@click.option("--output_op", type=click.Choice(["argmax", "softmax", "none"]), default="argmax", show_default=True)
@click.option("--input_shape", type=click.IntRange(1), nargs=4, metavar="N C H W", help="[default: any size]")
@download_option
@import_option
@reports_errors()
def export(
    config: Path,
    model_path: Path | None,
    save_dir: Path,
    input_shape: tuple[int, ...],
    modules: tuple[str, ...],
    downloads: bool,
    **options: Any,
) -> None:
    """Export for Paddle Inference, with deploy.yaml, and compare with the eager model."""
    from paddleseg_port import run  # registers the port
    from paddleseg_port.export import export

    import_modules(modules)
    with run.guarded(config, downloads=downloads):
        export(config, model_path, save_dir, input_shape=input_shape or (), **options)
    click.echo(f"{save_dir}: exported; on a test picture it gives the eager model's outputs bit for bit")


@seg.command()
@click.option("--config", type=PathType, required=True, metavar="YAML", help="deploy.yaml of an exported model.")
@click.option("--image_path", type=PathType, required=True, help="A picture, a list of pictures, or a folder.")
@click.option("--save_dir", type=PathType, default="./output/infer", show_default=True, metavar="DIR")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--enable_mkldnn", type=bool, default=False, show_default=True, help="Use oneDNN.")
@click.option("--cpu_threads", type=click.IntRange(1), default=2, show_default=True, metavar="N")
@click.option("--benchmark", type=bool, default=False, show_default=True, help="Print AutoLog's fields.")
@click.option("--model_name", default="CCNet", show_default=True, help="Its name in the benchmark.")
@click.option(
    "--expected", type=PathType, metavar="DIR", help="Fail unless rounding explains what differs from these PNGs."
)
@import_option
@reports_errors()
def infer(
    config: Path,
    image_path: Path,
    save_dir: Path,
    benchmark: bool,
    model_name: str,
    expected: Path | None,
    modules: tuple[str, ...],
    **options: Any,
) -> None:
    """Predict with an exported model by Paddle Inference."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No ccache found")  # Paddle's, which compiles nothing here
        from paddleseg_port.build import explains
        from paddleseg_port.files import guarded_files
        from paddleseg_port.inference import Backend, infer

    import_modules(modules)
    backend = Backend(**options)
    with guarded_files(downloads=False), explains(config):
        infer(config, image_path, save_dir, backend, benchmark=benchmark, model_name=model_name, expected=expected)
    click.echo(f"{save_dir}: predictions written")


@seg.command()
@click.argument("mode", type=click.Choice(["lite_train_lite_infer"]))
@click.option("--config", type=PathType, default="configs/generated.yml", show_default=True, metavar="YML")
@click.option("--save_dir", type=PathType, default="./test_tipc/output", show_default=True, metavar="DIR")
@click.option(
    "--data", type=PathType, default="./test_tipc/data", show_default=True, help="A data set; made if missing."
)
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True, help="Where to train.")
@import_option
@reports_errors()
def tipc(mode: str, config: Path, save_dir: Path, data: Path, device: str, modules: tuple[str, ...]) -> None:
    """Run train, eval, predict, export and inference with and without oneDNN, each in a process of its own."""
    from paddleseg_port.tipc import run_chain

    sys.exit(0 if run_chain(mode, config, save_dir, data, device=device, modules=modules) else 1)


def _views(options: dict[str, Any], *, augmented: bool) -> Any:
    from paddleseg_port.run import Views

    names = ("scales", "flip_horizontal", "flip_vertical", "is_slide", "crop_size", "stride")
    return Views(augmented=augmented, **{name: options.pop(name) for name in names})


if __name__ == "__main__":  # the steps of `tipc` are started so
    seg(prog_name="ccnet-seg")
