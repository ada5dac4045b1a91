from __future__ import annotations

import importlib
import importlib.util
import inspect
import pickle
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from fk_overlay.errors import SeamError
from fk_overlay.overlay.imports import Watcher


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watcher = Watcher()
    yield watcher
    while watcher in sys.meta_path:
        sys.meta_path.remove(watcher)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that is importable for one test."""
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "__init__.py").write_text("here = 1\n")
    (folder / "leaf.py").write_text("class Leaf:\n    def value(self):\n        return 'leaf'\n")
    (folder / "other.py").write_text("from watched.leaf import Leaf\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "watched"]:
        del sys.modules[name]


def test_runs_after_the_module_body_and_before_the_importer_goes_on(watcher: Watcher, package: Path) -> None:
    def mark(module: ModuleType) -> None:
        module.Leaf.value = lambda self: "patched"

    watcher.after("watched.leaf", mark)
    assert "watched.leaf" not in sys.modules
    other = importlib.import_module("watched.other")
    assert other.Leaf().value() == "patched"


def test_runs_at_once_when_it_is_imported_already(watcher: Watcher, package: Path) -> None:
    leaf = importlib.import_module("watched.leaf")
    seen: list[ModuleType] = []
    watcher.after("watched.leaf", seen.append)
    assert seen == [leaf]
    assert watcher not in sys.meta_path


def test_watching_imports_nothing(watcher: Watcher, package: Path) -> None:
    watcher.after("watched.leaf", lambda module: None)
    importlib.import_module("json")
    assert not any(name.startswith("watched") for name in sys.modules)


def test_everybody_who_asked_is_called_once_in_order(watcher: Watcher, package: Path) -> None:
    seen: list[str] = []
    watcher.after("watched.leaf", lambda module: seen.append("first"))
    watcher.after("watched.leaf", lambda module: seen.append("second"))
    importlib.import_module("watched.leaf")
    importlib.import_module("watched.leaf")
    assert seen == ["first", "second"]


def test_two_watchers_of_one_module(watcher: Watcher, package: Path) -> None:
    other = Watcher()
    seen: list[str] = []
    try:
        watcher.after("watched.leaf", lambda module: seen.append("inner"))
        other.after("watched.leaf", lambda module: seen.append("outer"))
        leaf = importlib.import_module("watched.leaf")
    finally:
        sys.meta_path.remove(other)
    assert sorted(seen) == ["inner", "outer"]
    assert type(leaf.__spec__.loader) is SourceFileLoader  # type: ignore[union-attr]


def test_a_callback_may_watch_further_modules(watcher: Watcher, package: Path) -> None:
    seen: list[str] = []
    watcher.after("watched", lambda module: watcher.after("watched.leaf", lambda leaf: seen.append(leaf.__name__)))
    importlib.import_module("watched.leaf")
    assert seen == ["watched.leaf"]


def test_packages_keep_their_submodules(watcher: Watcher, package: Path) -> None:
    seen: list[str] = []
    watcher.after("watched", lambda module: seen.append(module.__name__))
    leaf = importlib.import_module("watched.leaf")
    assert seen == ["watched"]
    assert leaf.Leaf().value() == "leaf"
    assert sys.modules["watched"].__path__ == [str(package)]


def test_nothing_of_the_watcher_stays_on_the_module(watcher: Watcher, package: Path) -> None:
    watcher.after("watched.leaf", lambda module: None)
    leaf = importlib.import_module("watched.leaf")
    assert leaf.__spec__ is not None
    assert type(leaf.__spec__.loader) is type(leaf.__loader__) is SourceFileLoader
    assert inspect.getsource(leaf.Leaf.value).strip().startswith("def value")
    assert type(pickle.loads(pickle.dumps(leaf.Leaf()))) is leaf.Leaf
    assert importlib.reload(leaf).Leaf().value() == "leaf"


def test_a_lookup_without_an_import_uses_nothing_up(watcher: Watcher, package: Path) -> None:
    """Engines ask ``find_spec`` whether an optional package is there long before they import it."""
    seen: list[str] = []
    watcher.after("watched.leaf", lambda module: seen.append(module.__name__))
    spec = importlib.util.find_spec("watched.leaf")
    assert spec is not None
    assert spec.origin == str(package / "leaf.py")
    importlib.import_module("watched.leaf")
    assert seen == ["watched.leaf"]


def test_a_module_that_fails_is_still_caught_when_it_works(watcher: Watcher, package: Path) -> None:
    seen: list[str] = []
    (package / "leaf.py").write_text("raise ImportError('not yet')\n")
    watcher.after("watched.leaf", lambda module: seen.append(module.__name__))
    with pytest.raises(ImportError, match="not yet"):
        importlib.import_module("watched.leaf")
    assert seen == []
    (package / "leaf.py").write_text("Leaf = 'a longer file, so that no stale bytecode is used'\n")
    importlib.invalidate_caches()
    importlib.import_module("watched.leaf")
    assert seen == ["watched.leaf"]


def test_a_module_that_is_loaded_anew_is_patched_anew(watcher: Watcher, package: Path) -> None:
    def mark(module: ModuleType) -> None:
        module.Leaf.value = lambda self: "patched"

    watcher.after("watched.leaf", mark)
    leaf = importlib.import_module("watched.leaf")
    first = leaf.Leaf
    assert importlib.reload(leaf).Leaf is not first
    assert leaf.Leaf().value() == "patched"
    del sys.modules["watched.leaf"]
    assert importlib.import_module("watched.leaf").Leaf().value() == "patched"


def test_a_callback_that_fails_fails_the_import_every_time(watcher: Watcher, package: Path) -> None:
    """An engine that survives the first failure must not get the unpatched module with the second try."""

    def refuse(module: ModuleType) -> None:
        raise SystemExit("no")

    watcher.after("watched.leaf", refuse)
    for _ in range(2):
        with pytest.raises(SystemExit):
            importlib.import_module("watched.leaf")
        assert "watched.leaf" not in sys.modules


def test_a_missing_module_is_missing(watcher: Watcher, package: Path) -> None:
    watcher.after("watched.nowhere", lambda module: pytest.fail("there is no such module"))
    with pytest.raises(ModuleNotFoundError, match=r"watched\.nowhere"):
        importlib.import_module("watched.nowhere")


def test_circular_imports_are_patched_when_the_body_is_done(watcher: Watcher, package: Path) -> None:
    (package / "leaf.py").write_text("import watched.other\nclass Leaf:\n    name = 'leaf'\n")
    (package / "other.py").write_text("import watched.leaf as leaf\nearly = hasattr(leaf, 'Leaf')\n")
    names: list[str] = []
    watcher.after("watched.leaf", lambda module: names.append(module.Leaf.name))
    importlib.import_module("watched.leaf")
    assert names == ["leaf"]
    assert sys.modules["watched.other"].early is False


def test_a_half_imported_module_is_refused(watcher: Watcher, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its class may not exist yet, and there is no way to be called when it does."""
    monkeypatch.setattr(sys, "watcher_of_test", watcher, raising=False)
    (package / "leaf.py").write_text("import sys\nsys.watcher_of_test.after('watched.leaf', print)\nclass Leaf: ...\n")
    with pytest.raises(SeamError, match=r"watched\.leaf is half imported"):
        importlib.import_module("watched.leaf")


def test_threads_that_import_at_once_get_the_patched_module(watcher: Watcher, package: Path) -> None:
    (package / "leaf.py").write_text("import time\ntime.sleep(0.05)\nvalue = 'original'\n")
    calls: list[str] = []

    def patch(module: ModuleType) -> None:
        calls.append(module.value)
        module.value = "patched"

    watcher.after("watched.leaf", patch)
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.append(importlib.import_module("watched.leaf").value)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["patched"] * 4
    assert calls == ["original"]


def test_a_module_that_another_thread_is_importing_is_waited_for(watcher: Watcher, package: Path) -> None:
    (package / "leaf.py").write_text("import time\ntime.sleep(0.2)\nvalue = 'whole'\n")
    importer = threading.Thread(target=importlib.import_module, args=("watched.leaf",))
    importer.start()
    while "watched.leaf" not in sys.modules:
        pass
    seen: list[str] = []
    watcher.after("watched.leaf", lambda module: seen.append(module.value))
    importer.join()
    assert seen == ["whole"]
