"""Measurements: `python -m tests.bench --out FILE [--only NAME]`. Figures, never pass or fail."""
