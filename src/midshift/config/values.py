"""What single values of the files look like: a pattern each, what is expected in words, and an example.

Elsewhere: the documents that hold them (documents, provider_documents).
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from midshift.config import units
from midshift.domain.workload import BODY_PATH, HEADER_NAME

# No controls, no invisible characters, no reordering of what is read; no absolute path, no backslash.
HIDDEN = r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff"
FILE_PATH = rf"^[^{HIDDEN}\\/~\s][^{HIDDEN}\\]{{0,300}}$"
A_VARIANT = "variants/NAME.yaml"

Name: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        title="a name of small letters, digits, dots, dashes and underscores, at most 63",
        examples=["support-reply"],
    ),
]
SliceName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        title="a slice's name of letters, digits, dots, dashes and underscores, at most 63",
        examples=["escalations"],
    ),
]
Word: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", title="one word", examples=["legal"]),
]
ModelId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[\x21-\x7e]{1,200}$",
        title="a model id as requests carry it, in ASCII without spaces",
        examples=["claude-3-7-sonnet-20250219"],
    ),
]
FilePath: TypeAlias = Annotated[
    str,
    Meta(
        pattern=FILE_PATH,
        title="a file's path, relative to this file, with forward slashes",
        examples=[A_VARIANT],
    ),
]
UnitText: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^(conversation|header:{HEADER_NAME.pattern}|body:{BODY_PATH.pattern})$",
        title="header:NAME, body:DOTTED.PATH or conversation",
        examples=["header:x-user-id"],
    ),
]
HeaderName: TypeAlias = Annotated[
    str, Meta(pattern=rf"^{HEADER_NAME.pattern}$", title="a header's name", examples=["x-queue"])
]
BodyPath: TypeAlias = Annotated[
    str, Meta(pattern=rf"^{BODY_PATH.pattern}$", title="a dotted path in the body", examples=["metadata.tier"])
]
Language: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$", title="a language tag", examples=["de"]),
]
Percent: TypeAlias = Annotated[
    str,
    Meta(pattern=units.PERCENT, title="a share from 0% to 100%, such as 5% or 0.5%", examples=["5%"]),
]
Duration: TypeAlias = Annotated[
    str,
    Meta(pattern=units.DURATION, title="whole hours, days or weeks, such as 36h, 2d or 2w", examples=["2d"]),
]
Points: TypeAlias = Annotated[
    str,
    Meta(pattern=units.POINTS, title="points, hundredths of a score's range, such as 2pt or 0.5pt", examples=["2pt"]),
]
ModelPath: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}/[\x21-\x7e]{1,200}$",
        title="a provider and its model, as PROVIDER/MODEL",
        examples=["anthropic/claude-sonnet-4-6"],
    ),
]
Day: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
        title="a date as YEAR-MONTH-DAY, such as 2027-01-31",
        examples=["2027-01-31"],
    ),
]
FunctionName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,20}:[A-Za-z_][A-Za-z0-9_]*$",
        title="a Python function as MODULE:FUNCTION",
        examples=["shop.graders:is_polite"],
    ),
]
Amount: TypeAlias = Annotated[float, Meta(gt=0, title="a number above 0", examples=[9000])]
SecretReference: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^\x00-\x1f\x7f\s]{1,300})$",
        title="a reference to a secret, env:NAME or file:PATH",
        examples=["env:MIDSHIFT_DB"],
        extra={"withhold": ""},  # whatever stands here instead may be the secret
    ),
]
Address: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?/?$",
        title="http:// or https://, a host, and a port if need be; without path or password",
        examples=["http://gateway-1:8080"],
        extra={"withhold": "[@?=]"},  # a user, a password, a token
    ),
]


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of a file."""
