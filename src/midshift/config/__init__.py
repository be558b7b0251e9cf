"""From the files of a user's repository to what they define, and back.

`midshift.yaml` and the files beside it say what workloads, variants and environments there are; the store decides what
serves. Everything here is pure but `files`; every problem has its place in a file and a way out.

files       read a folder                      documents  the files as types: names, meanings, JSON Schema
values      what single values look like       provider_documents   providers, as documents.py
assemble    texts to definitions               tree       YAML to a tree with places
definitions what comes of it                   reading    tree to documents, all problems at once
dumping     definitions to files and a store   workloads, variants, suites   what values mean together
changes     what an apply changes; G0; sync    checks     what is odd, and the way back
providers   where models answer
starter     what `midshift init` writes        editors    JSON Schema

Elsewhere: what a prompt does to a request (domain.rendering), where definitions are kept (store).
"""

from midshift.config.assemble import parse, variant_file
from midshift.config.changes import (
    Bypass,
    Change,
    Difference,
    difference,
    guard,
    one_line_change,
    without_safe_harbour,
)
from midshift.config.checks import Level, Remark, RollbackStep, check, rollback_steps
from midshift.config.definitions import (
    MAIN,
    Definition,
    Definitions,
    Environment,
    SecretKind,
    SecretRef,
    Source,
    SuiteFacts,
    Unreadable,
    VariantFile,
)
from midshift.config.dumping import content, dump, graders_content, providers_content, restored
from midshift.config.editors import schema, variant_schema
from midshift.config.entries import GRADERS, PROVIDERS, PROVIDERS_FORMAT, digest
from midshift.config.files import load, load_variant
from midshift.config.problems import InvalidConfig, Place, Problem
from midshift.config.shelf import decoded

__all__ = [
    "GRADERS",
    "MAIN",
    "PROVIDERS",
    "PROVIDERS_FORMAT",
    "Bypass",
    "Change",
    "Definition",
    "Definitions",
    "Difference",
    "Environment",
    "InvalidConfig",
    "Level",
    "Place",
    "Problem",
    "Remark",
    "RollbackStep",
    "SecretKind",
    "SecretRef",
    "Source",
    "SuiteFacts",
    "Unreadable",
    "VariantFile",
    "check",
    "content",
    "decoded",
    "difference",
    "dump",
    "graders_content",
    "guard",
    "load",
    "load_variant",
    "digest",
    "one_line_change",
    "without_safe_harbour",
    "parse",
    "providers_content",
    "restored",
    "rollback_steps",
    "schema",
    "variant_file",
    "variant_schema",
]
