# Orthanc as the archive: Debian's packages, which the acceptance tests run.
FROM debian:12.12-slim AS orthanc
# Debian's package takes a user of this name that is there already; made here, its number is known.
RUN groupadd --system --gid 10002 orthanc \
  && useradd --system --uid 10002 --gid 10002 --no-create-home --home-dir /var/lib/orthanc --shell /usr/sbin/nologin orthanc
RUN apt-get update \
  && apt-get install --yes --no-install-recommends curl orthanc orthanc-dicomweb \
  && rm -rf /var/lib/apt/lists/*
COPY docker/orthanc/orthanc.json docker/orthanc/forward.lua docker/orthanc/iocm.lua /etc/patchclip/
USER 10002:10002
VOLUME /var/lib/orthanc
EXPOSE 4242 8042
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8042/system"]
CMD ["Orthanc", "/etc/patchclip/orthanc.json"]
