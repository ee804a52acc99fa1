# The image of the service: one static binary, and nothing that could be run beside it.
#
#     docker build --platform linux/amd64 --build-arg VERSION=1.2.3 -t echo-in-snowflake .
#
# The same sources and the same image of Go give the same image, bit for bit, with a builder
# that sets time stamps to a fixed time (BuildKit: SOURCE_DATE_EPOCH and rewrite-timestamp; buildah:
# --timestamp 0).

# Go cross-compiles, so that this stage need not be emulated on other machines. Dependabot keeps the
# version, which it does not find in an ARG.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=(devel)
# The tags leave out what the service does not use: a library of the driver that writes to the
# temporary folder, and gRPC's own tracing, which costs 10 MB.
RUN --mount=type=cache,target=/cache GOCACHE=/cache CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false \
    -tags minicore_disabled,grpcnotrace -ldflags "-s -w -X main.stamped=${VERSION}" \
    -o /echo-in-snowflake ./cmd/server

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /zoneinfo.zip
COPY --from=build /echo-in-snowflake /echo-in-snowflake
# ZONEINFO is where Go looks for time zones. Everything but a loopback address makes the service
# refuse to start without STORAGE and secrets of its own.
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
