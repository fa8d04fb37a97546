"""Errors for people: what is wrong, where, and what to do, with the exit code that goes with it."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of ``forja``; documented in ``docs/reference/exit-codes.md``."""

    OK = 0
    INTERNAL = 1
    BAD_INPUT = 2
    CONTROL_FAILED = 3
    HOST_UNREADY = 4
    STAGE_FAILED = 5
    INTERRUPTED = 130


class ForjaError(Exception):
    """An expected problem: shown as one line, with a remedy, and never with a traceback.

    Args:
        message: what is wrong and where (file, key, stage), without a final period.
        hint: what the person can do about it.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class BadInput(ForjaError):
    """What the person gave can't be used: a profile, a site file, an ISO, an option."""

    exit_code = ExitCode.BAD_INPUT


class ControlFailed(ForjaError):
    """The image was built, but a control does not hold on it."""

    exit_code = ExitCode.CONTROL_FAILED


class HostUnready(ForjaError):
    """The build host lacks something: a program, memory, disk space, a kernel facility."""

    exit_code = ExitCode.HOST_UNREADY


class StageFailed(ForjaError):
    """A stage ran and failed: an external program, the installer, the guest."""

    exit_code = ExitCode.STAGE_FAILED
