# The trainer: a program that runs and ends. Build it from the repository's root:
#   docker build --file docker/trainer.Dockerfile --tag patchclip-trainer .
# PyTorch for `cpu`, or for `cuda`: --build-arg ACCELERATOR=cuda.
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

# Only what the program needs, each file by the digest in the lock.
FROM ${ACCELERATOR} AS installed
WORKDIR /source
COPY requirements requirements
COPY requirements.lock ./
COPY --from=wheel /wheels /wheels
RUN python -m venv /opt/patchclip \
  && /opt/patchclip/bin/python -m pip install --no-cache-dir --require-hashes --requirement "${LOCK}" \
  && /opt/patchclip/bin/python -m pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.11.14-slim-bookworm AS trainer
RUN groupadd --system --gid 10001 patchclip \
  && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin patchclip \
  && install --directory --owner patchclip --group patchclip --mode 0700 /var/lib/patchclip
COPY --from=installed /opt/patchclip /opt/patchclip
# The root may be read-only: data, runs and checkpoints lie in the volume, and what is passing in /tmp.
ENV PATH=/opt/patchclip/bin:/usr/local/bin:/usr/bin:/bin \
  PYTHONDONTWRITEBYTECODE=1 \
  HOME=/tmp
WORKDIR /var/lib/patchclip
USER 10001:10001
VOLUME /var/lib/patchclip
# It serves nothing: its exit status says how it went.
HEALTHCHECK NONE
ENTRYPOINT ["patchclip-trainer"]
CMD ["--help"]
