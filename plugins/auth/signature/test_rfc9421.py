"""The examples of RFC 9421, Appendix B and sections 2 to 4, byte for byte."""

import base64

import pytest

from hookgate import Headers
from hookgate_auth_signature import rfc9421
from hookgate_auth_signature.keys import public_key, secret_key
from hookgate_auth_signature.rfc9421 import (
    Malformed,
    Message,
    Missing,
    component,
    identifier,
    signature_base,
    signatures,
)

TEST_KEY_RSA_PSS = """\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----
"""
TEST_KEY_ECC_P256 = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----
"""
TEST_KEY_ED25519 = """\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
"""
TEST_SHARED_SECRET = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
SHA_512 = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
VECTORS = [
    (
        "sig-b21",
        "rsa-pss-sha512",
        '();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"',
        [],
        (
            "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8U"
            "dx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJz"
            "sPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s"
            "++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q=="
        ),
    ),
    (
        "sig-b22",
        "rsa-pss-sha512",
        (
            '("@authority" "content-digest" "@query-param";name="Pet")'
            ';created=1618884473;keyid="test-key-rsa-pss";tag="header-example"'
        ),
        [
            '"@authority": example.com',
            '"content-digest": ' + SHA_512,
            '"@query-param";name="Pet": dog',
        ],
        (
            "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7"
            "KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTla"
            "qwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVk"
            "SFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw=="
        ),
    ),
    (
        "sig-b23",
        "rsa-pss-sha512",
        (
            '("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length")'
            ';created=1618884473;keyid="test-key-rsa-pss"'
        ),
        [
            '"date": Tue, 20 Apr 2021 02:07:55 GMT',
            '"@method": POST',
            '"@path": /foo',
            '"@query": ?param=Value&Pet=dog',
            '"@authority": example.com',
            '"content-type": application/json',
            '"content-digest": ' + SHA_512,
            '"content-length": 18',
        ],
        (
            "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5"
            "p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aY"
            "A2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+Q"
            "IF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA=="
        ),
    ),
    (
        "sig-b25",
        "hmac-sha256",
        '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
        [
            '"date": Tue, 20 Apr 2021 02:07:55 GMT',
            '"@authority": example.com',
            '"content-type": application/json',
        ],
        "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
    ),
    (
        "sig-b26",
        "ed25519",
        (
            '("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"'
        ),
        [
            '"date": Tue, 20 Apr 2021 02:07:55 GMT',
            '"@method": POST',
            '"@path": /foo',
            '"@authority": example.com',
            '"content-type": application/json',
            '"content-length": 18',
        ],
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    ),
]


def example(**changes):
    """Return the request of Appendix B.2."""
    headers = Headers(
        [
            ("Host", "example.com"),
            ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("Content-Type", "application/json"),
            ("Content-Digest", SHA_512),
            ("Content-Length", "18"),
        ]
    )
    given = {"method": "POST", "scheme": "https", "authority": "example.com", "path": "/foo"}
    return Message(**{**given, "query": "param=Value&Pet=dog", "headers": headers, **changes})


def bearing(message, params, signature, label="sig1"):
    headers = message.headers.copy()
    headers.add("Signature-Input", f"{label}={params}")
    headers.add("Signature", f"{label}=:{signature}:")
    return signatures(headers)


def key_for(algorithm):
    if algorithm == "hmac-sha256":
        return secret_key(algorithm, TEST_SHARED_SECRET, "base64")
    pem = {"r": TEST_KEY_RSA_PSS, "e": TEST_KEY_ED25519}[algorithm[0]]
    return public_key(algorithm, pem)


@pytest.mark.parametrize(
    ("label", "algorithm", "params", "lines", "signature"), VECTORS, ids=[vector[0] for vector in VECTORS]
)
def test_the_examples_of_appendix_b_come_out_byte_for_byte(label, algorithm, params, lines, signature):
    message = example()
    (signed,) = bearing(message, params, signature, label)
    base = signature_base(message, signed.components, signed.parameters)

    assert base.decode() == "\n".join([*lines, f'"@signature-params": {params}'])
    key = key_for(algorithm)
    assert key.verify(base, signed.signature)
    assert not key.verify(base + b" ", signed.signature)
    if key.sign is not None:
        assert key.sign(base) == base64.b64decode(signature)


def test_ecdsa_verifies_the_example_of_a_signed_response():
    base = (
        '"@status": 200\n"content-type": application/json\n"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxo'
        'YhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n"content-length": 23\n"@signature-params": '
        '("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"'
    )
    signature = "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw=="

    key = public_key("ecdsa-p256-sha256", TEST_KEY_ECC_P256)
    assert key.verify(base.encode(), base64.b64decode(signature))
    assert not key.verify(base.encode(), base64.b64decode(signature)[:-1])
    assert not key.verify(base.encode() + b" ", base64.b64decode(signature))


TRANSFORMED = '("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"'
TRANSFORM_SIGNATURE = "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA=="


@pytest.mark.parametrize(
    ("query", "authority", "accept", "good"),
    [
        ("name1=Value1&Name2=value2", "example.org", ["application/json", "*/*"], True),
        ("name1=Value1&Name2=value2&param=added", "example.org", ["application/json", "*/*"], True),
        ("name1=Value1&Name2=value2", "example.org", ["application/json, */*"], True),
        ("name1=Value1&Name2=value2", "example.com", ["application/json", "*/*"], False),
        ("name1=Value1&Name2=value2", "example.org", ["*/*", "application/json"], False),
    ],
)
def test_what_transformations_do_to_the_signature_of_appendix_b4(query, authority, accept, good):
    headers = Headers([("Accept", value) for value in accept])
    message = example(method="GET", path="/demo", query=query, authority=authority, headers=headers)
    (signed,) = bearing(message, TRANSFORMED, TRANSFORM_SIGNATURE, "transform")
    base = signature_base(message, signed.components, signed.parameters)

    assert public_key("ed25519", TEST_KEY_ED25519).verify(base, signed.signature) is good


def lines_of(message, *names):
    """Return the signature base of some components without its last line."""
    return signature_base(message, tuple(map(component, names)), {}).decode().split("\n")[:-1]


@pytest.mark.parametrize(
    ("name", "value", "changes"),
    [
        ("@method", "POST", {}),
        ("@target-uri", "https://www.example.com/path?param=value", {"path": "/path", "query": "param=value"}),
        ("@authority", "www.example.com", {"authority": "WWW.Example.com:443"}),
        ("@authority", "www.example.com:8443", {"authority": "www.example.com:8443"}),
        ("@authority", "www.example.com:443", {"authority": "www.example.com:443", "scheme": "http"}),
        ("@scheme", "http", {"scheme": "http"}),
        ("@request-target", "/path?param=value", {"path": "/path", "query": "param=value"}),
        ("@path", "/path", {"path": "/path"}),
        ("@path", "/", {"path": ""}),
        ("@query", "?param=value&foo=bar&baz=bat%2Dman", {"query": "param=value&foo=bar&baz=bat%2Dman"}),
        ("@query", "?queryString", {"query": "queryString"}),
        ("@query", "?", {"query": ""}),
    ],
)
def test_the_examples_of_derived_components(name, value, changes):
    message = example(**{"authority": "www.example.com", **changes})

    assert lines_of(message, name) == [f'"{name}": {value}']


def test_the_examples_of_query_parameters():
    message = example(query="param=value&foo=bar&baz=batman&qux=")
    names = [f'"@query-param";name="{name}"' for name in ("baz", "qux", "param")]

    assert lines_of(message, *names) == [f"{names[0]}: batman", f"{names[1]}: ", f"{names[2]}: value"]

    message = example(
        query="var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something~"
    )
    names = [f'"@query-param";name="{name}"' for name in ("var", "bar", "fa%C3%A7ade%22%3A%20")]
    values = ["this%20is%20a%20big%0Amultiline%20value", "with%20plus%20whitespace", "something%7E"]
    assert lines_of(message, *names) == [f"{name}: {value}" for name, value in zip(names, values, strict=True)]


@pytest.mark.parametrize("query", ["", "b=1", "a=1&a=2", "a=1&%61=2"])
def test_a_query_parameter_must_be_there_once(query):
    with pytest.raises(Missing):
        lines_of(example(query=query), '"@query-param";name="a"')


def test_the_examples_of_header_fields():
    headers = Headers(
        [
            ("Host", "www.example.com"),
            ("X-OWS-Header", "   Leading and trailing whitespace.   "),
            ("Cache-Control", "max-age=60"),
            ("Cache-Control", "   must-revalidate"),
            ("Example-Dict", "a=1,    b=2;x=1;y=2,   c=(a   b   c), d"),
            ("X-Empty-Header", ""),
            ("Example-Header", "value, with, lots"),
            ("Example-Header", "of, commas"),
        ]
    )
    message = example(headers=headers)
    expected = [
        '"host": www.example.com',
        '"x-ows-header": Leading and trailing whitespace.',
        '"cache-control": max-age=60, must-revalidate',
        '"example-dict": a=1,    b=2;x=1;y=2,   c=(a   b   c), d',
        '"x-empty-header": ',
        '"example-dict";key="a": 1',
        '"example-dict";key="d": ?1',
        '"example-dict";key="b": 2;x=1;y=2',
        '"example-dict";key="c": (a b c)',
        '"example-header": value, with, lots, of, commas',
        '"example-header";bs: :dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:',
        '"cache-control";sf: max-age=60, must-revalidate',
    ]

    assert lines_of(message, *(line.partition(": ")[0] for line in expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "@status",
        "@signature-params",
        "@query-param",
        '"@method";req',
        '"content-digest";req',
        '"expires";tr',
        '"a";sf;bs',
        '"a";key',
        '"a";key=1',
        '"@query-param";name',
        "X Y",
        "",
        '"Date"',
        '"date',
        'date"',
        "dåte",
    ],
)
def test_what_a_request_does_not_have_is_no_component(text):
    with pytest.raises(ValueError):
        component(text)


def test_what_cannot_be_signed_is_missing():
    headers = Headers({"X-Name": "caf\u00e9", "X-Dict": "((", "X-Item": "1"})
    message = example(headers=headers)

    for name in ("x-name", "x-none", '"x-dict";key="a"', '"x-item";sf', '"x-item";key="a"'):
        with pytest.raises(Missing):
            lines_of(message, name)
    assert lines_of(message, '"x-name";bs') == ['"x-name";bs: :Y2Fm6Q==:']


@pytest.mark.parametrize(
    ("given", "signature"),
    [
        ('sig1=("date");keyid="a"', "sig2=:AAAA:"),
        ('sig1=("date");keyid="a"', ""),
        ("", "sig1=:AAAA:"),
        ('sig1=("date");keyid="a"', 'sig1="AAAA"'),
        ('sig1="date"', "sig1=:AAAA:"),
        ("sig1=(date)", "sig1=:AAAA:"),
        ('sig1=("date" "date")', "sig1=:AAAA:"),
        ('sig1=("@status")', "sig1=:AAAA:"),
        ('sig1=("date"', "sig1=:AAAA:"),
        ('sig1=("date"), sig1=("host")', "sig1=:AAAA:"),
        ('sig1=("date");keyid="a";keyid="b"', "sig1=:AAAA:"),
        ('sig1=("date");keyid="\u00e9"', "sig1=:AAAA:"),
        (", ".join(f's{n}=("date")' for n in range(9)), ", ".join(f"s{n}=:AAAA:" for n in range(9))),
        ("sig1=({})".format(" ".join(f'"x{n}"' for n in range(65))), "sig1=:AAAA:"),
        ('sig1=("{}")'.format("x" * 17000), "sig1=:AAAA:"),
    ],
)
def test_malformed_headers_are_refused(given, signature):
    with pytest.raises(Malformed):
        signatures(Headers({"Signature-Input": given, "Signature": signature}))


def test_an_identifier_is_written_as_it_was_read():
    for text in ('"@method"', '"@query-param";name="a"', '"x-a";bs', '"x-a";key="b"'):
        assert identifier(component(text)) == text
    assert rfc9421.signature_params((component("date"),), {"created": 1, "keyid": 'a"b'}) == (
        '("date");created=1;keyid="a\\"b"'
    )
