ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY proxy ./proxy
RUN python -m venv /opt/forecache \
 && /opt/forecache/bin/pip install --no-cache-dir .

FROM ${BASE}
# A fixed uid; group 0, so that platforms that choose a uid of their own can write, too. The cache
# is a folder of its own in the volume: it must belong to the uid that runs, and to nobody else.
RUN mkdir -p /var/cache/forecache \
 && chown 10001:0 /var/cache/forecache \
 && chmod 0770 /var/cache/forecache
COPY --from=build /opt/forecache /opt/forecache

# FORECACHE_ACCESS__CLIENTS has no default here: who may use it is to be said on purpose.
ENV PYTHONUNBUFFERED=1 \
    FORECACHE_SERVER__LISTEN=0.0.0.0:3128 \
    FORECACHE_CACHE__DIR=/var/cache/forecache/store
USER 10001:0
VOLUME /var/cache/forecache
EXPOSE 3128
STOPSIGNAL SIGTERM

# Any answer below 500 is a sign of life: loopback need not be among the clients.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/opt/forecache/bin/python", "-c", \
  "import http.client as h; c = h.HTTPConnection('127.0.0.1', 3128, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status >= 500)"]

ENTRYPOINT ["/opt/forecache/bin/forecache"]
CMD ["serve"]
