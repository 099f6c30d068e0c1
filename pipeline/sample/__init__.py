"""The embedded sample: an invented corpus shaped like CrisisMMD v2.0, drawn on demand, always the same."""

from __future__ import annotations

from pipeline.sample.corpus import SampleError, Summary, make_sample

__all__ = ["SampleError", "Summary", "make_sample"]
