"""Where a store lies: bytes under keys, in a folder or behind a URL, through the stores of Zarr."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from deltanet._extras import package

AT_ONCE = 256  # keys that are read or asked for at the same time


class Place:
    """A store of Zarr, whose calls wait for their end.

    Attributes
    ----------
    name : str
        Path or URL, for messages, and to open it again in another process.
    folder : Path or None
        None behind a URL.
    zarr : Store
    """

    def __init__(self, path: str | os.PathLike[str], read_only: bool = False) -> None:
        for module in ("zarr.abc.store", "zarr.buffer", "zarr.core.sync"):
            zarr = package(module, "zarr", "a store")
        # `sync` as xarray and others take it: Zarr has no other door to it
        self._modules, self._wait = zarr, zarr.core.sync.sync
        self.name: str = os.fspath(path)
        self.folder: Path | None = folder(self.name)
        if self.folder is None:
            package("fsspec", "remote", f"a store at {self.name}")
            with naming(self.name):
                self.zarr: Any = zarr.storage.FsspecStore.from_url(self.name, read_only=read_only)
        else:
            self.zarr = zarr.storage.LocalStore(self.folder, read_only=read_only)
        self._buffers = zarr.buffer.default_buffer_prototype()

    def get(self, key: str) -> bytes | None:
        """The bytes of a key, or None."""
        return self.get_all([key])[0]

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        """The bytes of each key, or None."""
        found = self._each("get", [(key,) for key in keys], prototype=self._buffers)
        return [None if each is None else each.to_bytes() for each in found]

    def part(self, key: str, start: int, stop: int) -> NDArray[np.uint8] | None:
        """Some bytes of a key, as far as there are, or None."""
        span = self._modules.abc.store.RangeByteRequest(start, stop)
        (found,) = self._each("get", [(key,)], prototype=self._buffers, byte_range=span)
        return None if found is None else np.asarray(found.as_numpy_array(), np.uint8)

    def sizes(self, keys: Sequence[str]) -> list[int | None]:
        """The length of what lies under each key, or None."""

        async def size(key: str) -> int | None:
            try:
                found: int = await self.zarr.getsize(key)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None
            return found

        return self._all([partial(size, key) for key in keys])

    def put(self, arrays: Mapping[str, NDArray[Any]], beside: str = "") -> None:
        """Write arrays under their keys, in the byte order of a store; see `writing`."""
        with self.writing(arrays, beside) as files:
            for file, array in zip(files, arrays.values(), strict=True):
                file.write(raw(array))

    @contextmanager
    def writing(self, keys: Collection[str], beside: str = "") -> Iterator[list[BinaryIO]]:
        """Files for the bytes of keys, which are there when the block ends without an error.

        In a folder each is written as a file ``{beside}.*.partial`` and renamed: whoever looks sees a whole
        file, or none. Zarr's own way is one call with all bytes at once, which have left the cache by then.
        """
        if self.folder is None:
            memory = [BytesIO() for _ in keys]
            yield list(memory)
            held = (np.frombuffer(each.getbuffer(), np.uint8) for each in memory)
            buffers = map(self._buffers.buffer.from_array_like, held)
            self._each("set", list(zip(keys, buffers, strict=True)))
            return
        first = self.folder / f"{beside}.{secrets.token_hex(4)}"
        paths = [first.with_name(f"{first.name}.{i}.partial") for i in range(len(keys))]
        try:
            first.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                yield [stack.enter_context(open(path, "xb")) for path in paths]
            for path, key in zip(paths, keys, strict=True):
                target = self.folder / key
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
        except BaseException as error:
            for path in paths:
                path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise named(error, self.name) from error
            raise

    def delete(self, key: str) -> None:
        """Remove a key; nothing happens if it is not there."""
        self._each("delete", [(key,)])

    def names(self, key: str) -> list[str]:
        """The names one level below a key."""

        async def listed() -> list[str]:
            return [name async for name in self.zarr.list_dir(key)]

        (found,) = self._all([listed])
        return list(found)

    def array(self, name: str) -> Any:
        """An array as Zarr opens it."""
        return self._modules.open_array(self.zarr, path=name, mode="r")

    def __truediv__(self, key: str) -> Path:
        """The file of a key."""
        assert self.folder is not None
        return self.folder / key

    def _each(self, method: str, calls: Sequence[tuple[Any, ...]], **options: Any) -> list[Any]:
        """The results of a method of Zarr's store."""
        twin = getattr(self.zarr, f"{method}_sync", None)
        if twin is None:
            function = getattr(self.zarr, method)
            return self._all([partial(function, *call, **options) for call in calls])
        with naming(
            self.name
        ):  # newer versions, in a folder: without the way through another thread
            return [twin(*call, **options) for call in calls]

    def _all(self, calls: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
        """The results of calls, some at the same time; an error waits for the end of the others."""
        found: list[Any] = []
        with naming(self.name):
            for start in range(0, len(calls), AT_ONCE):
                found += self._wait(together([call() for call in calls[start : start + AT_ONCE]]))
                for each in found[start:]:
                    if isinstance(each, BaseException):
                        raise each
        return found


async def together(works: Sequence[Awaitable[Any]]) -> list[Any]:
    """The results, or the exceptions, of all."""
    return await asyncio.gather(*works, return_exceptions=True)


def raw(array: NDArray[Any]) -> memoryview:
    """The bytes of an array, little-endian."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def folder(name: str) -> Path | None:
    """The folder that a path or URL names; None if it is behind a URL."""
    if "://" not in name:
        return Path(name)
    if name.startswith("file://"):
        return Path(url2pathname(urlsplit(name).path))
    return None


def named(error: OSError, name: str) -> OSError:
    """An error of the system with the name of the store."""
    if error.errno is None:
        return OSError(f"{name}: {error}")
    return OSError(error.errno, error.strerror, name)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Errors of the system with the name of the store; what a package for URLs raises as one of these."""
    try:
        yield
    except (MemoryError, ImportError):
        raise
    except OSError as error:
        raise named(error, name) from error
    except Exception as error:
        text = " ".join(str(error).split())
        raise OSError(f"{name}: {text} ({type(error).__name__})") from error
