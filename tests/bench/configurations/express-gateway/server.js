// Starts express-gateway with the configuration in this folder and the models that come with it.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const gateway = require("express-gateway");

const models = path.join(path.dirname(require.resolve("express-gateway")), "config", "models");
fs.cpSync(models, path.join(__dirname, "models"), { recursive: true });
gateway().load(__dirname).run();
