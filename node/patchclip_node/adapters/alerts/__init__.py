"""The ways to a person: mail, and a webhook."""

from patchclip_node.adapters.alerts.mail import MailAccount, MailChannel
from patchclip_node.adapters.alerts.webhook import Webhook, WebhookChannel

__all__ = ["MailAccount", "MailChannel", "Webhook", "WebhookChannel"]
