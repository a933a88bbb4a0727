"""Issues tokens with pyjwt and with joserfc, and calls with them through grpcio.

usage: token_issuers.py keys DIRECTORY     writes the private keys, and jwks.json with the public ones
       token_issuers.py call SETTINGS      SETTINGS is JSON: directory, target, serverName, ca, cert, key, issuer, audience

Of each call it prints one line of JSON: library, algorithm, variant, status, message. Both libraries share the keys and nothing
else: pyjwt reads them as PEM, joserfc as JWK.
"""

import base64
import json
import pathlib
import sys
import time

import grpc
import jwt as pyjwt
from joserfc import jws as jose_jws
from joserfc import jwt as jose_jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
ALLOWED = [*RSA, *CURVES, "EdDSA"]
INFER = "/inference.GRPCInferenceService/ModelInfer"
# ModelInferRequest with model_name "digits".
MESSAGE = b"\x0a\x06digits"


def new_key(name):
    if name == "RSA":
        return RSAKey.generate_key(2048, {"kid": name})
    if name == "EdDSA":
        return OKPKey.generate_key("Ed25519", {"kid": name})
    return ECKey.generate_key(CURVES[name], {"kid": name})


def write_keys(directory):
    names = ["RSA", *CURVES, "EdDSA"]
    keys = {name: new_key(name) for name in names}
    for name, key in keys.items():
        (directory / f"{name}.json").write_text(json.dumps(key.as_dict(private=True)))
        (directory / f"{name}.pem").write_bytes(key.as_pem(private=True))
    public = [{**key.as_dict(private=False), "kid": name, "use": "sig"} for name, key in keys.items()]
    (directory / "jwks.json").write_text(json.dumps({"keys": public}))


class Pyjwt:
    name = "pyjwt"

    def __init__(self, directory):
        self.directory = directory

    def sign(self, algorithm, claims, header=None, key=None):
        key_id = "RSA" if algorithm in RSA else algorithm
        pem = key if key is not None else (self.directory / f"{key_id}.pem").read_bytes()
        return pyjwt.encode(claims, pem, algorithm=algorithm, headers={"kid": key_id, **(header or {})})


class Joserfc:
    name = "joserfc"

    def __init__(self, directory):
        self.directory = directory

    def sign(self, algorithm, claims, header=None, key=None):
        key_id = "RSA" if algorithm in RSA else algorithm
        if key is None:
            known = json.loads((self.directory / f"{key_id}.json").read_text())
            key = {"RSA": RSAKey, "OKP": OKPKey}.get(known["kty"], ECKey).import_key(known)
        names = {"alg": algorithm, "kid": key_id, **(header or {})}
        if isinstance(key, bytes):
            key = OctKey.import_key(key)
        return jose_jwt.encode(names, claims, key, algorithms=[algorithm])


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def tokens(settings):
    """Each as (library, algorithm, variant, token). Variants that begin with `good` are to be let in."""
    directory = pathlib.Path(settings["directory"])
    now = int(time.time())
    good = {"iss": settings["issuer"], "aud": settings["audience"], "sub": "alice", "iat": now, "exp": now + 600}
    jwks = json.loads((directory / "jwks.json").read_text())
    for library in [Pyjwt(directory), Joserfc(directory)]:
        for algorithm in ALLOWED:
            def one(variant, claims=good, header=None, key=None, algorithm=algorithm, library=library):
                return library.name, algorithm, variant, library.sign(algorithm, claims, header, key)

            token = library.sign(algorithm, good)
            head, body, signature = token.split(".")
            yield library.name, algorithm, "good", token
            yield one("good: a list of audiences", {**good, "aud": ["other", settings["audience"]]})
            yield one("good: typ at+jwt", header={"typ": "at+jwt"})
            yield one("expired", {**good, "exp": now - 120})
            yield one("not yet valid", {**good, "nbf": now + 120})
            yield one("for another audience", {**good, "aud": "other"})
            yield one("of another issuer", {**good, "iss": "https://other.test"})
            yield one("without an end", {name: good[name] for name in good if name != "exp"})
            yield one("with the kid of another key", header={"kid": "ES256" if algorithm in RSA else "RSA"})
            yield one("with a kid that nobody knows", header={"kid": "../../etc/passwd"})
            yield one("with a key of its own", header={"jwk": jwks["keys"][0]})
            yield one("with keys elsewhere", header={"jku": "https://other.test/jwks.json"})
            yield one("of another type", header={"typ": "dpop+jwt"})
            touched = base64url(json.dumps({**good, "sub": "root"}).encode())
            yield library.name, algorithm, "with other claims", f"{head}.{touched}.{signature}"
            yield library.name, algorithm, "with half a signature", token[: -len(signature) // 2]
        # As raw octets: both libraries know a PEM or JWK when they see one, and refuse to key an HMAC by it.
        modulus = base64.urlsafe_b64decode(jwks["keys"][0]["n"] + "==")
        yield library.name, "HS256", "keyed by the public key", library.sign(
            "HS256", good, {"kid": "RSA"}, modulus
        )
    yield "pyjwt", "none", "not signed", pyjwt.encode(good, None, algorithm="none")
    unsigned = f"{base64url(json.dumps({'alg': 'none'}).encode())}.{base64url(json.dumps(good).encode())}."
    yield "joserfc", "none", "not signed", unsigned
    strange = ECKey.generate_key("secp256k1", {"kid": "ES256"})
    yield "joserfc", "ES256K", "of an algorithm that is not allowed", jose_jws.serialize_compact(
        {"alg": "ES256K", "kid": "ES256"}, json.dumps(good).encode(), strange, algorithms=["ES256K"]
    )
    yield "joserfc", "ES256", "with another key of that name", jose_jwt.encode(
        {"alg": "ES256", "kid": "ES256"}, good, ECKey.generate_key("P-256"), algorithms=["ES256"]
    )


def call(settings):
    def read(name):
        return pathlib.Path(settings[name]).read_bytes()

    credentials = grpc.ssl_channel_credentials(read("ca"), read("key"), read("cert"))
    options = [("grpc.ssl_target_name_override", settings["serverName"])]
    with grpc.secure_channel(settings["target"], credentials, options) as channel:
        infer = channel.unary_unary(INFER, request_serializer=bytes, response_deserializer=bytes)
        for library, algorithm, variant, token in tokens(settings):
            answer = {"library": library, "algorithm": algorithm, "variant": variant}
            try:
                infer(MESSAGE, timeout=20, metadata=[("authorization", f"Bearer {token}")])
                answer |= {"status": "OK", "message": ""}
            except grpc.RpcError as error:
                answer |= {"status": error.code().name, "message": error.details()}
            print(json.dumps(answer))


if sys.argv[1] == "keys":
    write_keys(pathlib.Path(sys.argv[2]))
else:
    call(json.loads(sys.argv[2]))
