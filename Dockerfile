# The proxy: docker build -t cerebras-proxy .
FROM python:3.13-slim AS build

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY langchain_cerebras_ext ./langchain_cerebras_ext
# Whole in one place, so that the second stage needs neither pip nor the source.
RUN python -m venv /opt/proxy \
    && /opt/proxy/bin/pip install --no-cache-dir '.[proxy,ledger,postgres,redis]'
# Chat models need these; the proxy loads none of them.
RUN /opt/proxy/bin/pip uninstall --yes \
        langchain-core langchain-protocol langsmith openai pydantic pydantic-core \
        orjson zstandard \
    && /opt/proxy/bin/python -m compileall -q /opt/proxy \
    && /opt/proxy/bin/pip uninstall --yes pip

FROM python:3.13-slim

# For the health check below, and for people who look inside.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --create-home proxy

COPY --from=build /opt/proxy /opt/proxy

# Whoever publishes the port decides who reaches it: without a key it warns and serves.
ENV PATH=/opt/proxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    APE_ALLOW_OPEN=1

USER 10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=10s --start-period=5s --retries=3 \
    CMD ["sh", "-c", "curl -f http://localhost:$PORT/health || exit 1"]

CMD ["python", "-m", "langchain_cerebras_ext.proxy"]
