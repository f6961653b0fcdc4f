# OHIF, the build that the acceptance tests look at results with, behind nginx, which passes DICOMweb on to the archive.
FROM node:22.20.0-bookworm-slim AS viewer
WORKDIR /viewer
ARG OHIF=3.13.2
ARG SHA512=5997719a9986eeba85816f5924b71b82bdd70ad2e2d4a0cd3e831a798e4f3deea3e06e1f8c48e393271933a0ba664d85f3b04ac457e9abe8dde715d907d13c10
RUN npm pack "@ohif/app@${OHIF}" \
  && echo "${SHA512}  ohif-app-${OHIF}.tgz" > sums \
  && sha512sum --check sums \
  && tar --extract --gzip --file "ohif-app-${OHIF}.tgz"

FROM debian:12.12-slim AS ohif
RUN apt-get update \
  && apt-get install --yes --no-install-recommends curl nginx-light \
  && rm -rf /var/lib/apt/lists/*
COPY --from=viewer /viewer/package/dist /usr/share/ohif
COPY docker/ohif/nginx.conf docker/ohif/app-config.js /etc/ohif/
# www-data, as Debian numbers it.
USER 33:33
EXPOSE 3000
HEALTHCHECK --interval=15s --timeout=5s --start-period=15s --retries=3 \
  CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:3000/"]
CMD ["nginx", "-e", "stderr", "-c", "/etc/ohif/nginx.conf", "-g", "daemon off;"]
