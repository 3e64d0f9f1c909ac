"""Types of the compiled `activation`: see activation.pyx."""

NAMES: tuple[str, ...]
