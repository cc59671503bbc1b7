"""An HDF5 file that is being written, on a disk that may get full.

HDF5 does not outlive a write that fails: its caches keep what they could not get rid of, and closing the file ends the process.
So it writes through us. From the first failure on it is told that all is well, what it writes stays in memory, and once it has
closed the file the failure is raised.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import h5py


class OutputFile(h5py.File):  # type: ignore[misc] # h5py has no types
    """A file to write, as ``h5py.File``; leaving the block raises ``OSError`` if anything could not be written."""

    def __init__(self, path: Path, mode: Literal["w", "r+"] = "w") -> None:
        self._shelter = _Shelter(path, mode) if hasattr(os, "pwrite") else None  # Windows goes without
        try:
            super().__init__(self._shelter or path, mode)
        except BaseException:
            if self._shelter is not None:
                self._shelter.close()
            raise

    def require_written(self) -> None:
        """Ask at times, to stop early rather than to compute what finds no place.

        Raises:
            OSError: something could not be written.
        """
        if self._shelter is not None and self._shelter.fault is not None:
            raise self._shelter.fault

    def __exit__(self, *error: object) -> None:
        try:
            super().__exit__(*error)
        finally:
            if self._shelter is not None:
                self._shelter.close()
        self.require_written()


class _Shelter:
    """A file as HDF5's driver for Python objects wants it."""

    def __init__(self, path: Path, mode: Literal["w", "r+"]) -> None:
        self.fault: OSError | None = None
        self._file = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_TRUNC if mode == "w" else 0), 0o666)
        self._at, self._end = 0, os.fstat(self._file).st_size
        self._kept: list[tuple[int, bytes]] = []  # since the failure, in order

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, content: Any) -> int:
        whole = memoryview(content).cast("B")
        done = 0
        try:
            while self.fault is None and done < len(whole):
                done += os.pwrite(self._file, whole[done:], self._at + done)
        except OSError as err:
            self.fault = err
        if done < len(whole):
            self._kept.append((self._at + done, bytes(whole[done:])))
        self._at += len(whole)
        self._end = max(self._end, self._at)
        return len(whole)

    def read(self, size: int) -> bytes:  # h5py takes what can read and seek for a file
        content = bytearray(size)
        self.readinto(content)
        return bytes(content)

    def readinto(self, target: Any) -> int:
        into = memoryview(target).cast("B")
        into[:] = bytes(len(into))
        done = 0
        while done < len(into) and (got := os.pread(self._file, len(into) - done, self._at + done)):
            into[done : done + len(got)] = got
            done += len(got)
        for first, content in self._kept:
            begin, end = max(first, self._at), min(first + len(content), self._at + len(into))
            if begin < end:
                into[begin - self._at : end - self._at] = content[begin - first : end - first]
        self._at += len(into)
        return len(into)

    def truncate(self, size: int) -> int:
        try:
            os.ftruncate(self._file, size)
        except OSError as err:
            self.fault = self.fault or err
        self._end = size
        return size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        if self._file >= 0:
            file, self._file = self._file, -1
            try:
                os.close(file)
            except OSError as err:  # quotas, and file systems over a network
                self.fault = self.fault or err
