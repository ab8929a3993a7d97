"""`ccnet-parity doctor`."""

from __future__ import annotations

import json
import sys

import click

from ccnet_cli.common import json_option, reports_errors


@click.command(
    epilog="\b\nExample:\n  ccnet-parity doctor\n"
    "\n\nExit code: 0 comparisons can run, 1 something keeps them from running or from being right."
)
@json_option
@reports_errors()
def doctor(as_json: bool) -> None:
    """Tell versions, device, and whatever else in this installation changes numbers, with a verdict for each."""
    from parity.environment.doctor import examine
    from parity.reports.examination import print_examination

    examination = examine()
    if as_json:
        click.echo(json.dumps(examination.to_json()))
    else:
        print_examination(examination)
    sys.exit(0 if examination else 1)
