"""A run's report: HTML, Markdown and JSON from one summary of its records; and several runs in one table."""

from fk_overlay.report.writing import write, write_side_by_side

__all__ = ["write", "write_side_by_side"]
