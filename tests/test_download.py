"""Downloads from a server on this machine that misbehaves as told."""

import hashlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nbhelpers.download import DataError, File, fetch

CONTENT = hashlib.sha256(b"content").digest() * 20000  # 640 kB: several chunks
HALF = len(CONTENT) // 2


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any path; `cut` lists after how many bytes each response breaks off.

    No response starts before `gate` is set.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut, self.ranges, self.requests = CONTENT, [], True, []
        self.gate = threading.Event()
        self.gate.set()

    def file(self, name="set.bin", checksum=None):
        checksum = checksum or hashlib.md5(CONTENT).hexdigest()
        return File(f"http://127.0.0.1:{self.server_port}/{name}", len(CONTENT), checksum)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range") if server.ranges else None
        server.requests.append((self.path, wanted))
        server.gate.wait()
        if self.path.startswith("/missing/"):
            return self.send_error(404)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        body = server.content[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut.pop(0)] if server.cut else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("NBHELPERS_MIRRORS", raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def gone():
    """The address of a server that is not there any more."""
    with Server() as server:
        return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_fetches_and_checks(server, tmp_path, kind):
    path = fetch(server.file(checksum=hashlib.new(kind, CONTENT).hexdigest()), tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert not list(path.parent.glob("*.partial"))


def test_a_file_that_is_there_is_not_fetched_again(server, tmp_path):
    assert fetch(server.file(), tmp_path) == fetch(server.file(), tmp_path)
    assert len(server.requests) == 1


def test_an_interrupted_transfer_is_resumed_in_the_same_call(server, tmp_path):
    server.cut = [HALF]
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, f"bytes={HALF}-"]


def test_a_partial_file_of_an_earlier_call_is_resumed(server, tmp_path):
    server.cut = [HALF, 0]
    with pytest.raises(DataError, match=rf"ended at byte {HALF} of {len(CONTENT)} \(truncated\); kept"):
        fetch(server.file(), tmp_path)
    assert (tmp_path / "set.bin.partial").stat().st_size == HALF
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] == f"bytes={HALF}-"


def test_a_server_without_ranges_starts_over(server, tmp_path):
    (tmp_path / "set.bin.partial").write_bytes(CONTENT[:HALF])
    server.ranges = False
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT


def test_a_partial_file_with_other_content_is_fetched_from_the_start(server, tmp_path):
    (tmp_path / "set.bin.partial").write_bytes(bytes(HALF))
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [f"bytes={HALF}-", None]


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    server.content = bytes(len(CONTENT))
    with pytest.raises(DataError, match=r"has the wrong md5 .*, expected .*; removed"):
        fetch(server.file(), tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


def test_a_file_of_another_size_is_refused_before_it_is_fetched(server, tmp_path):
    server.content = b"<html>log in to this network</html>"
    with pytest.raises(DataError, match=f"the server's file has 35 bytes instead of {len(CONTENT)}") as error:
        fetch(server.file(), tmp_path)
    assert "\n" not in str(error.value)


def test_mirrors_come_first_and_the_own_address_last(server, gone, tmp_path, monkeypatch):
    base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("NBHELPERS_MIRRORS", f"{gone}, {base}/missing, {base}/mirror/")
    fetch(server.file(), tmp_path)
    assert [path for path, _ in server.requests] == ["/missing/set.bin", "/mirror/set.bin"]
    monkeypatch.setenv("NBHELPERS_MIRRORS", gone)
    fetch(server.file("other.bin"), tmp_path)
    assert [path for path, _ in server.requests][2:] == ["/other.bin"]


def test_a_folder_is_a_mirror_too(tmp_path, gone, monkeypatch):
    (tmp_path / "set.bin").write_bytes(CONTENT)
    monkeypatch.setenv("NBHELPERS_MIRRORS", tmp_path.as_uri())
    file = File(f"{gone}/set.bin", len(CONTENT), hashlib.md5(CONTENT).hexdigest())
    assert fetch(file, tmp_path / "here").read_bytes() == CONTENT


def test_without_a_server_every_address_is_named(gone, tmp_path, monkeypatch):
    monkeypatch.setenv("NBHELPERS_MIRRORS", "no-address")
    with pytest.raises(DataError, match=f"no-address/set.bin failed .*; {gone}/set.bin failed") as error:
        fetch(File(f"{gone}/set.bin", 1, "0" * 32), tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write to .*set NBHELPERS_DATA"):
        fetch(server.file(), tmp_path / "file")


FETCH = """
import sys
from pathlib import Path
from nbhelpers.download import File, fetch
print("ready", flush=True)
fetch(File(sys.argv[1], int(sys.argv[2]), sys.argv[3]), Path(sys.argv[4]))
"""


def test_two_processes_download_once(server, tmp_path):
    server.gate.clear()
    file = server.file()
    command = [sys.executable, "-c", FETCH, file.url, str(file.size), file.checksum, str(tmp_path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as one,
        subprocess.Popen(command, stdout=subprocess.PIPE) as other,
    ):
        assert one.stdout.readline() == other.stdout.readline() == b"ready\n"
        server.gate.set()  # not before both have set out
    assert [one.returncode, other.returncode] == [0, 0]
    assert len(server.requests) == 1
    assert (tmp_path / "set.bin").read_bytes() == CONTENT
