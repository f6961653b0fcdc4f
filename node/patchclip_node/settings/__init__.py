"""The node's settings: typed, frozen, read once at bootstrap."""

from patchclip_node.settings.alerts import (
    AlertSettings,
    CanarySettings,
    ExpectedSenderSettings,
    MailSettings,
    WebhookSettings,
)
from patchclip_node.settings.audit import AuditSettings, CollectorSettings
from patchclip_node.settings.node import TEST_VARIABLES, NodeSettings, read_settings
from patchclip_node.settings.openid import OpenIdSettings
from patchclip_node.settings.routes import RouteSettings
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
)
from patchclip_node.settings.web import WebSettings

__all__ = [
    "SHIPPED_PROFILES",
    "STANDARD_PROFILE",
    "TEST_VARIABLES",
    "AlertSettings",
    "AuditSettings",
    "CanarySettings",
    "CollectorSettings",
    "DestinationSettings",
    "DestinationTlsSettings",
    "ExpectedSenderSettings",
    "KnownCallerSettings",
    "LimitSettings",
    "LogSettings",
    "MailSettings",
    "NodeSettings",
    "OpenIdSettings",
    "ProfileSettings",
    "RetentionSettings",
    "RetrySettings",
    "RouteSettings",
    "TlsSettings",
    "WebSettings",
    "WebhookSettings",
    "read_settings",
]
