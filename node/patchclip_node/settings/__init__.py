"""The node's settings: typed, frozen, read once at bootstrap."""

from patchclip_node.settings.node import TEST_VARIABLES, NodeSettings, read_settings
from patchclip_node.settings.sections import (
    SHIPPED_PROFILES,
    STANDARD_PROFILE,
    DestinationSettings,
    DestinationTlsSettings,
    KnownCallerSettings,
    LimitSettings,
    LogSettings,
    ProfileSettings,
    RetentionSettings,
    RetrySettings,
    TlsSettings,
    WebSettings,
)

__all__ = [
    "SHIPPED_PROFILES",
    "STANDARD_PROFILE",
    "TEST_VARIABLES",
    "DestinationSettings",
    "DestinationTlsSettings",
    "KnownCallerSettings",
    "LimitSettings",
    "LogSettings",
    "NodeSettings",
    "ProfileSettings",
    "RetentionSettings",
    "RetrySettings",
    "TlsSettings",
    "WebSettings",
    "read_settings",
]
