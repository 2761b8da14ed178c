"""The C library: where it is, and what its functions and structures look like. Nothing here knows
what they are for; capi/include/ringway.h says it."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path

EAGAIN = -2
EGONE = -3
EMSGSIZE = -5
ETURN = -7
FIELDS_BYTES_MAX = 8191
RESPOND_BYTES_MAX = 131072
SLOT_BYTES_MAX = 16384
BURST = 32


class RingwayError(Exception):
    """What failed, why, and what mends it."""


class Msg(ctypes.Structure):
    """struct ringway_msg."""

    _fields_ = [
        ("conn", c_uint64),
        ("data", c_void_p),
        ("len", c_uint32),
        ("capacity", c_uint32),
        ("request", c_uint32),
        ("meta", c_uint32),
        ("handle", c_uint64),
        ("kind", c_uint8),
    ]


class Bytes(ctypes.Structure):
    """struct ringway_bytes."""

    _fields_ = [("data", c_void_p), ("len", c_size_t)]

    def copy(self) -> bytes | None:
        """The bytes; None where there is no such thing."""
        return None if self.data is None else ctypes.string_at(self.data, self.len)


class Error(ctypes.Structure):
    """struct ringway_error."""

    _fields_ = [("code", c_int), ("text", c_char * 512)]


_FUNCTIONS = {
    "attach": (c_int, [c_char_p, c_char_p, c_uint32, POINTER(c_void_p), POINTER(Error)]),
    "detach": (None, [c_void_p]),
    "queue_count": (c_int, [c_void_p]),
    "rx_burst": (c_int, [c_void_p, c_uint32, POINTER(Msg), c_uint32]),
    "connect": (c_int, [c_void_p, c_uint32, POINTER(c_uint32)]),
    "alloc": (c_int, [c_void_p, c_uint32, c_uint64, c_uint32, POINTER(Msg)]),
    "alloc_part": (c_int, [c_void_p, c_uint32, POINTER(Msg), c_uint32, POINTER(Msg)]),
    "tx_burst": (c_int, [c_void_p, c_uint32, POINTER(Msg), c_uint32]),
    "release": (c_int, [c_void_p, POINTER(Msg)]),
    "flush": (c_int, [c_void_p]),
    "wait": (c_int, [c_void_p, c_int]),
    "fd": (c_int, [c_void_p]),
    "lifeline_fd": (c_int, [c_void_p]),
    "prepare_sleep": (c_int, [c_void_p]),
    "awake": (c_int, [c_void_p]),
    "is_alive": (c_int, [c_void_p]),
    "has_moved": (c_int, [c_void_p]),
    "strerror": (c_char_p, [c_int]),
    "request_method": (Bytes, [POINTER(Msg)]),
    "request_target": (Bytes, [POINTER(Msg)]),
    "request_header": (Bytes, [POINTER(Msg), c_char_p]),
    "request_fields": (Bytes, [POINTER(Msg)]),
    "request_has_body": (c_int, [POINTER(Msg)]),
    "response_meta": (c_uint32, [c_uint32, c_uint32, c_int]),
    "respond": (
        c_int,
        [c_void_p, c_uint32, POINTER(Msg), c_uint32, c_char_p, c_char_p, c_size_t],
    ),
}


class Library:
    """Its functions, without their ``ringway_``."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, f"ringway_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def check(self, code: int) -> int:
        """The code of a call that went well; else its sentence is raised."""
        if code < 0:
            raise RingwayError(self.strerror(code).decode())  # type: ignore[attr-defined]
        return code


_loaded: Library | None = None


def load() -> Library:
    """Loads it, once."""
    global _loaded
    if _loaded is None:
        beside = Path(__file__).with_name("libringway.so")
        path = os.environ.get("RINGWAY_LIBRARY") or str(beside)
        try:
            _loaded = Library(path)
        except OSError as why:
            raise RingwayError(
                f"cannot load ringway's C library: {why}; build it with scripts/capi.sh, and set "
                f"RINGWAY_LIBRARY to its path, or copy it to {beside}"
            ) from None
    return _loaded
