// http-proxy-3 behind the servers of Node: one process, an agent that keeps connections.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { createProxyServer } = require("http-proxy-3");

const proxy = createProxyServer({
  target: "http://127.0.0.1:@UPSTREAM_PORT@",
  agent: new http.Agent({ keepAlive: true, maxFreeSockets: 1024 }), // without an agent every call connects anew
  xfwd: true, // X-Forwarded-…, as the others
  proxyTimeout: 30000, // milliseconds
});
proxy.on("error", (error, request, response) => {
  if (!response.headersSent) response.writeHead?.(502);
  response.end();
});

const handle = (request, response) => proxy.web(request, response);
const tls = { cert: fs.readFileSync("@CERTIFICATE@"), key: fs.readFileSync("@KEY@") };
// Connections that wait to be accepted: 4,096 in the place of 511, as for the others.
http.createServer(handle).listen({ host: "127.0.0.1", port: @PORT@, backlog: 4096 });
https.createServer(tls, handle).listen({ host: "127.0.0.1", port: @TLS_PORT@, backlog: 4096 });
