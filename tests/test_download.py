"""Downloads from a server on this machine that misbehaves as told."""

import contextlib
import hashlib
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nbhelpers.download import CHUNK, DataError, File, fetch

CONTENT = hashlib.sha256(b"content").digest() * 20000  # 640 kB: several chunks
HALF = len(CONTENT) // 2


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any path; `cut` lists after how many bytes each response breaks off.

    No response starts before `gate` is set, and none goes beyond `pause` bytes before `on` is.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.whole = self.content = CONTENT  # what it should serve, and what it does
        self.cut, self.ranges, self.requests = [], True, []
        self.pause, self.gate, self.on = 0, threading.Event(), threading.Event()
        self.gate.set()
        self.on.set()

    def file(self, name="set.bin", checksum=None):
        checksum = checksum or hashlib.md5(self.whole).hexdigest()
        return File(f"http://127.0.0.1:{self.server_port}/{name}", len(self.whole), checksum)


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
        body = body[: server.cut.pop(0)] if server.cut else body
        first = len(body) if server.on.is_set() else server.pause
        self.wfile.write(body[:first])
        server.on.wait()
        with contextlib.suppress(OSError):  # the client may have been killed
            self.wfile.write(body[first:])

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
import filelock
from nbhelpers.download import File, fetch

class Telling(filelock.FileLock):
    def acquire(self, *args, **options):
        print("waits", flush=True)
        got = super().acquire(*args, **options)
        print("holds", flush=True)
        return got

filelock.FileLock = Telling
fetch(File(sys.argv[1], int(sys.argv[2]), sys.argv[3]), Path(sys.argv[4]))
print("done", flush=True)
"""


def fetching(file: File, folder) -> subprocess.Popen:
    """Another process that fetches `file`, and tells when it waits for the lock, holds it, and is done."""
    command = [sys.executable, "-c", FETCH, file.url, str(file.size), file.checksum, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def until(holds, seconds: float = 60) -> None:
    """Return as soon as `holds()` does; fail if it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "never came about"
        time.sleep(0.01)


def test_two_processes_download_once(server, tmp_path):
    server.gate.clear()
    with fetching(server.file(), tmp_path) as one:
        assert [one.stdout.readline(), one.stdout.readline()] == ["waits\n", "holds\n"]
        until(lambda: server.requests)  # the one is in the middle of its transfer
        with fetching(server.file(), tmp_path) as other:
            assert other.stdout.readline() == "waits\n"  # without a lock there is no such line
            server.gate.set()
            assert other.stdout.read() == "holds\ndone\n"
        assert one.stdout.read() == "done\n"
    assert [one.returncode, other.returncode] == [0, 0]
    assert len(server.requests) == 1
    assert (tmp_path / "set.bin").read_bytes() == CONTENT


def test_a_process_that_was_killed_half_way_is_followed_by_one_that_fetches_the_other_half(server, tmp_path):
    server.whole = server.content = bytes(range(256)) * (4 * CHUNK // 256)
    server.pause = 2 * CHUNK
    server.on.clear()
    partial = tmp_path / "set.bin.partial"
    with fetching(server.file(), tmp_path) as killed:
        until(lambda: partial.exists() and partial.stat().st_size == 2 * CHUNK)
        killed.send_signal(signal.SIGKILL)
    server.on.set()
    assert killed.returncode == -signal.SIGKILL and partial.stat().st_size == 2 * CHUNK
    with fetching(server.file(), tmp_path) as other:
        assert other.stdout.read() == "waits\nholds\ndone\n"
    assert [wanted for _, wanted in server.requests] == [None, f"bytes={2 * CHUNK}-"]
    assert (tmp_path / "set.bin").read_bytes() == server.content and not partial.exists()
