"""Messages to a web address as JSON, signed where a secret is set."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from patchclip_node.adapters.secret_file import read_secret
from patchclip_node.adapters.trusted import trusting
from patchclip_node.domain.alerts import AlertMessage
from patchclip_node.domain.errors import PeerError

TIMEOUT_S: Final = 20.0
"""How long the server may take for each answer."""

SIGNATURE: Final = "X-Patchclip-Signature"
"""sha256= and the HMAC (RFC 2104) with SHA-256 of the body, by the secret, in hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where messages are posted to. secret_file: None: they are not signed. ca: None: the system's authorities."""

    url: str
    secret_file: Path | None = None
    ca: Path | None = None


class WebhookChannel:
    """The port `AlertChannel`. A message that is sent twice has the same `key` and time."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    def send(self, message: AlertMessage) -> None:
        """See the port."""
        import httpx2  # noqa: PLC0415 - a second that nodes without a webhook need not spend

        body = json.dumps({**message.values, "text": message.text}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        if self._webhook.secret_file is not None:
            secret = read_secret(self._webhook.secret_file, "alerts.webhook.secret_file")
            headers[SIGNATURE] = f"sha256={signature(secret, body)}"
        context = trusting(self._webhook.ca, "alerts.webhook.ca")
        try:
            with httpx2.Client(verify=context, timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
                answer = client.post(self._webhook.url, content=body, headers=headers)
        except httpx2.TimeoutException as error:
            raise PeerError(f"the webhook gives no answer within {TIMEOUT_S:g} s") from error
        except httpx2.HTTPError as error:
            raise PeerError(f"the webhook can't be reached: {error}") from error
        if not answer.is_success:
            raise PeerError(f"the webhook answers {answer.status_code}")


def signature(secret: str, body: bytes) -> str:
    """Return what a receiver compares (`hmac.compare_digest`) with what came after `sha256=`."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


__all__ = ["SIGNATURE", "Webhook", "WebhookChannel", "signature"]
