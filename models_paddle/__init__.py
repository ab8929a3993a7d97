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

# Paddle takes over the signals while it is imported: a command that is ended then would die in its crash report, or at
# once, and not clean up. One that comes meanwhile waits until their handlers are back.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_handlers = {number: signal.getsignal(number) for number in _SIGNALS}
_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
try:
    # With more than one thread, Paddle prints advice about clusters to standard error.
    with contextlib.redirect_stderr(io.StringIO()):
        import paddle

    paddle.disable_signal_handler()
    if threading.current_thread() is threading.main_thread():
        for _number, _handler in _handlers.items():
            signal.signal(_number, _handler)
finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask)

from models_paddle.ccnet import CCNet, build_ccnet
from models_paddle.weights import build_uninitialised, load_weights

__all__ = ["CCNet", "build_ccnet", "build_uninitialised", "load_weights", "paddle"]
