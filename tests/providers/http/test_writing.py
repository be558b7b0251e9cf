"""How requests are spelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.errors import UsageError
from midshift.providers.http.dial import Way
from midshift.providers.http.messages import Request
from midshift.providers.http.proxies import Proxy
from midshift.providers.http.writing import Writer

PROXY = Proxy("proxy", 3128, authorization=b"Basic eA==")


def writer(base_url: str = "http://h/v1/", is_secure: bool = False, proxy: Proxy | None = None) -> Writer:
    """For a host that is shown a key."""
    return Writer(base_url, [(b"x-api-key", b"k")], Way("h", 80, is_secure, None, proxy))


@pytest.mark.parametrize(
    ("request_", "start", "length"),
    [
        (Request("/chat", [], b"ab"), b"POST /v1/chat HTTP/1.1\r\n", b"content-length: 2\r\n"),
        (Request("/chat?a=b", []), b"POST /v1/chat?a=b HTTP/1.1\r\n", b"content-length: 0\r\n"),
        (Request("/models", [], method="GET"), b"GET /v1/models HTTP/1.1\r\n", b""),
        (Request("/models", [], b"ab", "DELETE"), b"DELETE /v1/models HTTP/1.1\r\n", b"content-length: 2\r\n"),
    ],
)
def test_a_request_says_how_long_its_body_is_if_it_could_have_one(
    request_: Request, start: bytes, length: bytes
) -> None:
    """RFC 9110, 8.6; some servers refuse a length in a GET, and others a POST without one."""
    fixed = b"host: h\r\nx-api-key: k\r\naccept-encoding: identity\r\n"

    assert start + fixed + length + b"\r\n" == writer().head(request_)


def test_a_proxy_without_tls_is_told_the_whole_address_and_its_own_key() -> None:
    """RFC 9112, 3.2.2: it could not know otherwise where to go."""
    head = writer(proxy=PROXY).head(Request("/chat", []))

    assert head.startswith(b"POST http://h/v1/chat HTTP/1.1\r\nhost: h\r\n")
    assert b"proxy-authorization: Basic eA==\r\n" in head


def test_a_host_behind_a_tunnel_does_not_see_the_proxys_key() -> None:
    """It is the proxy's alone."""
    head = writer("https://h/v1", is_secure=True, proxy=PROXY).head(Request("/chat", []))

    assert head.startswith(b"POST /v1/chat HTTP/1.1\r\nhost: h\r\n")
    assert b"proxy-authorization" not in head


@pytest.mark.parametrize(
    "request_",
    [
        Request("/a b", []),
        Request("/a HTTP/1.1\r\nx: y\r\n\r\nPOST /b", []),
        Request("/\n", []),
        Request("/\x00", []),
        Request("/ü", []),
        Request("/", [], method="GET /x HTTP/1.1\r\n\r\nPOST"),
        Request("/", [(b"x", b"1\r\nevil: 1")]),
        Request("/", [(b"x", b"1\nevil: 1")]),
        Request("/", [(b"x\r\n\r\nGET /", b"1")]),
    ],
)
def test_no_second_line_gets_in(request_: Request) -> None:
    """Whatever an app or a model writes into a path or a header, one request is sent."""
    with pytest.raises(UsageError, match="no request can be made"):
        writer().head(request_)


@given(target=st.text(max_size=8), name=st.binary(max_size=4), value=st.binary(max_size=8))
def test_whatever_is_sent_is_one_request(target: str, name: bytes, value: bytes) -> None:
    """As above, for everything else."""
    try:
        head = writer().head(Request("/" + target, [(name, value)]))
    except UsageError:
        return

    assert 7 == head.count(b"\r\n") == head.count(b"\r") == head.count(b"\n")


def test_a_head_that_was_spelled_before_differs_in_the_length_alone() -> None:
    """It is kept for the next request, whose body and headers may be others."""
    lines, of_all = [(b"x-one", b"1")], writer()

    def spelled(*requests: Request) -> list[bytes]:
        return [of_all.head(request) for request in requests]

    requests = [Request("/a", lines, b"ab"), Request("/a", lines, b"abc"), Request("/b", lines), Request("/a", [])]
    before = spelled(*requests)
    lines[0] = (b"x-one", b"2")

    assert before[1] == before[0].replace(b"content-length: 2", b"content-length: 3")
    assert 4 == len(set(before))
    assert [b"x-one: 2" in head for head in spelled(*requests)] == [True, True, True, False]
    assert [writer().head(request) for request in requests] == spelled(*requests)


def test_what_cannot_be_sent_is_refused_however_often_it_is_tried() -> None:
    """As above, for what is refused."""
    of_all = writer()
    for _ in range(2):
        with pytest.raises(UsageError):
            of_all.head(Request("/\n", []))
