"""Tokens that are wrong in one thing each, made by somebody who knows the form, and some who know the key."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from jwt.algorithms import HMACAlgorithm

from app.auth.tokens import key_id, signing_keys

KID, KEY = next(iter(signing_keys().items()))
FOREIGN = "a key of somebody else, long enough to sign with it"
PUBLIC = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK\n-----END PUBLIC KEY-----\n"
DEEP = "[" * 2000
Claims = dict[str, Any]
HS256, HS512 = HMACAlgorithm(HMACAlgorithm.SHA256), HMACAlgorithm(HMACAlgorithm.SHA512)
HEADER = {"alg": "HS256", "typ": "at+jwt", "kid": KID}
UNSIGNED = {"typ": "at+jwt", "kid": KID}


def part(value: bytes | str | Claims) -> str:
    """Return a segment of a token; an object becomes JSON, and may hold what JSON should not."""
    text = json.dumps(value) if isinstance(value, dict) else value
    raw = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(
    header: bytes | str | Claims, payload: bytes | str | Claims, key: str = KEY, hmac: HMACAlgorithm = HS256
) -> str:
    """Return a token of any two segments, with a signature that is right for the key."""
    content = f"{part(header)}.{part(payload)}"
    return f"{content}.{part(hmac.sign(content.encode(), key.encode()))}"


def headed(key: str = KEY, **header: Any) -> Callable[[Claims], str]:
    """Return what makes a token that is right but for what these say in its header."""
    return lambda claims: signed(HEADER | header, claims, key)


def claiming(**changed: Any) -> Callable[[Claims], str]:
    """Return what makes a token that is right but for these claims; one that is None is left out."""
    return lambda claims: signed(
        HEADER, {name: value for name, value in {**claims, **changed}.items() if value is not None}
    )


def timed(**seconds: int) -> Callable[[Claims], str]:
    """Return what makes a token whose times are so many seconds from now."""
    return lambda claims: signed(HEADER, claims | {name: int(time.time()) + value for name, value in seconds.items()})


NOBODY = "0198c0de-0000-7000-8000-00000000cafe"
TOKENS: dict[str, Callable[[Claims], str]] = {
    "alg_none": lambda claims: f"{part({**UNSIGNED, 'alg': 'none'})}.{part(claims)}.",
    "alg_none_in_capitals": lambda claims: f"{part({**UNSIGNED, 'alg': 'NONE'})}.{part(claims)}.",
    "alg_none_with_a_signature": headed(alg="none"),
    "alg_missing": lambda claims: signed(UNSIGNED, claims),
    "alg_rs256_over_hmac": headed(alg="RS256"),
    "alg_es256_over_hmac": headed(alg="ES256"),
    "alg_is_a_list": headed(alg=["HS256"]),
    "hs384": headed(alg="HS384"),
    "hs512_with_our_key": lambda claims: signed({**HEADER, "alg": "HS512"}, claims, hmac=HS512),
    "hs256_with_a_public_key": headed(PUBLIC),
    "hs256_with_the_kid": headed(KID),
    "hs256_with_no_key": headed(""),
    "foreign_key": headed(key=FOREIGN),
    "foreign_key_and_kid": headed(key=FOREIGN, kid=key_id(FOREIGN)),
    "kid_foreign": headed(kid=key_id(FOREIGN)),
    "kid_missing": lambda claims: signed({"alg": "HS256", "typ": "at+jwt"}, claims),
    "kid_empty": headed(kid=""),
    "kid_a_path": headed(key="", kid="../../dev/null"),
    "kid_sql": headed(kid="' or 1=1 --"),
    "kid_is_a_list": headed(kid=[KID]),
    "kid_is_null": headed(kid=None),
    "jku": headed(jku="https://attacker.example/keys.json"),
    "jku_and_foreign_key": headed(key=FOREIGN, jku="https://attacker.example/keys.json"),
    "x5u": headed(x5u="https://attacker.example/cert.pem"),
    "jwk": headed(jwk={"kty": "oct", "k": part(FOREIGN)}),
    "crit": headed(crit=["exp"]),
    "b64_false": headed(b64=False, crit=["b64"]),
    "type_jwt": headed(typ="JWT"),
    "type_in_capitals": headed(typ="AT+JWT"),
    "type_refresh": headed(typ="rt+jwt"),
    "type_missing": lambda claims: signed({"alg": "HS256", "kid": KID}, claims),
    "header_is_a_list": lambda claims: signed("[]", claims),
    "header_is_null": lambda claims: signed("null", claims),
    "header_is_no_json": lambda claims: signed("{", claims),
    "header_is_deep": lambda claims: signed(DEEP, claims),
    "header_is_deep_inside": lambda claims: signed(f'{{"typ":"at+jwt","kid":{DEEP}', claims),
    "header_with_half_a_character": lambda _: signed('{"typ":"at+jwt","kid":"\\ud800","alg":"HS256"}', "{}"),
    "header_with_digits_without_end": lambda _: signed(f'{{"typ":{"1" * 5000}}}', "{}"),
    "payload_is_a_list": lambda _: signed(HEADER, "[]"),
    "payload_is_no_json": lambda _: signed(HEADER, "{"),
    "payload_is_no_text": lambda _: signed(HEADER, b"\xff\xfe"),
    "payload_is_deep": lambda _: signed(HEADER, DEEP),
    "payload_deep_and_unsigned": lambda _: signed(HEADER, DEEP, FOREIGN),
    "expired": timed(exp=-1, iat=-601),
    "of_tomorrow": timed(iat=86_400, exp=90_000),
    "not_yet": timed(nbf=86_400),
    "exp_missing": claiming(exp=None),
    "exp_text": claiming(exp="tomorrow"),
    "exp_a_list": claiming(exp=[9999999999]),
    "exp_infinite": claiming(exp=float("inf")),
    "exp_no_number": claiming(exp=float("nan")),
    "iat_missing": claiming(iat=None),
    "iat_text": claiming(iat="now"),
    "iat_infinite": claiming(iat=float("inf")),
    "issuer_missing": claiming(iss=None),
    "issuer_foreign": claiming(iss="https://attacker.example"),
    "issuer_a_list": claiming(iss=["groundplan"]),
    "audience_missing": claiming(aud=None),
    "audience_foreign": claiming(aud="another-api"),
    "audience_a_list": claiming(aud=["groundplan-api"]),
    "subject_missing": claiming(sub=None),
    "subject_nobody": claiming(sub=NOBODY),
    "subject_no_identifier": claiming(sub="admin"),
    "subject_a_number": claiming(sub=1),
    "subject_with_nul": claiming(sub=f"{NOBODY}\0"),
    "subject_half_a_character": claiming(sub="\ud800"),
    "session_missing": claiming(sid=None),
    "session_nobodys": claiming(sid=NOBODY),
    "session_nil": claiming(sid=str(uuid.UUID(int=0))),
    "session_a_list": claiming(sid=[NOBODY]),
    "session_and_subject_swapped": lambda claims: claiming(sub=claims["sid"], sid=claims["sub"])(claims),
    "no_segments": lambda _: "nonsense",
    "two_segments": lambda claims: signed(HEADER, claims).rpartition(".")[0],
    "four_segments": lambda claims: signed(HEADER, claims) + ".x",
    "five_segments": lambda _: f"{part(HEADER)}.x.y.z.w",
    "no_signature": lambda claims: signed(HEADER, claims).rpartition(".")[0] + ".",
    "cut_signature": lambda claims: signed(HEADER, claims)[:-2],
    "longer_signature": lambda claims: signed(HEADER, claims) + "AAAA",
    "only_dots": lambda _: "..",
    "in_quotes": lambda claims: f'"{signed(HEADER, claims)}"',
    "with_a_second_token": lambda claims: f"{signed(HEADER, claims)} x",
    "very_long": lambda _: "x" * 200_000,
    "very_long_segments": lambda _: ".".join(["e" * 60_000] * 3),
    "other_letters": lambda claims: signed(HEADER, claims) + "\N{LATIN SMALL LETTER E WITH ACUTE}",
}
