"""Every verdict's word: the same in the access log, in ``Cache-Status`` detail, and in tests."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why an exchange was answered as it was."""

    # Answered from the cache.
    HIT = "hit"
    REVALIDATED = "revalidated"
    COLLAPSED = "collapsed"
    STALE_ALLOWED = "stale-allowed"
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    STALE_IF_ERROR = "stale-if-error"

    # Forwarded, because of the request or of what is stored.
    MISS = "miss"
    VARY_MISS = "vary-miss"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    MUST_REVALIDATE = "must-revalidate"
    PARTIAL_MISS = "partial-miss"
    REQUEST_NO_CACHE = "request-no-cache"
    REQUEST_NO_STORE = "request-no-store"
    REQUEST_MAX_AGE = "request-max-age"
    REQUEST_MIN_FRESH = "request-min-fresh"
    REQUEST_BODY = "request-body"
    REQUEST_REFLECTED = "request-reflected-field"
    REQUEST_OTHER_HOST = "request-other-host"
    REQUEST_PRECONDITION = "request-precondition"
    METHOD = "method"
    CONNECTION_LOGIN = "connection-login"
    RULE_NO_CACHE = "rule-no-cache"
    DAMAGED = "damaged"
    UPGRADE = "upgrade"

    # Forwarded, and not stored for this reason.
    NOT_STORED_METHOD = "not-stored-method"
    NOT_STORED_STATUS = "not-stored-status"
    NOT_STORED_NO_STORE = "not-stored-no-store"
    NOT_STORED_PRIVATE = "not-stored-private"
    NOT_STORED_AUTHORIZATION = "not-stored-authorization"
    NOT_STORED_SET_COOKIE = "not-stored-set-cookie"
    NOT_STORED_VARY = "not-stored-vary"
    NOT_STORED_NO_FRESHNESS = "not-stored-no-freshness"
    NOT_STORED_ERROR = "not-stored-error"
    NOT_STORED_PARTIAL = "not-stored-partial"
    NOT_STORED_RANGE = "not-stored-range"
    NOT_STORED_UNDER_WAY = "not-stored-under-way"
    NOT_STORED_RULE = "not-stored-rule"
    NOT_STORED_TOO_LARGE = "not-stored-too-large"
    NOT_STORED_STORE_FAILED = "not-stored-store-failed"
    NOT_STORED_INCOMPLETE = "not-stored-incomplete"
    NOT_STORED_EVENT_STREAM = "not-stored-event-stream"

    # Answered by the proxy itself.
    ONLY_IF_CACHED = "only-if-cached"
    SELF = "self"
    LOOP = "loop"
    MAX_FORWARDS = "max-forwards"
    PURGED = "purged"
    BAD_REQUEST = "bad-request"
    REQUEST_TIMEOUT = "request-timeout"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    TOO_MANY_REQUESTS = "too-many-requests"
    DENIED_CLIENT = "denied-client"
    DENIED_DESTINATION = "denied-destination"
    DENIED_PORT = "denied-port"
    DENIED_PURGE = "denied-purge"
    ORIGIN_UNREACHABLE = "origin-unreachable"
    ORIGIN_TIMEOUT = "origin-timeout"
    ORIGIN_LOST = "origin-lost"
    ORIGIN_MALFORMED = "origin-malformed"
    CLIENT_GONE = "client-gone"
    INTERNAL = "internal-error"

    # Neither hit nor miss.
    TUNNEL = "tunnel"


HITS: Final = frozenset(
    {
        Reason.HIT,
        Reason.REVALIDATED,
        Reason.COLLAPSED,
        Reason.STALE_ALLOWED,
        Reason.STALE_WHILE_REVALIDATE,
        Reason.STALE_IF_ERROR,
    }
)

# Answered by the proxy itself: neither from the cache nor from an origin.
OWN: Final = frozenset(
    {
        Reason.ONLY_IF_CACHED,
        Reason.SELF,
        Reason.LOOP,
        Reason.MAX_FORWARDS,
        Reason.PURGED,
        Reason.BAD_REQUEST,
        Reason.REQUEST_TIMEOUT,
        Reason.TOO_MANY_CONNECTIONS,
        Reason.TOO_MANY_REQUESTS,
        Reason.DENIED_CLIENT,
        Reason.DENIED_DESTINATION,
        Reason.DENIED_PORT,
        Reason.DENIED_PURGE,
        Reason.ORIGIN_UNREACHABLE,
        Reason.ORIGIN_TIMEOUT,
        Reason.ORIGIN_LOST,
        Reason.ORIGIN_MALFORMED,
        Reason.CLIENT_GONE,
        Reason.INTERNAL,
    }
)
