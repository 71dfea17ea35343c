"""A file system of Beam that is no local one: objects in the memory of this process."""

import io
import itertools

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem


class MemoryFileSystem(FileSystem):
    """Files whose paths start with `memory://`, without folders."""

    FILES: dict = {}
    CLOCK = itertools.count(1)

    @classmethod
    def scheme(cls):
        return "memory"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def mkdirs(self, path):
        raise NotImplementedError

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path in list(self.FILES):
            if path.startswith(dir_or_prefix):
                yield self.metadata(path)

    def create(self, path, mime_type="application/octet-stream", compression_type="auto"):
        return _Writer(path)

    def open(self, path, mime_type="application/octet-stream", compression_type="auto"):
        return io.BytesIO(self._content(path))

    def copy(self, source_file_names, destination_file_names):
        raise NotImplementedError

    def rename(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            self.FILES[destination] = self.FILES.pop(source)

    def exists(self, path):
        return path in self.FILES

    def size(self, path):
        return len(self._content(path))

    def last_updated(self, path):
        return self.FILES[path][1]

    def checksum(self, path):
        raise NotImplementedError

    def metadata(self, path):
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths):
        for path in paths:
            self.FILES.pop(path, None)

    def _content(self, path):
        if path not in self.FILES:
            raise BeamIOError(f"no such object: {path}")
        return self.FILES[path][0]


class _Writer(io.BytesIO):
    """An object appears when its writer is closed, as those of object stores do."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def close(self):
        if not self.closed:
            MemoryFileSystem.FILES[self.path] = (self.getvalue(), next(MemoryFileSystem.CLOCK))
        super().close()
