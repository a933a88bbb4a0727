"""What python3-hpack or libnghttp2 decodes header blocks to: one connection per line, one answer per line, both in JSON.

usage: hpack_judge.py python3-hpack|nghttp2

A connection is a list of blocks, each {"size": what SETTINGS allow the table from now on, or null, "wire": octets in hex}. The answer is a
list of blocks, each a list of fields [name in hex, value in hex, never indexed], or the text of a fault.
"""

import json
import sys

from hpack import Decoder, NeverIndexedHeaderTuple

import nghttp2


class PythonHpack:
    def __init__(self):
        self._decoder = Decoder(max_header_list_size=1 << 24)

    def change_table_size(self, octets):
        self._decoder.max_allowed_table_size = octets

    def inflate(self, block):
        fields = self._decoder.decode(block, raw=True)
        return [(name, value, isinstance(field, NeverIndexedHeaderTuple)) for field in fields for name, value in (field,)]


def decode(decoder, blocks):
    for block in blocks:
        if block["size"] is not None:
            decoder.change_table_size(block["size"])
        fields = decoder.inflate(bytes.fromhex(block["wire"]))
        yield [[name.hex(), value.hex(), never] for name, value, never in fields]


create = {"python3-hpack": PythonHpack, "nghttp2": nghttp2.Inflater}[sys.argv[1]]
for line in sys.stdin:
    try:
        print(json.dumps(list(decode(create(), json.loads(line)))), flush=True)
    except Exception as error:  # A fault is an answer to look at, not an end of all of them.
        print(json.dumps(f"{type(error).__name__}: {error}"), flush=True)
