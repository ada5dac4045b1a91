import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from fk_overlay.engines.forkserver import Forked, ForkServer
from fk_overlay.errors import LaunchError

JOBS = """
import json, os, signal, sys, time

print("printed while importing")
STATE = []


def echo():
    for line in sys.stdin:
        print(line.upper(), end="", flush=True)


def surroundings():
    print(os.environ.get("COLOUR"), os.environ.get("ONLY_SERVER"), os.getcwd(), os.getsid(0) == os.getpid(), flush=True)


def state():
    STATE.append(os.getpid())
    print(len(STATE), flush=True)


def descriptors():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except OSError:
            continue
    print(json.dumps([target for number, target in found if number > 2]), flush=True)


def unflushed():
    print("no flush")


def fine():
    pass


def leaves_with_number():
    sys.exit(3)


def leaves_with_text():
    sys.exit("the last word")


def leaves():
    sys.exit()


def raises():
    raise ValueError("no such thing")


def kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def sleeps():
    print("asleep", flush=True)
    time.sleep(120)


def path():
    print(sys.path[0], flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forkserver")
    (folder / "jobs_to_fork.py").write_text(JOBS)
    (folder / "broken_import.py").write_text("import no_such_module_anywhere\n")
    return folder


@pytest.fixture(scope="module")
def env(folder: Path) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join((str(folder), *filter(None, sys.path)))}


@contextlib.contextmanager
def serving(folder: Path, env: Mapping[str, str]) -> Iterator[ForkServer]:
    server = ForkServer(["jobs_to_fork"], {**env, "ONLY_SERVER": "yes"}, folder / "imports.log", 120.0)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(folder: Path, env: Mapping[str, str]) -> Iterator[ForkServer]:
    with serving(folder, env) as started:
        yield started


class Forks:
    """Forks jobs, and ends those that are left."""

    def __init__(self, server: ForkServer, env: Mapping[str, str], errors: Path) -> None:
        self.server, self.env, self.errors = server, env, errors
        self.started: list[Forked] = []

    def __call__(self, job: str, **env: str) -> Forked:
        with self.errors.open("ab") as errors:
            self.started.append(self.server.fork(f"jobs_to_fork:{job}", {**self.env, **env}, errors))
        return self.started[-1]

    def said(self, job: str, **env: str) -> str:
        forked = self(job, **env)
        assert forked.wait(60) == 0
        return output(forked)

    def end(self) -> None:
        for forked in self.started:
            if forked.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(forked.pid, signal.SIGKILL)
                forked.wait(60)


@pytest.fixture
def fork(server: ForkServer, env: Mapping[str, str], tmp_path: Path) -> Iterator[Forks]:
    forks = Forks(server, env, tmp_path / "errors.log")
    yield forks
    forks.end()


def output(forked: Forked) -> str:
    assert forked.stdout is not None
    return forked.stdout.read().decode()


def line(forked: Forked) -> str:
    assert forked.stdout is not None
    return forked.stdout.readline().decode()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_fork_talks_over_its_own_pipes(fork: Forks) -> None:
    one, two = fork("echo"), fork("echo")
    assert one.stdin is not None
    assert two.stdin is not None
    two.stdin.write(b"second\n")
    one.stdin.write(b"first\n")
    assert (line(one), line(two)) == ("FIRST\n", "SECOND\n")
    one.stdin.close()
    assert one.wait(60) == 0
    assert two.poll() is None
    two.stdin.close()
    assert two.wait(60) == 0


def test_a_fork_has_the_environment_folder_and_session_that_it_was_given(
    fork: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fork.said("surroundings", COLOUR="blue") == f"blue None {tmp_path} True\n"
    assert fork.said("surroundings") == f"None None {tmp_path} True\n"


def test_folders_in_pythonpath_are_searched_by_the_fork(fork: Forks, env: Mapping[str, str], tmp_path: Path) -> None:
    assert fork.said("path", PYTHONPATH=os.pathsep.join((str(tmp_path), env["PYTHONPATH"]))) == f"{tmp_path}\n"


def test_what_one_fork_changes_no_other_sees(fork: Forks) -> None:
    assert [fork.said("state") for _ in range(3)] == ["1\n"] * 3


def test_what_the_import_printed_is_in_its_log_and_in_no_answer(fork: Forks, folder: Path) -> None:
    assert fork.said("state") == "1\n"
    assert "printed while importing" in (folder / "imports.log").read_text()


def test_what_a_fork_prints_last_is_not_lost(fork: Forks) -> None:
    assert fork.said("unflushed") == "no flush\n"


@pytest.mark.parametrize(
    ("job", "code", "said"),
    [
        ("fine", 0, ""),
        ("leaves", 0, ""),
        ("leaves_with_number", 3, ""),
        ("leaves_with_text", 1, "the last word\n"),
        ("raises", 1, "ValueError: no such thing\n"),
        ("kills_itself", -signal.SIGKILL, ""),
        ("no_such_function", 1, "has no attribute 'no_such_function'\n"),
    ],
)
def test_exit_codes_are_those_of_a_process(fork: Forks, job: str, code: int, said: str) -> None:
    forked = fork(job)
    assert forked.wait(60) == code
    assert forked.poll() == code
    assert fork.errors.read_text().endswith(said)
    assert ("Traceback" in fork.errors.read_text()) is (job in ("raises", "no_such_function"))


def test_a_fork_can_be_polled_waited_for_and_signalled(fork: Forks) -> None:
    forked = fork("sleeps")
    assert line(forked) == "asleep\n"
    assert forked.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        forked.wait(0.05)
    forked.send_signal(signal.SIGTERM)
    assert forked.wait(60) == -signal.SIGTERM
    forked.send_signal(signal.SIGTERM)


def test_an_ended_fork_leaves_no_zombie(fork: Forks, server: ForkServer) -> None:
    forked = fork("fine")
    forked.wait(60)
    assert not psutil.pid_exists(forked.pid)
    assert server.alive()


def test_forks_inherit_no_descriptor_of_the_server_or_of_each_other(fork: Forks) -> None:
    busy = [fork("sleeps") for _ in range(2)]
    for forked in busy:
        line(forked)
    leaked = json.loads(fork.said("descriptors"))
    assert [target for target in leaked if target.startswith(("socket:", "pipe:", "anon_inode:"))] == []


def test_forks_end_with_the_server(folder: Path, env: Mapping[str, str], tmp_path: Path) -> None:
    with serving(folder, env) as server:
        forks = Forks(server, env, tmp_path / "errors.log")
        forked = forks("sleeps")
        line(forked)
        server.stop()
        assert not server.alive()
        assert forked.wait(60) == -signal.SIGKILL
        deadline = time.monotonic() + 30
        while not gone(forked.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        left = not gone(forked.pid)
        if left:
            os.kill(forked.pid, signal.SIGKILL)
        assert not left
        with pytest.raises(LaunchError, match="gone"):
            forks("fine")


def test_an_import_that_fails_is_an_error_with_the_log(folder: Path, env: Mapping[str, str], tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"importing jobs_to_fork, broken_import failed; see .*broken\.log") as caught:
        ForkServer(["jobs_to_fork", "broken_import"], env, tmp_path / "broken.log", 120.0)
    assert "No module named 'no_such_module_anywhere'" in caught.value.log


def test_an_import_that_does_not_end_is_given_up(folder: Path, env: Mapping[str, str], tmp_path: Path) -> None:
    (folder / "slow_import.py").write_text("import time; time.sleep(120)\n")
    started = time.monotonic()
    with pytest.raises(LaunchError, match="importing slow_import failed"):
        ForkServer(["slow_import"], env, tmp_path / "slow.log", 0.5)
    assert time.monotonic() - started < 60
