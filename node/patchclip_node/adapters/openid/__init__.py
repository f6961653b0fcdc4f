"""An OpenID provider over HTTPS: discovery, the authorization code flow with PKCE, and ID tokens."""

from patchclip_node.adapters.openid.provider import OpenIdProvider

__all__ = ["OpenIdProvider"]
