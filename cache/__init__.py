"""The feature cache: one file per dataset and encoder that survives kills, names its rotten rows and is never stale."""

from __future__ import annotations

from cache.captions import Captions
from cache.catalog import Info, describe, drop, list_files, merge, verify
from cache.errors import CacheBusy, CacheDamaged, CacheError, CacheWarning
from cache.integrity import Damage, Report
from cache.ours import require_ours
from cache.reader import FeatureFile
from cache.rows import Rows, Status
from cache.salvage import Salvaged, salvage
from cache.schema import ViewSpec
from cache.writer import FeatureWriter

__all__ = [
    "CacheBusy",
    "CacheDamaged",
    "CacheError",
    "CacheWarning",
    "Captions",
    "Damage",
    "FeatureFile",
    "FeatureWriter",
    "Info",
    "Report",
    "Rows",
    "Salvaged",
    "Status",
    "ViewSpec",
    "describe",
    "drop",
    "list_files",
    "merge",
    "require_ours",
    "salvage",
    "verify",
]
