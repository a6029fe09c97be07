"""RDKit, which files of structures and pictures of molecules need, and nothing else."""

from __future__ import annotations

from typing import Any

from dlkit.errors import DlkitError
from dlkit.version import install_hint


def import_rdkit(what: str) -> Any:
    """Import `rdkit.Chem`. Raises DlkitError, which says what needs it, if RDKit is not installed."""
    try:
        from rdkit import Chem, RDLogger
    except ImportError as error:
        raise DlkitError(f"{what} needs RDKit: {install_hint('molecules')}.") from error
    # RDKit's complaints about records are reported with their place.
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    return Chem
