"""Text files that people and tools have written: lists of stems, class names, colors."""

import codecs
import os
from pathlib import Path

_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def read_text(path: str | os.PathLike, fallback: str | None = None) -> str:
    """Reads a text file in UTF-8 or UTF-16, as editors and shells of all systems write them.

    A byte order mark is recognized and dropped. UTF-16 without one is recognized by its zero
    bytes, which no other text has.

    Args:
        path: Path of the file.
        fallback: Encoding of files that are neither, such as `"cp1252"`; they are refused by
            default, because a wrong guess changes the names in them.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it has another encoding; the message names the line and the remedy.
    """
    data = Path(path).read_bytes()
    encoding = "utf-8"
    for mark, of_mark in _BOMS.items():
        if data.startswith(mark):
            data, encoding = data[len(mark) :], of_mark
            break
    else:
        if b"\0" in data[:1000]:
            encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if fallback is not None:
            return data.decode(fallback, errors="replace")
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"The text of {path} is not in UTF-8 (line {line}). Save it in this encoding, for "
            f"example with `iconv -f WINDOWS-1252 -t UTF-8`. Received: {str(path)!r}"
        ) from error
