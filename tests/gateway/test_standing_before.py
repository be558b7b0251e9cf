"""What proxies, clouds and networks say about a user stays here; what an app says to its provider does not."""

from __future__ import annotations

import pytest

from midshift.gateway import headers
from midshift.gateway.standing_before import ADDED_BY
from midshift.wire.protocol import WireName

EXAMPLES = {
    "RFC 7239, forwarded": "forwarded x-forwarded-for x-forwarded-user x-forwarded-email",
    "RFC 9110, 7.6.3 and 10.1": "via from referer",
    "browsers": "origin x-csrftoken x-csrf-token",
    "RFC 9440, certificates of clients": "client-cert client-cert-chain",
    "RFC 9449, proof of possession": "dpop",
    "addresses of clients": "x-client-ip client-ip x-originating-ip x-remote-ip x-remote-addr remote-addr",
    "users, by convention": (
        "x-user x-user-id x-userid x-username x-user-name x-email x-user-email x-authenticated-user x-webauth-user"
    ),
    "credentials, by convention": "apikey x-apikey x-auth-key x-auth-token x-vault-token x-acme-api-key x-acme-secret",
    "Amazon CloudFront": "cloudfront-viewer-address cloudfront-viewer-city x-amz-cf-id",
    "AWS Application Load Balancer": "x-amzn-oidc-data x-amzn-oidc-identity x-amzn-mtls-clientcert-subject",
    "AWS Verified Access": "x-amzn-ava-user-context",
    "Azure App Service": (
        "x-ms-client-principal x-ms-client-principal-name x-ms-client-principal-id x-ms-client-principal-idp "
        "x-ms-token-aad-id-token x-ms-token-aad-expires-on x-zumo-auth x-arr-clientcert x-waws-unencoded-url"
    ),
    "Azure Front Door": "x-azure-clientip x-azure-socketip",
    "Azure API Management": "ocp-apim-subscription-key",
    "Google App Engine": "x-appengine-user-email x-appengine-user-id x-appengine-user-ip x-appengine-citylatlong",
    "Google Cloud Endpoints": "x-endpoint-api-userinfo x-apigateway-api-userinfo",
    "Google Cloud Load Balancing": "x-client-cert-subject-dn",
    "Google Identity-Aware Proxy": (
        "x-goog-authenticated-user-email x-goog-authenticated-user-id x-goog-iap-jwt-assertion"
    ),
    "Firebase App Check": "x-firebase-appcheck",
    "DigitalOcean": "do-connecting-ip",
    "Fly.io": "fly-client-ip fly-region",
    "Netlify": "x-nf-client-connection-ip x-nf-geo",
    "Vercel": "x-vercel-forwarded-for x-vercel-ip-city",
    "Akamai": "true-client-ip akamai-origin-hop x-akamai-edgescape",
    "Cloudflare": "cf-connecting-ip cf-connecting-ipv6 cf-ipcountry cf-ray cf-aig-authorization",
    "Fastly": "fastly-client-ip fastly-client",
    "Imperva": "incap-client-ip",
    "Sucuri": "x-sucuri-clientip x-sucuri-country",
    "Apache APISIX": "x-userinfo x-consumer-username",
    "Envoy and Istio": "x-envoy-external-address x-forwarded-client-cert",
    "HAProxy and Apache httpd": "x-ssl-client-cn ssl-client-s-dn ssl_client_s_dn",
    "ingress-nginx": "x-real-ip x-original-forwarded-for x-original-url ssl-client-subject-dn",
    "Kong": "apikey x-consumer-id x-consumer-custom-id x-credential-identifier x-authenticated-userid",
    "Kubernetes, authenticating proxy": "x-remote-user x-remote-group x-remote-extra-scopes impersonate-user",
    "Linkerd": "l5d-client-id",
    "Helicone": "helicone-auth",
    "Rackspace": "x-cluster-client-ip",
    "WebLogic": "wl-proxy-client-ip proxy-client-ip",
    "Authelia": "remote-user remote-groups remote-name remote-email remote_user",
    "authentik": "x-authentik-email x-authentik-username",
    "Cloudflare Access": "cf-access-authenticated-user-email cf-access-jwt-assertion cf-access-client-secret",
    "oauth2-proxy": "x-auth-request-user x-auth-request-email gap-auth",
    "Pomerium": "x-pomerium-claim-email x-pomerium-jwt-assertion",
    "Tailscale": "tailscale-user-login tailscale-user-name",
    "Teleport": "teleport-jwt-assertion",
    "Vouch": "x-vouch-user x-vouch-idp-claims-email",
}

# Of clients, of providers, and of an app by itself.
SAID_BY_APPS = {
    "OpenAI": "x-stainless-lang x-stainless-retry-count openai-beta idempotency-key x-client-request-id user-agent",
    "Anthropic": "anthropic-version anthropic-beta anthropic-dangerous-direct-browser-access x-app",
    "Google": "x-goog-api-client x-goog-request-params x-goog-user-project x-server-timeout",
    "Azure": "x-ms-client-request-id x-ms-useragent azureml-model-deployment",
    "AWS": "x-amzn-bedrock-guardrailidentifier x-amzn-bedrock-trace x-amzn-trace-id",
    "OpenRouter": "http-referer x-title x-openrouter-title x-openrouter-categories x-session-id",
    "Cloudflare AI Gateway": "cf-aig-cache-ttl cf-aig-metadata",
    "Helicone": "helicone-cache-enabled helicone-property-app",
    "xAI and Fireworks": "x-grok-conv-id x-session-affinity",
    "traces": "traceparent tracestate baggage x-request-id x-cloud-trace-context",
    "anybody": "accept content-type accept-language x-vendor-flag x-feature session_id priority",
}


def passed(names: str, wire: WireName) -> list[str]:
    """Which of these reach a provider on a wire."""
    lines = headers.to_provider([(name.encode(), b"ann@example.com") for name in names.split()])
    return [name.decode() for name, _ in headers.on_wire(lines, wire, is_apps_own=True)]


@pytest.mark.parametrize("product", ADDED_BY)
def test_what_a_product_says_about_a_user_reaches_no_provider(product: str) -> None:
    """On no wire: also not where the name begins as the vendor's own do."""
    assert [[]] * len(WireName) == [passed(EXAMPLES[product], wire) for wire in WireName]


def test_every_product_has_its_example() -> None:
    """And none is left that no product in the list adds."""
    assert set(ADDED_BY) == set(EXAMPLES)


@pytest.mark.parametrize("whose", SAID_BY_APPS)
def test_what_an_app_says_to_its_provider_survives(whose: str) -> None:
    """An unknown header is the provider's own until it is known to be about a user."""
    names = SAID_BY_APPS[whose]
    reached = {name for wire in WireName for name in passed(names, wire)}

    assert set(names.split()) == reached
