"""Every error this package raises for what a caller, a file or a machine can do wrong.

    CodecError
    ├── ConfigError        a value is out of range                          (also ValueError)
    ├── AudioError         audio that cannot be read, written or coded      (also ValueError)
    │   └── InputError           a file that cannot be opened, whatever it would hold
    ├── ArtifactError      a model folder that is missing, damaged or foreign
    │   └── ParityError          it does not compute what its model does
    ├── OutputError        an output that exists already or cannot be written
    ├── LimitError         more than a server takes from one client, or at once
    ├── TrainingError      a training run that cannot go on
    └── BitstreamError     a .nac file that cannot be decoded
        ├── BadMagic             not a .nac file
        ├── UnsupportedVersion   a .nac file of a newer format
        ├── Truncated            the file ends too early
        ├── ChecksumMismatch     bytes were changed after writing
        ├── InvalidField         a field holds a value that the format forbids
        ├── CodesMismatch        entropy-coded bytes that do not give the codes they were made of
        └── ModelMismatch        the file was made by another model

Warnings, for audio that is taken all the same:

    AudioWarning           (a UserWarning)
    ├── IncompleteAudio    sound is missing from a file: it was cut, damaged or joined badly
    └── LoudAudio          floats go beyond full scale

A message says what was got, what was expected and what to do; the command line prints it on one line and exits with 1.
"""


class CodecError(Exception):
    """Root of all errors of this package."""


class ConfigError(CodecError, ValueError):
    """A value is out of range or unknown."""


class AudioError(CodecError, ValueError):
    """Audio that cannot be read, written or coded."""


class InputError(AudioError):
    """A file that cannot be opened, whatever it would hold."""


class AudioWarning(UserWarning):
    """Audio that is taken, but is not as it should be."""


class IncompleteAudio(AudioWarning):
    """Sound is missing from a file: at its end, which was cut off, or inside; what is there is taken."""


class LoudAudio(AudioWarning):
    """Float audio goes beyond full scale; it is taken as it is, and comes back limited to full scale."""


class ArtifactError(CodecError):
    """A model folder that is missing, damaged or foreign."""


class ParityError(ArtifactError):
    """An exported model that does not compute what the trained one does."""


class OutputError(CodecError):
    """An output that exists already or cannot be written."""


class LimitError(CodecError):
    """More than a server takes from one client, or from all at once."""


class TrainingError(CodecError):
    """A training run that cannot go on."""


class BitstreamError(CodecError):
    """A .nac file that cannot be decoded."""


class BadMagic(BitstreamError):
    """The bytes are not a .nac file."""


class UnsupportedVersion(BitstreamError):
    """The file has a format version that this release does not read."""


class Truncated(BitstreamError):
    """The file ends before its end record."""


class ChecksumMismatch(BitstreamError):
    """Bytes of the file were changed after writing."""


class InvalidField(BitstreamError):
    """A field holds a value that the format forbids."""


class CodesMismatch(BitstreamError):
    """The bytes of a packet are whole, yet do not decode to the codes that their encoder summed up."""


class ModelMismatch(BitstreamError):
    """The file was made by another model than the one that is loaded."""
