from __future__ import annotations

from collections.abc import Iterator

import pytest
from bench_toy import ToyBench, opened


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyBench]:
    with opened(tmp_path_factory.mktemp("bench-toy")) as found:
        yield found
