"""The version of dlkit, and its name on the package index, where `dlkit` is somebody else's package."""

__version__ = "0.2.0"
DISTRIBUTION = "dlkit-keras"


def install_hint(extra: str = "") -> str:
    """Return pip's command for this package, with an extra or for the newest version.

    Examples:
        >>> install_hint("plots")
        'pip install "dlkit-keras[plots]"'
    """
    return f'pip install "{DISTRIBUTION}[{extra}]"' if extra else f"pip install --upgrade {DISTRIBUTION}"
