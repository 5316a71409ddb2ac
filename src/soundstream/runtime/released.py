"""Models of earlier releases, whose files may still be met."""

RELEASED = {
    "e6b9be14f5facc1b": "`base` before release 0.2.0, of commit 7053d00",
    "b66ff4f7941218d6": "`base` before release 0.2.0, of commit 1a4af39",
    "649414333f10b24f": "`base` before release 0.2.0, of commit cd457d4",
    "3628be412583d0c4": "`seanet` of release 0.1.0",
    "c3f89d3687721975": "`light` of release 0.1.0",
    "6d960e3893802763": "`light` before release 0.1.0, of commit b3a7241",
    "8fc1e718817c680f": "`light` before release 0.1.0, of commit 8c931cf",
}
"""Models that the package had once, by id in hexadecimal: files made with them still say so."""


def describe(model_id: bytes) -> str:
    """A model id in words: the number, and which model of which release it was if it ever shipped."""
    name = RELEASED.get(model_id.hex())
    return f"model {model_id.hex()}" + (f" ({name})" if name else "")
