"""Writes the descriptors behind generated Python modules, with all that they import, as one FileDescriptorSet.

usage: descriptor_set.py OUTPUT MODULE…
"""

import importlib
import pathlib
import sys

from google.protobuf import descriptor_pb2


def main():
    output, *modules = sys.argv[1:]
    files = {}

    def add(descriptor):
        if descriptor.name in files:
            return
        for imported in descriptor.dependencies:
            add(imported)
        proto = descriptor_pb2.FileDescriptorProto()
        descriptor.CopyToProto(proto)
        files[descriptor.name] = proto

    for module in modules:
        add(importlib.import_module(module).DESCRIPTOR)
    pathlib.Path(output).write_bytes(descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString())


main()
