"""What the controller was told at its start, as one frozen value: read from flags and INI file, and checked.

Nothing here listens, connects or logs. A mistake is a `SettingsError` that names the flag and the remedy.
"""

from ryu_apps.settings.checks import SettingsError
from ryu_apps.settings.reading import apply_to_ryu, load, read
from ryu_apps.settings.values import Kubernetes, Settings, Tls

__all__ = ["Kubernetes", "Settings", "SettingsError", "Tls", "apply_to_ryu", "load", "read"]
