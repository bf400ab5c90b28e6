"""The taxonomy of what can go wrong, and the exit status of each class.

A message says what happened; a hint says what the reader can do. Drivers and stations raise these and keep the cause
(``raise … from err``); only ``cli/main.py`` turns them into an exit status. Numbers are duplicity's error numbers
(docs/cli.md, exit statuses): they stand in the machine-readable ``ERROR n`` record and end the run.
"""

from __future__ import annotations


class TarragonError(Exception):
    """Anything that ends an operation in a way we foresaw.

    ``exit_code`` is the status the process ends with; ``fields`` are the extra words of the ``ERROR`` record.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields


class UserError(TarragonError):
    """The command line, a URL or a profile cannot work as given."""

    exit_code = 23


class BadOption(UserError):
    """An option that does not exist, lacks a value, or has one that cannot be read."""


class AmbiguousOption(BadOption):
    """A shortened option that could mean several."""

    exit_code = 2


class BadURL(UserError):
    """A URL that breaks the grammar of docs/cli.md."""


class UnknownScheme(UserError):
    """A URL scheme for which nothing is installed; the hint names the package."""


class Locked(UserError):
    """Another run holds the lock; the message names it."""


class SelectionError(UserError):
    """A file selection that cannot work; ``number`` is duplicity's (14, 15, 16, 70 to 73)."""

    def __init__(self, message: str, *, number: int, hint: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint, fields=fields)
        self.exit_code = number


class RestoreTargetNotEmpty(UserError):
    """The folder to restore into exists and is not empty."""

    exit_code = 11


class HostMismatch(UserError):
    """The last manifest was written on another host."""

    exit_code = 3


class SourceMismatch(UserError):
    """The last manifest was made from another source folder."""

    exit_code = 42


class NotInBackup(UserError):
    """The path to restore is not in the backup at that time."""

    exit_code = 19


class NothingRestored(UserError):
    """The backup holds nothing that could be restored."""

    exit_code = 20


class PluginError(TarragonError):
    """A plugin is broken, was made for another core, or two claim the same name."""

    exit_code = 1


class MissingPackage(PluginError):
    """A library that a plugin needs is not installed."""

    exit_code = 50


class BackendError(TarragonError):
    """The far side did not do what was asked, and asking again will not help."""

    exit_code = 50


class PermissionDenied(BackendError):
    """Credentials or rights are missing."""

    exit_code = 51


class NotFound(BackendError):
    """The object, or the place that holds the objects, is not there."""

    exit_code = 52


class OutOfSpace(BackendError):
    """No room, or no quota, is left at the far side."""

    exit_code = 53


class ColdObject(BackendError):
    """The object must be warmed up before it can be read."""


class Unsupported(BackendError):
    """The backend cannot do this at all."""

    exit_code = 33


class Transient(BackendError):
    """A failure that may pass; ``retry_after`` is the far side's own wish in seconds, ``overloaded`` its complaint."""

    def __init__(
        self, message: str, *, hint: str = "", retry_after: float | None = None, overloaded: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.overloaded = overloaded


class SourceError(TarragonError):
    """The source tree, or local storage (cache, state, temporary folder, restore target), refused an operation."""

    exit_code = 30


class NoTempSpace(TarragonError):
    """The temporary folder cannot hold the volumes that will be under way."""

    exit_code = 35


class OpenFileLimit(TarragonError):
    """The system lets this process open too few files."""

    exit_code = 37


class IntegrityError(TarragonError):
    """Stored bytes are not what they claim to be."""

    exit_code = 21


class HashMismatch(IntegrityError):
    """An object's hash differs from the one the manifest records."""


class WrongSize(IntegrityError):
    """An object's size differs from what was stored."""

    exit_code = 44


class ValidationFailed(IntegrityError):
    """What was uploaded could not be validated at the far side."""

    exit_code = 56


class Malformed(IntegrityError):
    """Bytes that break the grammar of their format: tar, gzip, manifest, signature, delta, name."""


class CipherError(TarragonError):
    """The cipher program failed, or its input cannot be opened."""

    exit_code = 31


class WrongKey(CipherError):
    """Passphrase or secret key do not open this, or a key to encrypt to is missing."""


class BadSignature(CipherError):
    """Not signed, or not by the key that was asked for."""

    exit_code = 22


class CollectionError(TarragonError):
    """The sets at the target do not allow what was asked."""

    exit_code = 30


class NoManifest(CollectionError):
    """A set has no manifest."""

    exit_code = 4


class MismatchedManifests(CollectionError):
    """Manifests that should be the same are not."""

    exit_code = 5


class IncrementalWithoutSignatures(CollectionError):
    """An incremental was asked for, and there are no usable signatures."""

    exit_code = 17


class MissingVolume(CollectionError):
    """A volume that a manifest names is not at the target."""

    exit_code = 1


class Interrupted(TarragonError):
    """The user, or a signal, stopped the run."""

    exit_code = 4
