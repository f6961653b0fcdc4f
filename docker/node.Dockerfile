# The node: `serve`, or one of `receive`, `work`, `deliver` and `web`. Build it from the repository's root:
#   docker build --file docker/node.Dockerfile --tag patchclip-node .
# PyTorch for `cpu`, for `cuda`: --build-arg ACCELERATOR=cuda, ONNX Runtime instead for `onnx`, or neither for `none`, for
# whoever analyses nothing.
ARG ACCELERATOR=cpu

FROM python:3.11.14-slim-bookworm AS wheel
WORKDIR /source
COPY requirements requirements
RUN python -m pip install --no-cache-dir --require-hashes --requirement requirements/build.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY conf conf
COPY patchclip_core patchclip_core
COPY node node
COPY trainer trainer
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11.14-slim-bookworm AS cpu
ENV LOCK=requirements.lock \
  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

# PyPI's own build of PyTorch brings CUDA's libraries; the host brings the driver and NVIDIA's container toolkit.
FROM python:3.11.14-slim-bookworm AS cuda
ENV LOCK=requirements/cuda.lock

# A worker whose model was exported to ONNX.
FROM python:3.11.14-slim-bookworm AS onnx
ENV LOCK=requirements/worker-onnx.lock

# Whoever analyses nothing needs no PyTorch: `receive`, `deliver` and `web`.
FROM python:3.11.14-slim-bookworm AS none
ENV LOCK=requirements/results.lock

# Only what the program needs, each file by the digest in the lock.
FROM ${ACCELERATOR} AS installed
WORKDIR /source
COPY requirements requirements
COPY requirements.lock ./
COPY --from=wheel /wheels /wheels
RUN python -m venv /opt/patchclip \
  && /opt/patchclip/bin/python -m pip install --no-cache-dir --require-hashes --requirement "${LOCK}" \
  && /opt/patchclip/bin/python -m pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.11.14-slim-bookworm AS node
RUN groupadd --system --gid 10001 patchclip \
  && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin patchclip \
  && install --directory --owner patchclip --group patchclip --mode 0700 /var/lib/patchclip
# `backup` and `upgrade` of a ledger on PostgreSQL run its pg_dump: Debian 12 has version 15, as has the server of compose.yaml.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends postgresql-client \
  && rm -rf /var/lib/apt/lists/*
COPY --from=installed /opt/patchclip /opt/patchclip
# The root may be read-only: all that is written lies in the volume, and what is passing in /tmp.
# NODE_HEALTH is asked by the health check; a worker's container asks the one that serves the status pages.
ENV PATH=/opt/patchclip/bin:/usr/local/bin:/usr/bin:/bin \
  PYTHONDONTWRITEBYTECODE=1 \
  HOME=/tmp \
  PATCHCLIP_DATA_DIR=/var/lib/patchclip \
  NODE_HEALTH=http://127.0.0.1:8042/healthz
WORKDIR /var/lib/patchclip
USER 10001:10001
VOLUME /var/lib/patchclip
EXPOSE 11112 8042
# /healthz answers 503 while something is wrong, which urlopen raises.
HEALTHCHECK --interval=15s --timeout=8s --start-period=90s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['NODE_HEALTH'], timeout=6)"]
ENTRYPOINT ["patchclip-node"]
CMD ["serve"]
