"""The CCNet twin in Paddle: the same files, classes and names as `models_torch`."""

from __future__ import annotations

import contextlib
import io
import signal
import threading
import zlib

# The CPU wheel of Paddle 2.6 exports zlib's symbols and breaks the interpreter's zlib, and so PNG
# reading, if it is loaded first.
zlib.crc32(b"")

# With more than one thread, Paddle prints advice about clusters to standard error.
with contextlib.redirect_stderr(io.StringIO()):
    import paddle

# Paddle takes over the signals: a terminated command would die in its crash report, not clean up.
_terminate = signal.getsignal(signal.SIGTERM)
paddle.disable_signal_handler()
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, _terminate)

from models_paddle.ccnet import CCNet, build_ccnet
from models_paddle.weights import build_uninitialised, load_weights

__all__ = ["CCNet", "build_ccnet", "build_uninitialised", "load_weights", "paddle"]
