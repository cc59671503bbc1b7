"""An object store on this machine that speaks S3, with one bucket, ``lab``."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


class ObjectStore:
    """What it is called, and what is in it."""

    def __init__(self, port: int) -> None:
        import boto3

        self.url = f"s3://lab/searches?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        place = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
        self._client = boto3.client("s3", **place, aws_access_key_id="testing", aws_secret_access_key="testing")
        self._client.create_bucket(Bucket="lab")

    def sizes(self) -> dict[str, int]:
        """Bytes of all that is in the bucket, by name; without the empty marks of folders."""
        found = self._client.list_objects_v2(Bucket="lab").get("Contents", [])
        return {item["Key"]: item["Size"] for item in found if not item["Key"].endswith("/")}


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """One of our own; its keys must be in the environment of who uses it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, env=os.environ | KEYS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            end = time.monotonic() + 120
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=2).close()
                    break
                assert time.monotonic() < end, "the object store did not start"
                time.sleep(0.1)
            yield ObjectStore(port)
        finally:
            server.terminate()
