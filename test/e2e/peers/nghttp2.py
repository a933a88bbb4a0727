"""The part of libnghttp2 that the judges need, by ctypes: sessions fed with octets, and the inflater by itself."""

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_int32, c_size_t, c_ssize_t, c_uint8, c_uint32, c_void_p

library = ctypes.CDLL("libnghttp2.so.14")

DATA, HEADERS = 0, 1
REQUEST, RESPONSE, PUSH_RESPONSE, LATER = range(4)
END_STREAM = 1
ENABLE_PUSH, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE = 2, 3, 6
NEVER_INDEXED = 1
INFLATE_FINAL, INFLATE_EMIT = 1, 2


class NameValue(Structure):
    _fields_ = [
        ("name", POINTER(c_uint8)),
        ("value", POINTER(c_uint8)),
        ("name_length", c_size_t),
        ("value_length", c_size_t),
        ("flags", c_uint8),
    ]


class Setting(Structure):
    _fields_ = [("id", c_int32), ("value", c_uint32)]


class FrameHeader(Structure):
    _fields_ = [("length", c_size_t), ("stream_id", c_int32), ("type", c_uint8), ("flags", c_uint8), ("reserved", c_uint8)]


class Priority(Structure):
    _fields_ = [("stream_id", c_int32), ("weight", c_int32), ("exclusive", c_uint8)]


class Headers(Structure):
    """A frame, as far as HEADERS go: every other kind has at least the same head."""

    _fields_ = [
        ("head", FrameHeader),
        ("pad_length", c_size_t),
        ("priority", Priority),
        ("fields", POINTER(NameValue)),
        ("field_count", c_size_t),
        ("category", c_int),
    ]


OnFrame = CFUNCTYPE(c_int, c_void_p, POINTER(Headers), c_void_p)
OnField = CFUNCTYPE(c_int, c_void_p, POINTER(Headers), c_void_p, c_size_t, c_void_p, c_size_t, c_uint8, c_void_p)

library.nghttp2_session_mem_recv.restype = c_ssize_t
library.nghttp2_session_mem_recv.argtypes = [c_void_p, c_char_p, c_size_t]
library.nghttp2_session_mem_send.restype = c_ssize_t
library.nghttp2_session_mem_send.argtypes = [c_void_p, POINTER(c_void_p)]
library.nghttp2_session_del.argtypes = [c_void_p]
library.nghttp2_submit_settings.argtypes = [c_void_p, c_uint8, POINTER(Setting), c_size_t]
library.nghttp2_submit_headers.argtypes = [c_void_p, c_uint8, c_int32, c_void_p, POINTER(NameValue), c_size_t, c_void_p]
library.nghttp2_hd_inflate_hd2.restype = c_ssize_t
library.nghttp2_hd_inflate_hd2.argtypes = [c_void_p, POINTER(NameValue), POINTER(c_int), c_char_p, c_size_t, c_int]
library.nghttp2_hd_inflate_change_table_size.argtypes = [c_void_p, c_size_t]
library.nghttp2_hd_inflate_end_headers.argtypes = [c_void_p]
library.nghttp2_hd_inflate_del.argtypes = [c_void_p]


def name_values(pairs):
    """An array for libnghttp2; its octets live as long as it does."""
    array = (NameValue * len(pairs))()
    array.kept = []
    for entry, (name, value) in zip(array, pairs):
        octets = [(c_uint8 * len(text)).from_buffer_copy(text) for text in (name, value)]
        array.kept += octets
        entry.name, entry.value = (ctypes.cast(text, POINTER(c_uint8)) for text in octets)
        entry.name_length, entry.value_length = len(name), len(value)
    return array


class Session:
    """A session of either role whose user does nothing by itself: it opens no window. `on_frame` gets each valid frame as `Headers`."""

    def __init__(self, role, settings, on_frame):
        self._statuses = {}
        # Kept: libnghttp2 calls them for as long as the session lives.
        self._callbacks = (OnFrame(lambda _, frame, __: on_frame(frame.contents) or 0), OnField(self._on_field))
        callbacks, option, self._session = c_void_p(), c_void_p(), c_void_p()
        library.nghttp2_session_callbacks_new(byref(callbacks))
        library.nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, self._callbacks[0])
        library.nghttp2_session_callbacks_set_on_header_callback(callbacks, self._callbacks[1])
        library.nghttp2_option_new(byref(option))
        library.nghttp2_option_set_no_auto_window_update(option, 1)
        create = library.nghttp2_session_server_new2 if role == "server" else library.nghttp2_session_client_new2
        create(byref(self._session), callbacks, None, option)
        library.nghttp2_session_callbacks_del(callbacks)
        library.nghttp2_option_del(option)
        entries = (Setting * len(settings))(*settings)
        library.nghttp2_submit_settings(self._session, 0, entries, len(settings))

    def _on_field(self, _session, frame, name, name_length, value, value_length, _flags, _data):
        if ctypes.string_at(name, name_length) == b":status":
            self._statuses[frame.contents.head.stream_id] = int(ctypes.string_at(value, value_length))
        return 0

    def status_of(self, stream_id):
        """The last `:status` that came on the stream, or 0."""
        return self._statuses.get(stream_id, 0)

    def request(self, pairs, end):
        """Opens a stream with a request that ends there, or goes on."""
        array = name_values(pairs)
        library.nghttp2_submit_headers(self._session, END_STREAM if end else 0, -1, None, array, len(pairs), None)

    def receive(self, data):
        """Gives what libnghttp2 gives: how many octets it took, or a negative number."""
        return library.nghttp2_session_mem_recv(self._session, data, len(data))

    def to_send(self):
        out = b""
        octets = c_void_p()
        while (count := library.nghttp2_session_mem_send(self._session, byref(octets))) > 0:
            out += ctypes.string_at(octets, count)
        return out

    @property
    def is_over(self):
        """It neither reads nor writes any more: its user would close the connection."""
        return not (library.nghttp2_session_want_read(self._session) or library.nghttp2_session_want_write(self._session))

    def close(self):
        library.nghttp2_session_del(self._session)


class Inflater:
    def __init__(self):
        self._inflater = c_void_p()
        library.nghttp2_hd_inflate_new(byref(self._inflater))

    def __del__(self):
        library.nghttp2_hd_inflate_del(self._inflater)

    def change_table_size(self, octets):
        assert library.nghttp2_hd_inflate_change_table_size(self._inflater, octets) == 0

    def inflate(self, block):
        """The fields of a whole block: (name, value, never indexed)."""
        fields = []
        at, field, flags = 0, NameValue(), c_int()
        while True:
            rest = block[at:]
            count = library.nghttp2_hd_inflate_hd2(self._inflater, byref(field), byref(flags), rest, len(rest), 1)
            if count < 0:
                raise ValueError(f"libnghttp2 says {count}")
            at += count
            if flags.value & INFLATE_EMIT:
                name = ctypes.string_at(field.name, field.name_length)
                value = ctypes.string_at(field.value, field.value_length)
                fields.append((name, value, bool(field.flags & NEVER_INDEXED)))
            if flags.value & INFLATE_FINAL:
                library.nghttp2_hd_inflate_end_headers(self._inflater)
                return fields
