"""The time that MIT's gss_accept_sec_context takes for each token of a file: FILE.

The file has tokens, each after its length as a big-endian number of four bytes. Tokens are read before the clock runs.
The library is called through ctypes, which adds about two microseconds to each call.
"""

import ctypes
import sys
import time

LIBRARY = ctypes.CDLL("libgssapi_krb5.so.2")


class Buffer(ctypes.Structure):
    _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_void_p)]


def accept(token):
    minor, context = ctypes.c_uint32(), ctypes.c_void_p()
    name, delegated = ctypes.c_void_p(), ctypes.c_void_p()
    data = Buffer(len(token), ctypes.cast(ctypes.c_char_p(token), ctypes.c_void_p))
    answer = Buffer()
    major = LIBRARY.gss_accept_sec_context(
        ctypes.byref(minor), ctypes.byref(context), None, ctypes.byref(data), None, ctypes.byref(name), None,
        ctypes.byref(answer), None, None, ctypes.byref(delegated)
    )  # fmt: skip
    if major != 0 or answer.length == 0:
        sys.exit("gss_accept_sec_context: 0x%08x, %d" % (major, minor.value))
    LIBRARY.gss_release_buffer(ctypes.byref(minor), ctypes.byref(answer))
    LIBRARY.gss_release_name(ctypes.byref(minor), ctypes.byref(name))
    LIBRARY.gss_delete_sec_context(ctypes.byref(minor), ctypes.byref(context), None)


def tokens(path):
    data = open(path, "rb").read()
    while data:
        length = int.from_bytes(data[:4], "big")
        yield data[4 : 4 + length]
        data = data[4 + length :]


everything = list(tokens(sys.argv[1]))
warm_up = everything[: len(everything) // 10]
for token in warm_up:
    accept(token)
began = time.perf_counter()
for token in everything[len(warm_up) :]:
    accept(token)
print((time.perf_counter() - began) / (len(everything) - len(warm_up)) * 1e6)
