"""How far a verb is."""

from __future__ import annotations


class Progress:
    """A bar that says which part of the work is under way; on a terminal it moves, in a log it is one line a part."""

    def __enter__(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._bar = Bar(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._bar.start()
        self._task = self._bar.add_task("starting", total=None)
        return self

    def tell(self, what: str, done: int, total: int) -> None:
        self._bar.update(self._task, description=what, completed=done, total=total)
        if not self._console.is_terminal:
            self._console.print(f"[{done + 1}/{total}] {what}", highlight=False)

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()
