"""python3-h2's verdict on what a client says: one input per line, in hex; one verdict per line.

Its user does nothing: it answers nothing and opens no window. A verdict is `open`, `GOAWAY CODE` or `reset ID CODE …`, then `;`
and the ids of the streams that reached the user.
"""

import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.exceptions import ProtocolError
from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame

PREFACE_LENGTH = 24
FRAME_HEADER_LENGTH = 9


def code_name(code):
    try:
        return ErrorCodes(code).name
    except ValueError:
        return str(code)


def pieces(data):
    """The preface and each frame by itself, so that what was said before an error is known."""
    yield data[:PREFACE_LENGTH]
    at = PREFACE_LENGTH
    while at < len(data):
        end = at + FRAME_HEADER_LENGTH + int.from_bytes(data[at : at + 3], "big")
        yield data[at:end]
        at = end


def sent(data):
    view = memoryview(data)
    while len(view) >= FRAME_HEADER_LENGTH:
        frame, length = Frame.parse_frame_header(view[:FRAME_HEADER_LENGTH])
        frame.parse_body(view[FRAME_HEADER_LENGTH : FRAME_HEADER_LENGTH + length])
        view = view[FRAME_HEADER_LENGTH + length :]
        yield frame


def verdict(data):
    connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    connection.initiate_connection()
    opened = []
    failed = None
    for piece in pieces(data):
        try:
            events = connection.receive_data(piece)
        except ProtocolError as error:
            failed = error.error_code
            break
        opened += [event.stream_id for event in events if isinstance(event, RequestReceived)]
    result = "open"
    resets = []
    for frame in sent(connection.data_to_send()):
        if isinstance(frame, RstStreamFrame):
            resets.append(f"reset {frame.stream_id} {code_name(frame.error_code)}")
        if isinstance(frame, GoAwayFrame):
            result = f"GOAWAY {code_name(frame.error_code)}"
    if failed is not None:
        result = f"GOAWAY {code_name(failed)}"
    return "; ".join([result, *resets, f"opened {' '.join(map(str, opened)) or 'none'}"])


for line in sys.stdin:
    try:
        print(verdict(bytes.fromhex(line.strip())), flush=True)
    except Exception as error:  # A fault of the judge is a verdict to look at, not an end of all of them.
        print(f"fault {type(error).__name__}: {error}", flush=True)
