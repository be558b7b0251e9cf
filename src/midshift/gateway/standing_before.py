"""Who stands before a gateway, and which headers they add to a request to say who its user is, or to be let in.

Contract. None of them reaches a provider. `*` stands for anything, at the end or at the beginning of a name; names are
in lower case, with `-` for `_`. What an app or a vendor's client says of its own accord is in no list: betas, request
ids, traces, `x-stainless-*`, whatever a provider calls its own. Names were looked up for Azure
App Service, AWS mutual TLS, Kong, Fly, Pomerium, Authelia and Tailscale; the others are as they are commonly known, and
not verified. A header whose name an operator chooses can be in no list, and is the operator's to remove.
Elsewhere: what else stays here, and what comes back (headers).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ADDED_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # The standards, and what every product calls the same.
        "RFC 7239, forwarded": ("forwarded", "x-forwarded-*"),
        "RFC 9110, 7.6.3 and 10.1": ("via", "from", "referer"),
        # With an origin, Anthropic takes a request for a browser's and refuses it.
        "browsers": ("origin", "x-csrftoken"),
        "RFC 9440, certificates of clients": ("client-cert", "client-cert-chain"),
        "RFC 9449, proof of possession": ("dpop",),
        "addresses of clients": (
            *("client-ip", "*-client-ip", "*-clientip", "*-connecting-ip", "*-real-ip", "*-forwarded-for"),
            *("x-remote-addr", "remote-addr", "x-originating-ip", "x-remote-ip"),
        ),
        "users, by convention": (
            *("x-user", "x-userid", "x-user-id", "x-user-name", "x-user-ip", "x-user-groups", "x-user-roles"),
            *(
                "x-email",
                "*-user-email",
                "*-username",
                "*-userinfo",
                "x-authenticated-*",
                "x-end-user-*",
                "x-webauth-*",
            ),
        ),
        "credentials, by convention": (
            *("apikey", "x-apikey", "x-auth-*"),
            *("*-api-key", "*-authorization", "*-token", "*-accesstoken", "*-assertion", "*-secret", "*-jwt"),
        ),
        # Clouds.
        "Amazon CloudFront": ("cloudfront-*", "x-amz-cf-id"),
        "AWS Application Load Balancer": ("x-amzn-oidc-*", "x-amzn-mtls-*"),
        "AWS Verified Access": ("x-amzn-ava-*",),
        "Azure App Service": (
            *("x-ms-client-principal*", "x-ms-token-*", "x-zumo-auth"),
            *("x-arr-clientcert", "x-waws-*", "x-original-*"),
        ),
        "Azure Front Door": ("x-azure-clientip", "x-azure-socketip"),
        "Azure API Management": ("ocp-apim-subscription-key",),
        "Google App Engine": ("x-appengine-*",),
        "Google Cloud Endpoints": ("x-endpoint-api-userinfo", "x-apigateway-api-userinfo"),
        "Google Cloud Load Balancing": ("x-client-cert-*",),
        "Google Identity-Aware Proxy": ("x-goog-authenticated-user-*", "x-goog-iap-*"),
        "Firebase App Check": ("x-firebase-appcheck",),
        "DigitalOcean": ("do-connecting-ip",),
        "Fly.io": ("fly-client-ip", "fly-region", "fly-forwarded-*"),
        "Netlify": ("x-nf-*",),
        "Vercel": ("x-vercel-forwarded-for", "x-vercel-proxied-for", "x-vercel-ip-*"),
        # Networks between a user and an app.
        "Akamai": ("akamai-*", "x-akamai-*", "true-client-ip"),
        "Cloudflare": ("cf-*",),
        "Fastly": ("fastly-*",),
        "Imperva": ("incap-client-ip",),
        "Sucuri": ("x-sucuri-*",),
        # Proxies and gateways.
        "Apache APISIX": ("x-userinfo", "x-consumer-*"),
        "Envoy and Istio": ("x-envoy-*", "x-forwarded-client-cert"),
        "HAProxy and Apache httpd": ("x-ssl-client-*", "ssl-client-*"),
        "ingress-nginx": ("x-real-ip", "x-original-*", "ssl-client-*"),
        "Kong": ("apikey", "x-consumer-*", "x-credential-*", "x-anonymous-consumer", "x-authenticated-*"),
        "Kubernetes, authenticating proxy": ("x-remote-*", "impersonate-*"),
        "Linkerd": ("l5d-*",),
        "Helicone": ("helicone-auth",),
        "Rackspace": ("x-cluster-client-ip",),
        "WebLogic": ("wl-proxy-*", "proxy-client-ip"),
        # Whoever signs users in.
        "Authelia": ("remote-user", "remote-groups", "remote-name", "remote-email"),
        "authentik": ("x-authentik-*",),
        "Cloudflare Access": ("cf-access-*",),
        "oauth2-proxy": ("x-auth-request-*", "gap-auth"),
        "Pomerium": ("x-pomerium-*",),
        "Tailscale": ("tailscale-*",),
        "Teleport": ("teleport-*",),
        "Vouch": ("x-vouch-*",),
    }
)

OF_PROVIDERS = ("cf-aig-",)
"""How names begin that are an app's word to a provider all the same: to Cloudflare's AI Gateway, how long to cache."""

_ALL = {pattern.encode() for patterns in ADDED_BY.values() for pattern in patterns}
_NAMES = frozenset(pattern for pattern in _ALL if b"*" not in pattern)
_BEGINNINGS = tuple(sorted(pattern[:-1] for pattern in _ALL if pattern.endswith(b"*")))
_ENDINGS = tuple(sorted(pattern[1:] for pattern in _ALL if pattern.startswith(b"*")))


_PASSES = tuple(beginning.encode() for beginning in OF_PROVIDERS)


def is_theirs(name: bytes) -> bool:
    """Whether a header is one of those above; `name` is in lower case, with `-` for `_`."""
    return name in _NAMES or name.endswith(_ENDINGS) or (name.startswith(_BEGINNINGS) and not name.startswith(_PASSES))
