"""An S3 on 127.0.0.1 for Metaflow's datastore, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

BUCKET = "flows"

_SERVER = f"""
import sys
import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer

served = []
serve = DomainDispatcherApplication.__call__

def counted(self, environ, start):
    if environ["PATH_INFO"] == "/so-far":
        start("200 OK", [])
        return [str(len(served)).encode()]
    served.append(environ["PATH_INFO"])
    return serve(self, environ, start)

DomainDispatcherApplication.__call__ = counted
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{{host}}:{{port}}"
client = boto3.client(
    "s3", endpoint_url=url, aws_access_key_id="key", aws_secret_access_key="secret",
    region_name="us-east-1",
)
client.create_bucket(Bucket="{BUCKET}")
print(url, flush=True)
sys.stdin.read()
"""


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """The environment in which Metaflow keeps everything there."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url, "the object store did not start"
        try:
            yield {
                "METAFLOW_DEFAULT_DATASTORE": "s3",
                "METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{BUCKET}/root",
                "METAFLOW_S3_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        finally:
            process.kill()


def requests(env: dict[str, str]) -> int:
    """How many it has had so far."""
    url = f"{env['METAFLOW_S3_ENDPOINT_URL']}/so-far"
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - it is ours
        return int(answer.read())


def content(env: dict[str, str], url: str) -> bytes:
    """What is kept at `s3://bucket/key`."""
    import boto3

    bucket, _, key = url.removeprefix("s3://").partition("/")
    client = boto3.client(
        "s3",
        endpoint_url=env["METAFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
    )
    body: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    client.close()
    return body
