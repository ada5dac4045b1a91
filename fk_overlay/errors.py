"""One tree of exceptions. Every message says what happened, where, and what to do next."""

from __future__ import annotations


class OverlayError(Exception):
    """Base of every error that fk-overlay raises on purpose; the command line prints it without a traceback."""

    exit_code = 2


class UsageError(OverlayError):
    """Something named on the command line or in a file does not exist or makes no sense."""


class FileError(UsageError):
    """A task, pack, scenario or plan file cannot be read or does not validate."""


class PackError(UsageError):
    """A pack is not what its lock says, may be written by strangers, or does not fit this machine."""


class EngineError(UsageError):
    """The engine is not installed, is of a version nobody described, or cannot be asked for this."""


class ContractError(OverlayError):
    """The target in the installed engine is not the one that the task describes."""

    exit_code = 3


class SeamError(OverlayError):
    """A patch cannot be put in place in this process."""

    exit_code = 3


class LaunchError(OverlayError):
    """An engine process did not start, died, or stopped answering.

    Attributes:
        state: ``crashed``, ``hung`` or ``refused``.
        log: the last lines that the engine wrote.
    """

    exit_code = 3

    def __init__(self, message: str, *, state: str = "crashed", log: str = "") -> None:
        super().__init__(message)
        self.state = state
        self.log = log


class NotEngaged(LaunchError):
    """A process that should run the patch has not proved that it does."""

    def __init__(self, message: str) -> None:
        super().__init__(message, state="not_engaged")


class ArmFailed(LaunchError):
    """One arm of a bench ended, hung, or said what it cannot mean.

    Attributes:
        guard: the guard that noticed; empty where there was nothing to guard.
    """

    def __init__(self, message: str, *, state: str = "crashed", log: str = "", guard: str = "") -> None:
        super().__init__(message, state=state, log=log)
        self.guard = guard


class RecordError(OverlayError):
    """A run's record is missing, damaged, or belongs to another run."""
