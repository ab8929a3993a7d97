"""Names that no training leaves in its metadata: a file with one was made to run code."""

from __future__ import annotations

MODULES = frozenset(
    {
        *("os", "posix", "nt", "subprocess", "pty", "sys", "shutil", "socket", "runpy", "importlib", "imp", "code"),
        *("codeop", "ctypes", "cffi", "marshal", "pickle", "_pickle", "cloudpickle", "dill", "joblib", "webbrowser"),
        *(
            "commands",
            "popen2",
            "platform",
            "asyncio",
            "multiprocessing",
            "threading",
            "signal",
            "pdb",
            "bdb",
            "timeit",
        ),
        *(
            "cProfile",
            "profile",
            "trace",
            "doctest",
            "ensurepip",
            "pip",
            "pydoc",
            "http",
            "urllib",
            "requests",
            "ftplib",
        ),
        "zipimport",
    }
)
"""With all that is in them."""
FUNCTIONS = frozenset(
    {"eval", "exec", "execfile", "compile", "__import__", "open", "file", "input", "breakpoint", "globals", "apply"}
)
"""Of Python itself."""
BUILTINS = frozenset({"builtins", "__builtin__"})


def is_dangerous(name: str) -> bool:
    """Whether a global, `module.name`, runs what it is given, or reaches what does."""
    parts = name.strip("'\"").split(".")
    return parts[0] in MODULES or (parts[0] in BUILTINS and bool(FUNCTIONS & set(parts[1:])))
