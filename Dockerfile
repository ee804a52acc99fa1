# The image of the service. It holds one static binary and no other program.
#
#     docker build --platform linux/amd64 --build-arg VERSION=1.2.3 -t echo-in-snowflake .
#
# The build is reproducible: the same sources and the same image of Go give the same image, if the builder
# fixes the time stamps (BuildKit: SOURCE_DATE_EPOCH and rewrite-timestamp; buildah: --timestamp 0).

# Go cross-compiles, so no machine has to emulate this stage. Dependabot updates the version; it does not
# find versions in an ARG.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=(devel)
# The tags exclude code that the service does not use: a library of the driver that writes to the temporary
# folder, and gRPC's own tracing, which adds 10 MB.
RUN --mount=type=cache,target=/cache GOCACHE=/cache CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false \
    -tags minicore_disabled,grpcnotrace -ldflags "-s -w -X main.stamped=${VERSION}" \
    -o /echo-in-snowflake ./cmd/server

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /zoneinfo.zip
COPY --from=build /echo-in-snowflake /echo-in-snowflake
# Go finds the time zones through ZONEINFO. Because the address is not a loopback address, the service starts
# only with STORAGE and its own secrets.
ENV ZONEINFO=/zoneinfo.zip HTTP_ADDR=:8000
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["/echo-in-snowflake"]
ARG VERSION=(devel)
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Echo in Snowflake" \
      org.opencontainers.image.description="A REST service for accounts and items on Snowflake tables" \
      org.opencontainers.image.source="https://github.com/echo-in-snowflake/echo-in-snowflake" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
