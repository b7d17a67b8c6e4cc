"""What is stored for a URL, as the API and the command line show it: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.admin import views
from proxy.admin.shapes import EntryShape, FormShape, VariantShape
from proxy.policy import keys, rules
from proxy.policy.explain import arithmetic
from proxy.policy.tags import tags
from proxy.semantics import targets
from proxy.semantics.targets import Absolute, BadTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.policy.options import Options
    from proxy.policy.rules import Rule
    from proxy.policy.stored import StoredResponse
    from proxy.semantics.targets import TargetURI

    # A stored response, and the forms that are kept of it by coding.
    Kept = tuple[StoredResponse, Mapping[str, StoredResponse]]

_VALIDATORS: Final = {"etag": "ETag", "last-modified": "Last-Modified"}
NOT_STORED: Final = "Nothing is stored for this url."


class Unclear(Exception):
    """The question cannot be understood: one sentence that says what to write."""


def uri(url: str) -> TargetURI:
    """Raises Unclear."""
    try:
        target = targets.parse("GET", url)
    except BadTarget as error:
        raise Unclear(f"The url cannot be used: {error}.") from None
    if not isinstance(target, Absolute):
        raise Unclear("Write the whole url, as in http://example.com/path?query.")
    return target.uri


def key(url: str, options: Options) -> str:
    """The primary cache key (RFC 9111 §2). Raises Unclear."""
    target = uri(url)
    return keys.primary(target, rules.first(options.rules, target))


def shape_of(
    url: str, uses: tuple[int, float], found: Sequence[Kept], options: Options, now: float
) -> EntryShape:
    """``uses``: hits and the last use in epoch seconds. Raises Unclear."""
    rule = rules.first(options.rules, uri(url))
    said = frozenset().union(*(tags(stored.head.fields) for stored, _ in found))
    variants = [_variant(one, options, rule, now) for one in found]
    return EntryShape(url, key(url, options), *uses, sorted(said), variants)


def _variant(kept: Kept, options: Options, rule: Rule | None, now: float) -> VariantShape:
    stored, forms = kept
    fields, part = stored.head.fields, stored.part
    return VariantShape(
        id=stored.id,
        selecting=list(stored.selecting),
        status=stored.head.status,
        fields=list(fields.lines),
        validators={
            name: value
            for lower, name in _VALIDATORS.items()
            if (value := fields.get(lower)) is not None
        },
        octets=stored.length,
        part=None if part is None else (part.first, part.last, part.complete),
        invalid=stored.invalid,
        forms=[FormShape(coding, form.length) for coding, form in forms.items()],
        request_time=stored.request_time,
        response_time=stored.response_time,
        freshness=views.terms(arithmetic(stored, now, options, rule)),
    )
