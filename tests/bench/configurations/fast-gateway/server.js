// fast-gateway: one route to one backend, defaults. Its agent keeps connections, up to 2,048 idle ones.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const gateway = require("fast-gateway");

const routes = () => [{ prefix: "", target: "http://127.0.0.1:@UPSTREAM_PORT@" }];
const serve = (server, port) =>
  gateway({ restana: { server }, timeout: 30000, routes: routes() }) // milliseconds
    .getServer()
    .listen({ host: "127.0.0.1", port, backlog: 4096 }); // 4,096 waiting connections in the place of 511

const tls = { cert: fs.readFileSync("@CERTIFICATE@"), key: fs.readFileSync("@KEY@") };
serve(http.createServer(), @PORT@);
serve(https.createServer(tls), @TLS_PORT@);
