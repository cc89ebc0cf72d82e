# The image: the static binary, trust roots and the licence, nothing else; no shell, no C library, no package manager.
#   docker build --build-arg SOURCE_DATE_EPOCH="$(git show -s --format=%ct)" --tag tagwarden:0.1.0 .
# `tests/run --only release` builds the second stage and runs it; the first it carries out by the same command, without the image
# that it begins with. Pin that one by its digest where your registry tells it.
FROM rust:1.95.0-bookworm AS build
ARG SOURCE_DATE_EPOCH=0
WORKDIR /tagwarden
COPY . .
RUN tests/release/compile . /out/tagwarden

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /tagwarden/LICENSE /LICENSE
COPY --from=build /out/tagwarden /tagwarden
LABEL org.opencontainers.image.title="tagwarden" \
      org.opencontainers.image.description="A reverse-proxy authorization sidecar for feature servers" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
EXPOSE 8080 9901 9902
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 \
  CMD ["/tagwarden", "healthcheck", "--config", "/etc/tagwarden/tagwarden.yaml"]
ENTRYPOINT ["/tagwarden"]
CMD ["serve", "--config", "/etc/tagwarden/tagwarden.yaml"]
