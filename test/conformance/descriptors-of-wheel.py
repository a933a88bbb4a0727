"""Takes the serialized FileDescriptorProtos out of a Python wheel without importing it, for proto-descriptors.test.ts.

usage: descriptors-of-wheel.py WHEEL MODULE_PREFIX OUTPUT_DIRECTORY
       descriptors-of-wheel.py tritonclient-2.73.0-py3-none-any.whl tritonclient/grpc/ out
Prints the paths that it wrote, joined by ":".
"""

import ast
import pathlib
import sys
import zipfile

wheel, prefix, out = sys.argv[1:]
written = []
with zipfile.ZipFile(wheel) as archive:
    for name in sorted(archive.namelist()):
        if not (name.startswith(prefix) and name.endswith("_pb2.py")):
            continue
        for node in ast.walk(ast.parse(archive.read(name))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
                path = pathlib.Path(out) / (pathlib.PurePosixPath(name).stem + ".descriptor")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(node.args[0].value)
                written.append(str(path))
if not written:
    sys.exit(f"no descriptors under {prefix} in {wheel}")
print(":".join(written))
