"""C-core's client and server out of PyPI's grpcio, on a service of plain octets.

usage: c_core_python.py server         serves in clear text on a free loopback port; prints `port N`
       c_core_python.py client PORT    runs every check on one channel; one line per check: NAME ok, or NAME why not

With C_CORE_CA, C_CORE_CERT and C_CORE_KEY (files) and C_CORE_SERVER_NAME the client speaks TLS and presents the certificate.
"""

import os
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc

SERVICE = "bulkhead.test.Octets"
MIB = 1024 * 1024
DEADLINE_SECONDS = 15
ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
MESSAGE = "gesagt: »nein«, 100 %\n"
ALL_OCTETS = bytes(range(256))


class Octets:
    def __init__(self):
        self.ended = set()

    def echo(self, request, context):
        """Answers what came, and its metadata both before and after."""
        metadata = [pair for pair in context.invocation_metadata() if pair[0].startswith("x-echo-")]
        context.send_initial_metadata(metadata)
        context.set_trailing_metadata(metadata)
        return request

    def deflated(self, request, context):
        context.set_compression(grpc.Compression.Deflate)
        return request

    def left(self, request, context):
        """How many seconds of the deadline are left."""
        return str(context.time_remaining()).encode()

    def hang(self, request, context):
        """Begins its answer, and then waits for the client to give up."""
        ended = threading.Event()
        context.add_callback(ended.set)
        yield request
        if ended.wait(DEADLINE_SECONDS):
            self.ended.add(request)

    def hung(self, request, context):
        """Answers once that call of `hang` was given up."""
        while request not in self.ended and context.is_active():
            time.sleep(0.01)
        return request

    def fail(self, request, context):
        context.set_trailing_metadata([("x-echo-bin", ALL_OCTETS), ("x-echo-twice", "1"), ("x-echo-twice", "2")])
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, MESSAGE)

    def collect(self, requests, context):
        return b"".join(requests)

    def spread(self, request, context):
        for octet in request:
            yield bytes([octet]) * 100

    def chat(self, requests, context):
        for request in requests:
            if request == b"enough":
                return
            yield request


def serve():
    octets = Octets()
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(getattr(octets, name))
        for name in ("echo", "deflated", "left", "hung", "fail")
    }
    handlers["collect"] = grpc.stream_unary_rpc_method_handler(octets.collect)
    handlers["hang"] = grpc.unary_stream_rpc_method_handler(octets.hang)
    handlers["spread"] = grpc.unary_stream_rpc_method_handler(octets.spread)
    handlers["chat"] = grpc.stream_stream_rpc_method_handler(octets.chat)
    server = grpc.server(futures.ThreadPoolExecutor(32), options=ANY_SIZE)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"port {port}", flush=True)
    server.wait_for_termination()


def channel_to(port):
    target = f"127.0.0.1:{port}"
    if "C_CORE_CA" not in os.environ:
        return grpc.insecure_channel(target, ANY_SIZE)
    ca, key, cert = (Path(os.environ[name]).read_bytes() for name in ("C_CORE_CA", "C_CORE_KEY", "C_CORE_CERT"))
    name = [("grpc.ssl_target_name_override", os.environ["C_CORE_SERVER_NAME"])]
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, cert), ANY_SIZE + name)


class Checks:
    """Each method is a check; it raises, or returns something false, when it has failed."""

    def __init__(self, channel):
        self._unary = lambda name: channel.unary_unary(f"/{SERVICE}/{name}")
        self._collect = channel.stream_unary(f"/{SERVICE}/collect")
        self._spread = channel.unary_stream(f"/{SERVICE}/spread")
        self._hang = channel.unary_stream(f"/{SERVICE}/hang")
        self._chat = channel.stream_stream(f"/{SERVICE}/chat")

    def _echoes(self, name="echo", **how):
        call = self._unary(name)
        return all(call(body, timeout=DEADLINE_SECONDS, **how) == body for body in (b"", b"x", ALL_OCTETS * 500))

    def unary(self):
        return self._echoes()

    def a_large_message(self):
        body = os.urandom(16 * MIB)
        return self._unary("echo")(body, timeout=DEADLINE_SECONDS) == body

    def many_at_once(self):
        calls = [self._unary("echo").future(b"%d" % n, timeout=DEADLINE_SECONDS) for n in range(300)]
        return [call.result() for call in calls] == [b"%d" % n for n in range(300)]

    def a_stream_in(self):
        parts = [b"%d;" % n for n in range(1000)]
        return self._collect(iter(parts), timeout=DEADLINE_SECONDS) == b"".join(parts)

    def a_stream_out(self):
        answers = list(self._spread(ALL_OCTETS * 4, timeout=DEADLINE_SECONDS))
        return answers == [bytes([octet]) * 100 for octet in ALL_OCTETS * 4]

    def a_conversation(self):
        heard = threading.Semaphore(1)

        def says():
            for n in range(200):
                heard.acquire()
                yield b"%d" % n

        answers = []
        for answer in self._chat(says(), timeout=DEADLINE_SECONDS):
            answers.append(answer)
            heard.release()
        return answers == [b"%d" % n for n in range(200)]

    def an_end_before_the_requests_end(self):
        def says():
            yield b"enough"
            threading.Event().wait(DEADLINE_SECONDS)

        call = self._chat(says(), timeout=DEADLINE_SECONDS)
        return list(call) == [] and call.code() == grpc.StatusCode.OK

    def gzip(self):
        return self._echoes(compression=grpc.Compression.Gzip)

    def deflate_both_ways(self):
        return self._echoes("deflated", compression=grpc.Compression.Deflate)

    def cancel(self):
        name = os.urandom(8)
        call = self._hang(name, timeout=DEADLINE_SECONDS)
        first = next(call)
        call.cancel()
        return first == name and call.cancelled() and self._unary("hung")(name, timeout=DEADLINE_SECONDS) == name

    def a_deadline_passes(self):
        # On a busy machine a call may be over before it has begun: such a one says nothing.
        for seconds in (0.3, 1.5, 6):
            name, begun, code = os.urandom(8), [], None
            try:
                for message in self._hang(name, timeout=seconds):
                    begun.append(message)
            except grpc.RpcError as error:
                code = error.code()
            if begun or code != grpc.StatusCode.DEADLINE_EXCEEDED:
                passed = begun == [name] and code == grpc.StatusCode.DEADLINE_EXCEEDED
                return passed and self._unary("hung")(name, timeout=DEADLINE_SECONDS) == name
        return False

    def a_deadline_is_passed_on(self):
        # grpc-timeout is rounded up on its way.
        return 0 < float(self._unary("left")(b"", timeout=DEADLINE_SECONDS)) < DEADLINE_SECONDS + 1

    def metadata(self):
        # C-core takes 8 KiB; what a sidecar says about the caller needs about 500 octets of them.
        sent = [("x-echo-large", "v" * 5000), ("x-echo-bin", ALL_OCTETS), ("x-echo-empty", "")]
        sent += [("x-echo-twice", str(n)) for n in range(2)] + [(f"x-echo-{n}", str(n)) for n in range(20)]
        _, call = self._unary("echo").with_call(b"", timeout=DEADLINE_SECONDS, metadata=sent)
        for came in (call.initial_metadata(), call.trailing_metadata()):
            if sorted(pair for pair in came if pair[0].startswith("x-echo-")) != sorted(sent):
                return False
        return True

    def a_status(self):
        try:
            self._unary("fail")(b"", timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            trailers = [value for key, value in error.trailing_metadata() if key.startswith("x-echo-")]
            return (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, MESSAGE) and sorted(
                map(str, trailers)
            ) == sorted(map(str, (ALL_OCTETS, "1", "2")))
        return False

    def an_unknown_method(self):
        try:
            self._unary("nothing")(b"", timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            return error.code() == grpc.StatusCode.UNIMPLEMENTED
        return False


def judge(port):
    with channel_to(port) as channel:
        checks = Checks(channel)
        for name in vars(Checks):
            if name.startswith("_"):
                continue
            try:
                outcome = "ok" if getattr(checks, name)() else "wrong"
            except grpc.RpcError as error:
                outcome = f"{error.code()} {error.details()}"
            print(name, outcome, flush=True)


if sys.argv[1] == "server":
    serve()
else:
    judge(sys.argv[2])
