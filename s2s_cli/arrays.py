"""NumPy archives from places that need not be trusted: no pickle, sizes checked first."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy


def load_arrays(path: Path, most_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name, read-only.

    Raises OSError where it cannot be opened, ValueError where it is damaged, holds
    objects, or would take more than `most_bytes` of memory; that is found out before
    the memory is asked for.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                size = sum(member.file_size for member in archive.infolist())
                if size > most_bytes:
                    raise ValueError(f"it holds {size} bytes, where {most_bytes} are the most")
                return {
                    member.filename.removesuffix(".npy"): _array(archive.read(member))
                    for member in archive.infolist()
                }
        except (OSError, ValueError, MemoryError):
            raise
        except Exception as error:  # a damaged archive raises a dozen kinds of them
            raise ValueError(f"it is damaged: {error}") from None


def _array(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    if npy.read_magic(stream) != (1, 0):
        raise ValueError("an array in it is of another format")
    shape, is_fortran, dtype = npy.read_array_header_1_0(stream)
    left = len(content) - stream.tell()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != left:
        raise ValueError("an array in it is not as large as it says")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C")
