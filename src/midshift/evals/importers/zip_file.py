"""The members of a ZIP file whose members may be compressed with zstd (method 93), which Python reads from 3.14 on.

Bounded against archives that unfold: by member, and by all of them together. Names are only compared, never opened as
paths. Sources: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header) and 4.4.5 (methods).
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from midshift.errors import InputError

try:
    import zstandard
except ImportError:  # the extra `inspect`
    zstandard = None  # type: ignore[assignment]

LARGEST_MEMBER = 64 << 20
LARGEST_WHOLE = 2 << 30
MOST_MEMBERS = 400_000
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


@dataclass(slots=True)
class Archive:
    """An archive in memory; `unfolded` is what its members came to so far."""

    name: str
    data: bytes
    members: dict[str, zipfile.ZipInfo] = field(default_factory=dict)
    unfolded: int = 0

    @classmethod
    def of(cls, name: str, data: bytes) -> Archive:
        """Read the directory of an archive.

        Raises:
            InputError: if it is none, or has too many members.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError, EOFError) as error:
            raise InputError(f"{name}: not a ZIP archive that can be read: {error}") from None
        if len(infos) > MOST_MEMBERS:
            raise InputError(f"{name}: {len(infos):,} members, expected at most {MOST_MEMBERS:,}")
        return cls(name, data, {info.filename: info for info in infos})

    def names(self, folder: str, ending: str) -> Iterator[str]:
        """The members below a folder, in the archive's order."""
        return (name for name in self.members if name.startswith(folder) and name.endswith(ending))

    def read(self, member: str) -> bytes:
        """What a member holds.

        Raises:
            InputError: for one that is not there, too large, or damaged.
        """
        info = self.members.get(member)
        if info is None:
            raise InputError(f"{self.name}: no {member} in it, expected the log of an eval that has begun")
        if info.flag_bits & 1:
            raise InputError(f"{self.name}: {member} is encrypted")
        held = self._packed(info, member)
        try:
            found = self._unpacked(info.compress_type, held, member)
        except (zlib.error, EOFError) as error:
            raise InputError(f"{self.name}: {member} is damaged: {error}") from None
        self.unfolded += len(found)
        if len(found) > LARGEST_MEMBER or self.unfolded > LARGEST_WHOLE:
            raise InputError(f"{self.name}: {member} unfolds to more than midshift reads, expected a log of an eval")
        if zlib.crc32(found) != info.CRC:
            raise InputError(f"{self.name}: {member} is damaged: its checksum does not fit")
        return found

    def _packed(self, info: zipfile.ZipInfo, member: str) -> bytes:
        try:
            header = _LOCAL_HEADER.unpack_from(self.data, info.header_offset)
        except struct.error:
            raise InputError(f"{self.name}: {member} lies outside of the file") from None
        if header[0] != b"PK\x03\x04":
            raise InputError(f"{self.name}: {member} has no header")
        start = info.header_offset + _LOCAL_HEADER.size + header[9] + header[10]
        return self.data[start : start + info.compress_size]

    def _unpacked(self, method: int, held: bytes, member: str) -> bytes:
        match method:
            case 0:
                return held
            case 8:
                return zlib.decompressobj(-zlib.MAX_WBITS).decompress(held, LARGEST_MEMBER + 1)
            case 93:
                return self._from_zstd(held, member)
            case _:
                raise InputError(f"{self.name}: {member} is compressed by method {method}, expected 0, 8 or 93")

    def _from_zstd(self, held: bytes, member: str) -> bytes:
        if zstandard is None:
            raise InputError(
                f"{self.name}: its members are compressed with zstd, and zstandard is not installed. "
                "Type next: pip install 'midshift[inspect]'"
            )
        try:
            with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
                held, read_across_frames=True
            ) as stream:
                return stream.read(LARGEST_MEMBER + 1)
        except zstandard.ZstdError as error:
            raise InputError(f"{self.name}: {member} is damaged: {error}") from None
