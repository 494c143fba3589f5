"""TLS from the server's own files, and no plain text off this machine unless somebody says so.

`tls/` holds a self-signed certificate for localhost, made for these tests and worth nothing.
"""

import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from workevo.tracking.v1.tracking_pb2 import UploadEventsRequest
from workevo_mobile import CallFailed, ConnectTransport
from workevo_testing.http_calls import request
from workevo_testing.server_process import ServerProcess, run_command
from workevo_testing.wire_calls import Phone, event, install

CERTIFICATE = Path(__file__).parent / "tls" / "localhost-cert.pem"
KEY = Path(__file__).parent / "tls" / "localhost-key.pem"
TLS_FLAGS = ["--tls-cert", str(CERTIFICATE), "--tls-key", str(KEY)]


def _serve_fails(*flags: str) -> subprocess.CalledProcessError:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_command("serve", "--http", "off", *flags)
    assert "Traceback" not in caught.value.stderr
    return caught.value


def test_a_phone_that_trusts_the_certificate_uploads(tmp_path: Path) -> None:
    trust = grpc.ssl_channel_credentials(CERTIFICATE.read_bytes())
    with (
        ServerProcess(tmp_path, flags=TLS_FLAGS) as server,
        grpc.secure_channel(server.grpc_address, trust) as channel,
    ):
        assert Phone(channel, server.keys.sdk_key).upload([event(1)]).accepted_count == 1


def test_a_back_end_that_trusts_the_certificate_is_answered_over_https(tmp_path: Path) -> None:
    trust = ssl.create_default_context(cafile=str(CERTIFICATE))
    with ServerProcess(tmp_path, flags=TLS_FLAGS) as server:
        url = f"https://localhost:{server.http_address.rpartition(':')[2]}/readyz"
        with urllib.request.urlopen(url, context=trust, timeout=10) as answer:
            assert answer.read() == b"ready\n"
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=10)
        with pytest.raises(ConnectionError):
            request(server.http_address, "GET", "/readyz")


def test_a_phone_behind_a_proxy_without_http2_uploads_over_https_if_it_trusts_the_certificate(
    tmp_path: Path,
) -> None:
    with ServerProcess(tmp_path, flags=TLS_FLAGS) as server:
        url = f"https://localhost:{server.http_address.rpartition(':')[2]}"
        trusting = ConnectTransport(url, server.keys.sdk_key, root_certificates=CERTIFICATE.read_bytes())
        distrusting = ConnectTransport(url, server.keys.sdk_key)
        request = UploadEventsRequest(install=install(), events=[event(1)], last_sequence=1)

        assert trusting.upload_events(request, timeout=timedelta(seconds=10)).accepted_count == 1
        with pytest.raises(CallFailed) as caught:
            distrusting.upload_events(request, timeout=timedelta(seconds=10))
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_with_tls_plain_text_and_distrust_get_no_answer_and_harm_nobody(tmp_path: Path) -> None:
    trust = grpc.ssl_channel_credentials(CERTIFICATE.read_bytes())
    with ServerProcess(tmp_path, flags=TLS_FLAGS) as server:
        for channel in (
            grpc.insecure_channel(server.grpc_address),
            grpc.secure_channel(server.grpc_address, grpc.ssl_channel_credentials()),
        ):
            with channel, pytest.raises(grpc.RpcError) as caught:
                Phone(channel, server.keys.sdk_key).upload([event(1)])
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

        with grpc.secure_channel(server.grpc_address, trust) as channel:
            assert Phone(channel, server.keys.sdk_key).upload([event(1)]).accepted_count == 1


def test_beyond_loopback_it_listens_only_when_told_to_do_without_tls(tmp_path: Path) -> None:
    flags = ["--data-dir", str(tmp_path / "data"), "--grpc", "0.0.0.0:0"]

    failed = _serve_fails(*flags)

    assert failed.returncode == 2
    assert "--insecure" in failed.stderr


@pytest.mark.parametrize("flags", [["--insecure"], TLS_FLAGS], ids=["insecure", "tls"])
def test_with_tls_or_told_so_it_passes_the_check_of_the_address(tmp_path: Path, flags: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # A name of loopback's that counts as any name, and a taken port: nothing opens to the network.
        name = f"localhost.:{taken.getsockname()[1]}"
        failed = _serve_fails("--data-dir", str(tmp_path / "data"), "--grpc", name, *flags)

    assert failed.returncode == 1
    assert "Cannot listen" in failed.stderr


@pytest.mark.parametrize(
    ("certificate", "key", "sentence"),
    [
        ("missing.pem", str(KEY), "Cannot read"),
        (str(CERTIFICATE), "missing.pem", "Cannot read"),
        (str(Path(__file__)), str(KEY), "PEM"),
        (str(CERTIFICATE), str(CERTIFICATE), "Cannot listen"),
        (str(KEY), str(KEY), "Cannot listen"),
    ],
)
def test_files_that_are_no_certificate_and_key_are_told(
    tmp_path: Path, certificate: str, key: str, sentence: str
) -> None:
    flags = ["--data-dir", str(tmp_path / "data"), "--grpc", "127.0.0.1:0"]

    failed = _serve_fails(*flags, "--tls-cert", certificate, "--tls-key", key)

    assert failed.returncode == 1
    assert sentence in failed.stderr
