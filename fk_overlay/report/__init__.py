"""A run's report: HTML, Markdown and JSON from one summary of its records."""

from fk_overlay.report.writing import write

__all__ = ["write"]
