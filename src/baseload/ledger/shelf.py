"""Where the files of a lake stand: a folder, or an object store by its address. Acts.

Nothing that stands there is ever changed. A file comes whole or not at all; of two that make the same one, one is told
that it was second. On those two promises alone the lake rests, and S3, its like and a folder all keep them.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from baseload.errors import BadConfig, LedgerUnavailable
from baseload.ledger.flush import flush

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DRAFT = ".draft"
_MAGIC = re.compile(r"[*?\[\]{}]")
_PIECE_BYTES = 1 << 20
_SPACE = "See that there is room, and that you may write there."
_REACH = "See that the address is right and answers, and that its credentials are in the environment."


class Shelf(ABC):
    """Files by their paths, as in `manifest/00000000.json`. `name` is where they are, for a message."""

    name: str

    @abstractmethod
    def address(self, path: str) -> str:
        """A file's name for an engine that reads it."""

    @abstractmethod
    def put(self, path: str, source: Path) -> None:
        """Copy a file there, whole and durably. Raises LedgerUnavailable."""

    @abstractmethod
    def create(self, path: str, data: bytes) -> bool:
        """Write a small file, whole and durably; False when there is one already. Raises LedgerUnavailable."""

    @abstractmethod
    def read(self, paths: Sequence[str]) -> list[bytes]:
        """What small files hold. Raises LedgerUnavailable."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """The names of the files right in a folder, in order; none where there is no such folder."""

    @abstractmethod
    def under(self, folder: str) -> list[str]:
        """The paths of all files anywhere below a folder."""

    @abstractmethod
    def digest(self, path: str) -> str:
        """The SHA-256 of a file. Raises LedgerUnavailable."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Take a file away, if it is there. Raises LedgerUnavailable."""

    @abstractmethod
    def join(self, connection: DuckDBPyConnection) -> None:
        """Let a database read what stands here."""


def shelf_at(address: str) -> Shelf:
    """The place that a path or an address names. Raises BadConfig."""
    parts = urlsplit(address)
    if "://" not in address:
        return Folder(Path(address).expanduser())
    if parts.scheme == "file":
        return Folder(Path(unquote(parts.path)))
    return Bucket(address)


class Folder(Shelf):
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.name = str(self.folder)

    def address(self, path: str) -> str:
        return str(self.folder / path)

    def put(self, path: str, source: Path) -> None:
        with self._drafted(path) as draft:
            shutil.copyfile(source, draft)
            flush(draft)
            draft.rename(self.folder / path)

    def create(self, path: str, data: bytes) -> bool:
        with self._drafted(path) as draft:
            draft.write_bytes(data)
            flush(draft)
            try:
                os.link(draft, self.folder / path)
            except FileExistsError:
                return False
        return True

    def read(self, paths: Sequence[str]) -> list[bytes]:
        try:
            return [(self.folder / path).read_bytes() for path in paths]
        except OSError as error:
            raise _unreadable(error) from error

    def names(self, folder: str) -> list[str]:
        try:
            found = [path.name for path in (self.folder / folder).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _unreadable(error) from error
        return sorted(name for name in found if not name.endswith(DRAFT))

    def under(self, folder: str) -> list[str]:
        there = (self.folder / folder).rglob("*")
        return sorted(str(path.relative_to(self.folder)) for path in there if path.is_file())

    def digest(self, path: str) -> str:
        try:
            with (self.folder / path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(error) from error

    def remove(self, path: str) -> None:
        try:
            (self.folder / path).unlink(missing_ok=True)
        except OSError as error:
            raise LedgerUnavailable(f"{error.filename} cannot be removed: {error.strerror}", remedy=_SPACE) from error

    def join(self, connection: DuckDBPyConnection) -> None:
        """It reads files of this machine by itself."""

    @contextmanager
    def _drafted(self, path: str) -> Iterator[Path]:
        """A file of another name, that is gone in the end; what was made of it outlasts a power cut."""
        target = self.folder / path
        draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}{DRAFT}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield draft
            flush(target.parent)
        except OSError as error:
            raise LedgerUnavailable(f"{target} cannot be written: {error.strerror}", remedy=_SPACE) from error
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


class Bucket(Shelf):
    """An object store, through fsspec: `s3://bucket/prefix` and whatever else a package of it is installed for.

    Credentials, region and endpoint come from where its package takes them, as AWS_* of the environment.
    """

    def __init__(self, address: str) -> None:
        self.name = _bare(address)
        if _MAGIC.search(address):
            raise BadConfig(
                f"the lake's address {self.name} holds a character of patterns", remedy="Use none of * ? [ ] { } in it."
            )
        self._files: Any = _files_of(address)
        self._scheme, _, rest = address.partition("://")
        self._prefix = f"{rest.strip('/')}/"

    def address(self, path: str) -> str:
        return f"{self._scheme}://{self._prefix}{path}"

    def put(self, path: str, source: Path) -> None:
        with self._reaching(f"{self.address(path)} cannot be written", _SPACE):
            self._files.put_file(str(source), self.address(path))

    def create(self, path: str, data: bytes) -> bool:
        with self._reaching(f"{self.address(path)} cannot be written", _SPACE):
            try:
                self._files.pipe_file(self.address(path), data, mode="create")
            except FileExistsError:
                return False
        return True

    def read(self, paths: Sequence[str]) -> list[bytes]:
        every = [self.address(path) for path in paths]
        with self._reaching(f"{self.name} cannot be read", _REACH):
            found: list[bytes] = self._files.cat_ranges(every, None, None, on_error="raise") if every else []
        return found

    def names(self, folder: str) -> list[str]:
        with self._reaching(f"{self.name} cannot be read", _REACH):
            try:
                found = self._files.ls(self.address(folder), detail=False)
            except FileNotFoundError:
                return []
        return sorted(str(each).rpartition("/")[2] for each in found)

    def under(self, folder: str) -> list[str]:
        start = len(str(self._files._strip_protocol(self.address("x")))) - 1  # noqa: SLF001
        with self._reaching(f"{self.name} cannot be read", _REACH):
            try:
                return sorted(str(each)[start:] for each in self._files.find(self.address(folder)))
            except FileNotFoundError:
                return []

    def digest(self, path: str) -> str:
        made = hashlib.sha256()
        with (
            self._reaching(f"{self.address(path)} cannot be read", _REACH),
            self._files.open(self.address(path), "rb", block_size=_PIECE_BYTES) as file,
        ):
            while piece := file.read(_PIECE_BYTES):
                made.update(piece)
        return made.hexdigest()

    def remove(self, path: str) -> None:
        with self._reaching(f"{self.address(path)} cannot be removed", _REACH), suppress(FileNotFoundError):
            self._files.rm_file(self.address(path))

    def join(self, connection: DuckDBPyConnection) -> None:
        connection.register_filesystem(self._files)

    @contextmanager
    def _reaching(self, what: str, remedy: str) -> Iterator[None]:
        """Whatever a package of an object store raises, and each has its own, is that it could not be reached."""
        try:
            yield
        except LedgerUnavailable:
            raise
        except Exception as error:
            raise LedgerUnavailable(f"{what}: {str(error) or type(error).__name__}", remedy=remedy) from error


def _files_of(address: str) -> Any:  # noqa: ANN401 (an AbstractFileSystem of fsspec, which may not be installed)
    """What reads and writes at an address."""
    scheme = address.partition("://")[0]
    try:
        import fsspec
    except ImportError as error:
        raise BadConfig(
            f"a lake at {scheme}:// needs fsspec, which is not installed", remedy="pip install 'baseload[lake]'"
        ) from error
    try:
        return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        raise BadConfig(
            f"a lake cannot be at {scheme}://: {error}", remedy="Install the package of that store, as s3fs for s3://."
        ) from error


def _bare(address: str) -> str:
    """An address without what may be a password in it."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].rstrip('/')}"


def _unreadable(error: OSError) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"{error.filename} cannot be read: {error.strerror}", remedy="See what is missing: baseload ledger verify."
    )
