"""What can go wrong, by what the reader of the message should do about it."""

from __future__ import annotations


class GlmbenchError(Exception):
    """An error with a message for the person at the terminal: what was got, what was wanted, what to do."""


class UsageError(GlmbenchError):
    """The request itself cannot be understood: an unknown task, a malformed model reference. Exit code 2."""


class DataError(GlmbenchError):
    """A file is there but is not what its card says: wrong checksum, truncated archive, missing column."""


class Unsupported(GlmbenchError):
    """A combination that cannot be run, and is not a failure: `evaluation.run` records it as a `Skip`."""


class MissingData(Unsupported):
    """Files that are not in the cache and could not be fetched; the message holds the command that gets them."""
