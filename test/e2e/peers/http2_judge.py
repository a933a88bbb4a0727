"""What python3-h2 or libnghttp2 makes of what a peer says: one input per line, in hex; one verdict per line.

usage: http2_judge.py python3-h2|nghttp2 server|client

Its user does nothing: it answers nothing and opens no window. As a client it has asked three things before it hears anything: on
stream 1, which its request has ended, and on 3 and 5, which it has not. A verdict is `open`, `closed` or `GOAWAY CODE`, then
`reset ID CODE` of each stream that it reset, then what reached the user: a server's `opened IDS`, or a client's `answered IDS` (with a
response that is not informational) and `ended IDS`.
"""

import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived, ResponseReceived, StreamEnded
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame

import nghttp2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_LENGTH = 9
REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/bulkhead.test.Echo/Call"), (b":authority", b"localhost")]
ASKED = ((1, True), (3, False), (5, False))


class PythonH2:
    def __init__(self, role):
        self.opened, self.answered, self.ended = [], [], []
        self.is_over = False
        self._connection = H2Connection(H2Configuration(client_side=role == "client", header_encoding=None))
        if role == "client":
            values = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: 65536}
            self._connection.local_settings = Settings(client=True, initial_values=values)
        self._connection.initiate_connection()
        if role == "client":
            for stream_id, end in ASKED:
                self._connection.send_headers(stream_id, REQUEST, end_stream=end)

    def receive(self, piece):
        """The code of the error that ends the connection, or None."""
        try:
            events = self._connection.receive_data(piece)
        except ProtocolError as error:
            return code_name(error.error_code)
        self.opened += [event.stream_id for event in events if isinstance(event, RequestReceived)]
        self.answered += [event.stream_id for event in events if isinstance(event, ResponseReceived)]
        self.ended += [event.stream_id for event in events if isinstance(event, StreamEnded)]
        return None

    def to_send(self):
        return self._connection.data_to_send()

    def close(self):
        pass


class Nghttp2:
    def __init__(self, role):
        self.opened, self.answered, self.ended = [], [], []
        settings = {
            "server": [(nghttp2.MAX_CONCURRENT_STREAMS, 100), (nghttp2.MAX_HEADER_LIST_SIZE, 65536)],
            "client": [(nghttp2.ENABLE_PUSH, 0), (nghttp2.MAX_HEADER_LIST_SIZE, 65536)],
        }
        self._session = nghttp2.Session(role, settings[role], self._on_frame)
        if role == "client":
            for _, end in ASKED:
                self._session.request(REQUEST, end)

    def _on_frame(self, frame):
        head = frame.head
        if head.type == nghttp2.HEADERS and frame.category == nghttp2.REQUEST:
            self.opened.append(head.stream_id)
        # An informational response comes as RESPONSE, and what follows it as LATER, as trailers do.
        if head.type == nghttp2.HEADERS and frame.category in (nghttp2.RESPONSE, nghttp2.LATER):
            if self._session.status_of(head.stream_id) >= 200 and head.stream_id not in self.answered:
                self.answered.append(head.stream_id)
        if head.type in (nghttp2.DATA, nghttp2.HEADERS) and head.flags & nghttp2.END_STREAM:
            self.ended.append(head.stream_id)

    def receive(self, piece):
        count = self._session.receive(piece)
        return None if count >= 0 else f"libnghttp2 {count}"

    def to_send(self):
        return self._session.to_send()

    @property
    def is_over(self):
        return self._session.is_over

    def close(self):
        self._session.close()


def code_name(code):
    try:
        return ErrorCodes(code).name
    except ValueError:
        return str(code)


def pieces(data, role):
    """The preface and each frame by itself, so that what was said before an error is known."""
    at = len(PREFACE) if role == "server" else 0
    if at:
        yield data[:at]
    while at < len(data):
        end = at + FRAME_HEADER_LENGTH + int.from_bytes(data[at : at + 3], "big")
        yield data[at:end]
        at = end


def frames_of(data):
    view = memoryview(data.removeprefix(PREFACE))
    while len(view) >= FRAME_HEADER_LENGTH:
        frame, length = Frame.parse_frame_header(view[:FRAME_HEADER_LENGTH])
        frame.parse_body(view[FRAME_HEADER_LENGTH : FRAME_HEADER_LENGTH + length])
        view = view[FRAME_HEADER_LENGTH + length :]
        yield frame


def ids(streams):
    return " ".join(map(str, sorted(streams))) or "none"


def verdict(judge, role, data):
    sent, failed, over = judge.to_send(), None, False
    for piece in pieces(data, role):
        # Whoever has nothing more to read or to say has closed.
        if over or failed is not None:
            break
        failed = judge.receive(piece)
        sent += judge.to_send()
        over = judge.is_over
    result = "closed" if over else "open"
    resets = []
    for frame in frames_of(sent):
        if isinstance(frame, RstStreamFrame):
            resets.append(f"reset {frame.stream_id} {code_name(frame.error_code)}")
        if isinstance(frame, GoAwayFrame):
            result = f"GOAWAY {code_name(frame.error_code)}"
    if failed is not None:
        result = f"GOAWAY {failed}"
    reached = {
        "server": [f"opened {ids(judge.opened)}"],
        "client": [f"answered {ids(judge.answered)}", f"ended {ids(judge.ended)}"],
    }
    return "; ".join([result, *resets, *reached[role]])


create = {"python3-h2": PythonH2, "nghttp2": Nghttp2}[sys.argv[1]]
for line in sys.stdin:
    try:
        judge = create(sys.argv[2])
        print(verdict(judge, sys.argv[2], bytes.fromhex(line.strip())), flush=True)
        judge.close()
    except Exception as error:  # A fault of the judge is a verdict to look at, not an end of all of them.
        print(f"fault {type(error).__name__}: {error}", flush=True)
