from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fk_overlay.engines import processes
from fk_overlay.engines.processes import EngineProcess, family, wait_until, why
from fk_overlay.errors import LaunchError

READY = "print('ready', flush=True)\n"
WITH_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], EngineProcess]]:
    """Starts a Python script as an engine and waits for its first line; whatever is left is killed."""
    started: list[EngineProcess] = []

    def begin(script: str) -> EngineProcess:
        log = tmp_path / f"engine{len(started)}.log"
        process = EngineProcess.start([sys.executable, "-c", script], dict(os.environ), log)
        started.append(process)
        deadline = time.monotonic() + 20
        while b"\n" not in log.read_bytes() and process.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        return process

    yield begin
    for process in started:
        process.memory.stop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.popen.pid, signal.SIGKILL)
        process.popen.wait()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the patience that engines are shown."""
    for name in ("STOP_S", "FOLLOW_S", "KILL_S"):
        monkeypatch.setattr(processes, name, getattr(processes, name) / 10)


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


# ------------------------------------------------------------------------------------------------ stopping


def test_an_engine_that_is_asked_to_stop_may_clean_up(start: Any) -> None:
    process = start(
        "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('cleaned up', flush=True)\n"
    )
    assert process.alive()
    process.stop()
    assert not process.alive()
    assert process.log.read_text().splitlines() == ["ready", "cleaned up"]


def test_an_engine_of_a_background_job_listens_too(start: Any) -> None:
    """A shell has the background jobs of a script ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        process.stop()
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.popen.returncode == -signal.SIGINT


def test_an_engine_that_does_not_listen_is_killed(start: Any) -> None:
    process = start("import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + READY + "time.sleep(60)\n")
    process.stop()
    assert process.popen.returncode == -signal.SIGKILL


def test_children_go_with_their_engine(start: Any) -> None:
    process = start(WITH_CHILD + "child.wait()\n")
    child = int(process.log.read_text())
    assert set(process.pids()) == {process.popen.pid, child}
    process.stop()
    assert gone(child)
    assert process.pids() == []


def test_children_in_a_session_of_their_own_go_too(start: Any) -> None:
    """vLLM's workers may leave the group; they are still descendants when the stop begins."""
    process = start(WITH_CHILD.replace('60)"]', '60)"], start_new_session=True') + "child.wait()\n")
    child = int(process.log.read_text())
    assert os.getpgid(child) != process.popen.pid
    process.stop()
    assert gone(child)


def test_children_of_an_engine_that_died_are_found_by_their_group(start: Any) -> None:
    process = start(WITH_CHILD + "import os\nos._exit(3)\n")
    child = int(process.log.read_text())
    process.popen.wait()
    assert not gone(child)
    process.stop()
    assert gone(child)


def test_others_are_left_alone(start: Any) -> None:
    mine, other = start(READY + "import time\ntime.sleep(60)\n"), start(READY + "import time\ntime.sleep(60)\n")
    mine.stop()
    assert other.alive()
    assert psutil.pid_exists(os.getpid())


def test_stopping_twice_and_stopping_the_dead_is_fine(start: Any) -> None:
    process = start(READY)
    process.popen.wait()
    process.stop()
    process.stop()
    assert process.popen.returncode == 0


def test_memory_is_watched_from_outside(start: Any) -> None:
    process = start(
        "data = bytearray(100 << 20)\nfor i in range(0, len(data), 4096): data[i] = 1\n"
        + READY
        + WITH_CHILD
        + "child.wait()"
    )
    deadline = time.monotonic() + 10
    while process.memory.peak < 110 << 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 110 << 20 < process.memory.peak < 400 << 20
    process.stop()


def test_engines_of_a_killed_run_do_not_live_on(tmp_path: Path) -> None:
    engine = "from fk_overlay.engines.processes import die_with_parent\nimport time\ndie_with_parent()\n" + READY
    run = f"""
import subprocess, sys, time
engine = subprocess.Popen([sys.executable, "-c", {engine + "time.sleep(60)"!r}], stdout=subprocess.PIPE)
engine.stdout.readline()
print(engine.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(pid)


def test_the_family_of_nobody_is_empty() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert family(ended.pid) == []
    assert family(os.getpid())[0].pid == os.getpid()


# ------------------------------------------------------------------------------------------------ waiting


def test_waiting_ends_when_the_engine_is_ready(start: Any) -> None:
    process, ready = start(READY + "import time\ntime.sleep(60)\n"), threading.Event()
    threading.Timer(0.2, ready.set).start()
    wait_until(ready, process, timeout_s=20.0)
    assert ready.is_set()


def test_waiting_for_the_dead_says_why_it_died(start: Any) -> None:
    process = start("import sys\nsys.exit('fk-overlay: PackError: the pack changed')\n")
    with pytest.raises(LaunchError) as died:
        wait_until(threading.Event(), process, timeout_s=20.0)
    assert died.value.state == "crashed"
    assert str(died.value) == (
        f"the engine ended with code 1: fk-overlay: PackError: the pack changed; its log is {process.log}"
    )
    assert died.value.log == "fk-overlay: PackError: the pack changed"


def test_waiting_too_long_is_a_hang(start: Any) -> None:
    process = start(READY + "import time\ntime.sleep(60)\n")
    with pytest.raises(LaunchError, match="did not answer within 0 s") as hung:
        wait_until(threading.Event(), process, timeout_s=0.3)
    assert hung.value.state == "hung"
    assert hung.value.log == "ready"


def test_an_engine_that_hangs_says_where(start: Any) -> None:
    script = """
    import subprocess, sys, time
    from fk_overlay.stacks import listen

    listen()
    deaf = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    def kernel():
        time.sleep(60)

    print(deaf.pid, flush=True)
    kernel()
    """
    process = start(textwrap.dedent(script))
    hung = process.hung("it is silent")
    assert (hung.state, str(hung)) == ("hung", f"it is silent; its log is {process.log}")
    assert "in kernel" in hung.log
    assert process.alive()
    assert not gone(int(process.tail().splitlines()[0])), "the signal ends a process that does not listen"


def test_an_engine_killed_by_the_kernel_is_dead(start: Any) -> None:
    process = start(READY + "import time\ntime.sleep(60)\n")
    process.popen.kill()
    with pytest.raises(LaunchError, match="ended with code -9"):
        wait_until(threading.Event(), process, timeout_s=20.0)


# ------------------------------------------------------------------------------------------------ reading logs


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "no error in its log"),
        (["INFO all is well"], "no error in its log"),
        (["ValueError: first", "more", "RuntimeError: second", "INFO bye"], "RuntimeError: second"),
        (["fk-overlay: PackError: mine", "RuntimeError: engine core failed"], "fk-overlay: PackError: mine"),
        (["(Worker pid=7) fk-overlay: PackError: mine"], "fk-overlay: PackError: mine"),
        (["torch.OutOfMemoryError: CUDA out of memory."], "torch.OutOfMemoryError: CUDA out of memory."),
        (["Killed"], "Killed"),
    ],
)
def test_the_line_that_says_why(lines: list[str], expected: str, tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("\n".join(lines))
    assert why(log) == expected


def test_long_reasons_keep_the_end_that_matters(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("fk-overlay: ContractError: " + "x" * 1000)
    assert why(log).startswith("fk-overlay: ContractError: xxx")
    assert len(why(log)) == 400
    log.write_text("prefix " * 200 + "ValueError: the reason")
    assert why(log).endswith("ValueError: the reason")
    assert len(why(log)) == 400


def test_a_log_with_broken_characters_is_read(start: Any, tmp_path: Path) -> None:
    process = start("import sys\nsys.stdout.buffer.write(b'\\xff\\xfe ValueError: odd\\n')\n")
    process.popen.wait()
    assert process.tail().endswith(" ValueError: odd")
    assert why(process.log).endswith(" ValueError: odd")


def test_the_tail_is_the_last_lines(start: Any) -> None:
    process = start("print('\\n'.join(map(str, range(100))))")
    process.popen.wait()
    assert process.tail().splitlines() == [str(number) for number in range(60, 100)]
