"""Conversion of CCNet checkpoints: plan, then do. NumPy in, NumPy out; no framework is imported."""

from __future__ import annotations

from converter.bridge import from_paddle, to_paddle
from converter.convert import Conversion, convert_file, convert_tensors
from converter.detect import Detection, detect
from converter.difference import Difference, compare_files
from converter.errors import ConverterError, InputError
from converter.execute import TARGET_DTYPES, execute
from converter.files import Checkpoint, Reading, read_checkpoint
from converter.inspect import Inspection, inspect_file
from converter.manifest import restore
from converter.plan import Plan, Step, make_plan

__all__ = [
    "TARGET_DTYPES",
    "Checkpoint",
    "Conversion",
    "ConverterError",
    "Detection",
    "Difference",
    "InputError",
    "Inspection",
    "Plan",
    "Reading",
    "Step",
    "compare_files",
    "convert_file",
    "convert_tensors",
    "detect",
    "execute",
    "from_paddle",
    "inspect_file",
    "make_plan",
    "read_checkpoint",
    "restore",
    "to_paddle",
]
