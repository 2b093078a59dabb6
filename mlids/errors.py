"""Every error a person can act on, as one small tree.

    MlidsError
    ├── InputError            what was handed over cannot be used
    │   ├── NotAZeekLogError  the file is not a Zeek log at all
    │   └── NoRowsError       it is, but there is nothing in it to work on
    ├── SettingsError         a setting is missing or out of its range
    ├── SourceError           a sensor or folder could not be read
    │   ├── HostKeyError      the sensor's host key is unknown or has changed
    │   ├── AuthError         the sensor refused the key or password
    │   └── UnsafeNameError   a remote name tried to leave the landing folder
    ├── StoreError            the lake, registry or a sink refused
    │   ├── DeniedError       a sink does not let these credentials write
    │   └── ModelError        the model is missing, damaged or of another feature version
    │       └── OtherFeaturesError  it is whole, but was made for other features than this installation has
    └── StackError            a part of the local stack did not start or a step failed

Messages say what, where, and what to do. The command line prints them without a traceback. No message holds the
password of a URL.
"""

from __future__ import annotations

import errno

from mlids.text import redact

_TO_DO = {
    errno.ENOSPC: "the disk is full; free some space, then run again",
    errno.EDQUOT: "the disk quota is used up; raise it or free some space, then run again",
    errno.EFBIG: "the file would be larger than this account or file system allows; raise the limit, then run again",
    errno.EACCES: "this account has no permission; give it access, or run as the owner",
    errno.EPERM: "this account has no permission; give it access, or run as the owner",
    errno.EROFS: "the file system is read-only; mount it writable, or set MLIDS_HOME elsewhere",
    errno.ENOTDIR: "a file is where a folder is needed; move the file away",
    errno.EEXIST: "a file is where a folder is needed; move the file away",
    errno.EISDIR: "a folder is where a file is needed; move the folder away",
    errno.ENOENT: "it does not exist; was it moved or removed meanwhile?",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n), then run again",
    errno.EIO: "the disk reports an error; check it, then run again",
}


def os_fault(error: OSError, where: object = None) -> str:
    """Return where an error of the operating system occurred (by default its file), what it is, and what to do."""
    path = where if where is not None else error.filename
    words = _TO_DO.get(error.errno or 0) or error.strerror or str(error)
    if error.errno == errno.EIO and error.strerror:
        words = f"{error.strerror}: {words}"
    return f"{path}: {words}" if path is not None else words


class MlidsError(Exception):
    """Base of all errors that carry a message for a person; `exit_code` is the command line's."""

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(redact(a) if isinstance(a, str) else a for a in args))


class InputError(MlidsError):
    """What was handed over cannot be used."""

    exit_code = 2


class NotAZeekLogError(InputError):
    """The file is not a Zeek log in any known form."""


class NoRowsError(InputError):
    """There is nothing to work on."""


class SettingsError(MlidsError):
    """A setting is missing or out of its range."""

    exit_code = 2


class SourceError(MlidsError):
    """A sensor or a folder could not be read."""

    exit_code = 3


class HostKeyError(SourceError):
    """The sensor's host key is unknown or has changed."""


class AuthError(SourceError):
    """The sensor refused every credential that was offered."""


class UnsafeNameError(SourceError):
    """A remote name would have left the landing folder."""


class StoreError(MlidsError):
    """The lake, the registry or an alert sink refused."""

    exit_code = 4


class DeniedError(StoreError):
    """A sink does not let these credentials write: it takes nothing until a person changes that."""


class ModelError(StoreError):
    """The model is missing, damaged, or made for other features."""


class OtherFeaturesError(ModelError):
    """The model is whole, but was made for other features than this installation has."""


class StackError(MlidsError):
    """A part of the local stack did not start, or a step of the demo failed."""

    exit_code = 5
