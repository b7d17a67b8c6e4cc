"""Requests whose fields are signed: the origin sees what was signed, and the octets are right.

S3 is moto, which checks signatures here: ``pip install 'forecache[test,clients]'``, rclone from
the system. Both skip by name where they are not.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.clients.conftest import Run, program
from tests.support.origin import Conversation, Origin, reply
from tests.support.resources import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.support.house import ProcessHouse

pytestmark = pytest.mark.clients

KEY: Final = b"a key that both sides know"
COVERED: Final = ("@method", "@authority", "@path", "accept-encoding", "content-digest")


def signature(covered: dict[str, str], parameters: str) -> str:
    """hmac-sha256 over these components (RFC 9421 §2.5, §3.3.3)."""
    lines = [f'"{name}": {value}' for name, value in covered.items()]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    return base64.b64encode(hmac.digest(KEY, base.encode(), hashlib.sha256)).decode()


async def verify(conversation: Conversation) -> None:
    """200 to a request whose signature covers what has come, 401 to all others."""
    received = conversation.received
    covered = {
        "@method": received.method,
        "@authority": received.get("host") or "",
        "@path": received.target,
        "accept-encoding": received.get("accept-encoding") or "",
        "content-digest": received.get("content-digest") or "",
    }
    parameters = (received.get("signature-input") or "").partition("=")[2]
    given = (received.get("signature") or "").partition("=")[2].strip(":")
    right = hmac.compare_digest(signature(covered, parameters), given)
    fields = ("Cache-Control: max-age=60", "Vary: Accept-Encoding")
    conversation.writer.write(reply(200 if right else 401, *fields, body=b"welcome"))


@pytest.mark.parametrize("accept", ["identity", "gzip, deflate, br, zstd", "gzip;q=0, *", ""])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_rfc_9421(process: ProcessHouse, origin: Origin, accept: str, method: str) -> None:
    origin.otherwise = verify

    def ask(path: str) -> tuple[int, bytes]:
        names = " ".join(f'"{name}"' for name in COVERED)
        parameters = f'({names});created=1618884473;keyid="ours";alg="hmac-sha256"'
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(b'content').digest()).decode()}:"
        values = (method, origin.authority, path, accept, digest)
        covered = dict(zip(COVERED, values, strict=True))
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
        try:
            connection.putrequest(method, origin.url(path), skip_accept_encoding=True)
            connection.putheader("Accept-Encoding", accept)
            connection.putheader("Content-Digest", digest)
            connection.putheader("Signature-Input", f"sig1={parameters}")
            connection.putheader("Signature", f"sig1=:{signature(covered, parameters)}:")
            connection.putheader("Content-Length", "7" if method == "POST" else "0")
            connection.endheaders(b"content" if method == "POST" else None)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    for _ in range(3):
        assert await asyncio.to_thread(ask, "/a") == (200, b"welcome")


def own_address() -> str:
    """An address of this machine that is not loopback, for clients that never proxy loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as looking:
        try:
            looking.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(looking.getsockname()[0])


@dataclass(frozen=True, slots=True)
class Store:
    """An S3 that wants signatures, and a user who may do everything with the bucket ``own``."""

    host: str
    port: int
    key: str = "first"
    secret: str = "first"

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self, service: str = "s3", proxy: str = "") -> Any:
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        more: Any = {"s3": {"addressing_style": "path"}, "retries": {"total_max_attempts": 1}}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(proxies={"http": proxy} if proxy else {}, **more),
        )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """moto in a process of its own; requests must be signed once user and bucket are there."""
    for name in ("boto3", "moto.server"):
        pytest.importorskip(name, reason="the extra clients is not installed")
    host = own_address()
    with socket.socket() as looking:
        looking.bind((host, 0))
        port = looking.getsockname()[1]
    command = (sys.executable, "-m", "moto.server", "-H", host, "-p", str(port))
    log = tmp_path_factory.mktemp("moto") / "log"
    environ = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environ) as it:
        try:
            store = Store(host, port)
            _await(store)
            key, secret = _prepared(store)
            _signed_after(store, "0")
            yield Store(host, port, key, secret)
        finally:
            it.terminate()


def _await(store: Store) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((store.host, store.port), 1).close()
        except OSError:
            assert time.monotonic() < until, "moto did not start"
            time.sleep(0.1)
        else:
            return


def _signed_after(store: Store, requests: str) -> None:
    """Signatures are checked after so many requests."""
    lines = {"Content-Type": "text/plain"}
    url = f"{store.endpoint}/moto-api/reset-auth"
    ask = urllib.request.Request(url, requests.encode(), lines)
    with _opener("").open(ask, timeout=10) as answer:
        answer.read()


def _opener(proxy: str) -> urllib.request.OpenerDirector:
    proxies = {"http": proxy} if proxy else {}
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies))


def _prepared(store: Store) -> tuple[str, str]:
    """The bucket, and a user with what he signs by."""
    with closing(store.client()) as s3:
        s3.create_bucket(Bucket="own")
    with closing(store.client("iam")) as iam:
        iam.create_user(UserName="someone")
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.put_user_policy(UserName="someone", PolicyName="all", PolicyDocument=policy)
        made = iam.create_access_key(UserName="someone")["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


@pytest.fixture
async def before(store: Store, start_process: StartProcess) -> ProcessHouse:
    """The proxy before it."""
    access = {"allow_destinations": [store.host], "connect_ports": [store.port]}
    return await start_process({"access": access})


GZIPPED: Final = gzip.compress(TEXT, mtime=0)


async def test_the_s3_of_these_tests_wants_signatures(store: Store, before: ProcessHouse) -> None:
    from botocore.exceptions import ClientError  # noqa: PLC0415

    def ask() -> None:
        other = Store(store.host, store.port, store.key, "not the secret")
        with closing(other.client(proxy=before.url)) as s3:
            s3.list_objects_v2(Bucket="own")

    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        await asyncio.to_thread(ask)


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256", "SHA1"])
@pytest.mark.parametrize("coding", ["gzip", ""])
async def test_boto3(store: Store, before: ProcessHouse, algorithm: str, coding: str) -> None:
    """What was put is got, with its length, tag, coding and checksum, as without the proxy."""
    octets = GZIPPED if coding else TEXT
    names = ("ContentLength", "ETag", "ContentEncoding", f"Checksum{algorithm}")

    def put_and_get(proxy: str) -> list[object]:
        more = {"ContentEncoding": coding} if coding else {}
        seen: list[object] = []
        with closing(store.client(proxy=proxy)) as s3:
            s3.put_object(
                Bucket="own", Key="a.txt", Body=octets, ChecksumAlgorithm=algorithm,
                CacheControl="max-age=600", ContentType="text/plain", **more,
            )  # fmt: skip
            for _ in range(2):
                got = s3.get_object(Bucket="own", Key="a.txt", ChecksumMode="ENABLED")
                assert got["Body"].read() == octets
                head = s3.head_object(Bucket="own", Key="a.txt", ChecksumMode="ENABLED")
                seen += [[said.get(name) for name in names] for said in (got, head)]
                part = s3.get_object(Bucket="own", Key="a.txt", Range="bytes=5-9")
                assert part["Body"].read() == octets[5:10]
        return seen

    directly = await asyncio.to_thread(put_and_get, "")
    assert await asyncio.to_thread(put_and_get, before.url) == directly


async def test_an_object_that_is_for_everybody(store: Store, before: ProcessHouse) -> None:
    """A signed URL, asked for by clients of other codings: the object's octets, for all.

    moto does not check signatures of that kind.
    """

    def put() -> str:
        with closing(store.client()) as s3:
            s3.put_object(
                Bucket="own", Key="a.txt", Body=GZIPPED, ContentEncoding="gzip",
                CacheControl="public, max-age=600", ContentType="text/plain",
            )  # fmt: skip
            where = {"Bucket": "own", "Key": "a.txt"}
            return str(s3.generate_presigned_url("get_object", Params=where))

    def ask(url: str, accept: str) -> tuple[str | None, str | None, bytes]:
        wanted = urllib.request.Request(url, headers={"Accept-Encoding": accept})
        with _opener(before.url).open(wanted, timeout=10) as answer:
            said = answer.headers
            return said["Content-Encoding"], said["Content-Length"], answer.read()

    url = await asyncio.to_thread(put)
    await asyncio.to_thread(_signed_after, store, "inf")
    try:
        for accept in ("identity", "identity", "br", "gzip"):
            seen = await asyncio.to_thread(ask, url, accept)
            assert seen == ("gzip", str(len(GZIPPED)), GZIPPED)
    finally:
        await asyncio.to_thread(_signed_after, store, "0")


@pytest.mark.parametrize("coding", ["gzip", ""])
async def test_rclone(
    store: Store, before: ProcessHouse, run: Run, tmp_path: Path, coding: str
) -> None:
    rclone = program("rclone")
    octets = GZIPPED if coding else TEXT
    more = {"ContentEncoding": coding} if coding else {}

    def put() -> None:
        with closing(store.client()) as s3:
            s3.put_object(
                Bucket="own", Key="folder/a.txt", Body=octets, ContentType="text/plain", **more
            )

    await asyncio.to_thread(put)
    environ = {
        "RCLONE_CONFIG_OWN_TYPE": "s3",
        "RCLONE_CONFIG_OWN_PROVIDER": "Other",
        "RCLONE_CONFIG_OWN_ENDPOINT": store.endpoint,
        "RCLONE_CONFIG_OWN_ACCESS_KEY_ID": store.key,
        "RCLONE_CONFIG_OWN_SECRET_ACCESS_KEY": store.secret,
        "RCLONE_CONFIG_OWN_REGION": "us-east-1",
        **dict.fromkeys(("http_proxy", "HTTP_PROXY"), before.url),
    }
    options = ("--retries", "1", "--low-level-retries", "1", "--s3-no-check-bucket")
    for number in (1, 2):
        await run(rclone, "copy", *options, "own:own/folder", f"got{number}", **environ)
        assert (tmp_path / f"got{number}" / "a.txt").read_bytes() == octets
    (tmp_path / "up.txt").write_bytes(TEXT * 3)
    await run(rclone, "copyto", *options, "up.txt", "own:own/up.txt", **environ)
    await run(rclone, "check", *options, "--download", "got1", "own:own/folder", **environ)
    assert (await run(rclone, "cat", *options, "own:own/up.txt", **environ)).encode() == TEXT * 3
