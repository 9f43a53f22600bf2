"""CRC-32C of bytes in memory, and of runs laid end to end without reading them again.

The sums come from the C library inside google-crc32c, called by its symbol: the package's own Python functions take
`bytes` only, hold the interpreter lock below 1 MiB, and so would cost a copy of every byte received. A ctypes call
takes any buffer, copies nothing and always releases the lock (8 to 12 GB/s a core).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache

import google_crc32c

Buffer = bytes | bytearray | memoryview

_POLYNOMIAL = 0x82F63B78  # 0x1EDC6F41 with its bits reversed, as the reflected CRC uses it
_CHECK = (b"123456789", 0xE3069283)  # the check value of CRC-32C in RFC 3720's catalogue
_X0 = 1 << 31  # the polynomial 1: in the reflected form the top bit is the coefficient of x^0


def _library_extend() -> Callable[[int, int, int], int] | None:
    """`crc32c_extend(crc, address, length)` of the loaded C library, or None where it cannot be reached."""
    try:
        from google_crc32c import _crc32c

        function = ctypes.CDLL(_crc32c.__file__).crc32c_extend
    except (ImportError, OSError, AttributeError):
        return None
    function.restype = ctypes.c_uint32
    function.argtypes = [ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t]
    probe = ctypes.create_string_buffer(_CHECK[0])
    if function(0, ctypes.addressof(probe), len(_CHECK[0])) != _CHECK[1]:
        return None

    def extend(value: int, address: int, length: int) -> int:
        return int(function(value, address, length))

    return extend


_extend = _library_extend()


def crc32c(data: Buffer, value: int = 0) -> int:
    """The CRC-32C of `data`, continued from `value`, the CRC of what came before.

    A writable buffer is read in place with the interpreter lock released; a read-only memoryview is copied first.
    """
    if isinstance(data, bytes):
        return int(google_crc32c.extend(value, data))
    view = memoryview(data)
    if view.nbytes == 0:
        return value
    if _extend is None or view.readonly or not view.contiguous:
        return int(google_crc32c.extend(value, bytes(view)))
    return _extend(value, ctypes.addressof(ctypes.c_char.from_buffer(view)), view.nbytes)


def combine_crc32c(left: int, right: int, right_length: int) -> int:
    """The CRC-32C of two runs of bytes laid end to end, from their CRCs alone.

    left, right: CRC-32C values, unsigned 32-bit, as GCS gives them after base64.
    right_length: length of the right run, in bytes.

    Cost: about 10 us; the factor of a length that comes again (a shard's) is remembered.
    Source: appending n zero bytes multiplies a CRC by x^(8n) modulo the polynomial, as zlib's crc32_combine_gen does.
    """
    return _multiply(_byte_shift(right_length), left) ^ right


class RunningCrc:
    """The CRC-32C and the length of the bytes seen so far."""

    __slots__ = ("length", "value")

    def __init__(self, value: int = 0, length: int = 0) -> None:
        self.value = value
        self.length = length

    def update(self, data: Buffer) -> None:
        self.value = crc32c(data, self.value)
        self.length += memoryview(data).nbytes

    def append(self, crc: int, length: int) -> None:
        """Lay a run whose CRC is known after what was seen."""
        self.value = combine_crc32c(self.value, crc, length)
        self.length += length


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials modulo the CRC's, all reflected."""
    product = 0
    bit = _X0
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


def _squarings(count: int) -> list[int]:
    """x^(2^0), x^(2^1), ... modulo the polynomial."""
    powers = [_X0 >> 1]
    while len(powers) < count:
        powers.append(_multiply(powers[-1], powers[-1]))
    return powers


_POWERS = _squarings(72)  # enough for the bits of any 64-bit length, in bits


@lru_cache(maxsize=4096)
def _byte_shift(length: int) -> int:
    """x^(8 * length) modulo the polynomial."""
    if length < 0:
        raise ValueError(f"a run cannot be {length} bytes long")
    product = _X0
    power = 3  # a byte is 2^3 bits
    while length:
        if length & 1:
            product = _multiply(_POWERS[power], product)
        length >>= 1
        power += 1
    return product
