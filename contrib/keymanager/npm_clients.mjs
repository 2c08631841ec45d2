// What clients of other makers do with our authorization server: `openid-client`, or `oauth4webapi` below it.
// One line of JSON out is a question to whoever has the browser, and one line in is the answer; the last line out has `done`.
import readline from 'node:readline';

const [library, given] = [process.argv[2], JSON.parse(process.argv[3])];
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const ask = async (question) => {
  console.log(JSON.stringify(question));
  return JSON.parse((await lines.next()).value);
};
// the server is known by another name than that of the socket, as behind a proxy
const fetchHere = (url, options) => fetch(String(url).replace(given.issuer, given.here), options);
const [state, nonce] = ['of mine & more', 'a nonce of mine'];
const asked = { redirect_uri: given.callback, scope: given.scope, state, nonce, max_age: '300', code_challenge_method: 'S256' };
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const error = async (what) => what.then(() => 'nothing', (fault) => fault.error ?? String(fault));

const makers = {
  async 'openid-client'() {
    const lib = await import('openid-client');
    const options = { [lib.customFetch]: fetchHere, timeout: 60 };
    const found = (id, secret, how) => lib.discovery(new URL(given.issuer), id, secret, how, options);
    const client = await found(given.id, given.secret, lib.ClientSecretBasic(given.secret));
    lib.enableNonRepudiationChecks(client); // so that it looks at signatures, too
    const verifier = lib.randomPKCECodeVerifier();
    const challenge = await lib.calculatePKCECodeChallenge(verifier);
    const url = lib.buildAuthorizationUrl(client, { ...asked, code_challenge: challenge });
    const back = new URL((await ask({ go: url.href })).back);
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, maxAge: 300, idTokenExpected: true };
    const tokens = await lib.authorizationCodeGrant(client, back, checks);
    const claims = tokens.claims();
    const about = await lib.fetchUserInfo(client, tokens.access_token, claims.sub);
    const refreshed = await lib.refreshTokenGrant(client, tokens.refresh_token);
    const application = await lib.clientCredentialsGrant(client, { scope: 'open' });
    const before = await lib.tokenIntrospection(client, application.access_token);
    await lib.tokenRevocation(client, application.access_token);
    const after = await lib.tokenIntrospection(client, application.access_token);
    const vouched = await lib.genericGrantRequest(client, JWT_BEARER, { assertion: given.assertion, scope: 'news_read' });
    const twice = await error(lib.refreshTokenGrant(client, tokens.refresh_token));
    const device = await found(given.device, undefined, lib.None());
    lib.enableNonRepudiationChecks(device);
    const begun = await lib.initiateDeviceAuthorization(device, { scope: 'openid news_read' });
    await ask({ type: begun.user_code, at: begun.verification_uri });
    const there = await lib.pollDeviceAuthorizationGrant(device, begun);
    return {
      tokens, claims, about, refreshed, again: refreshed.claims(), application, before, after, vouched, twice,
      device: there, on: there.claims(),
    };
  },

  async oauth4webapi() {
    const lib = await import('oauth4webapi');
    const http = { [lib.customFetch]: fetchHere };
    const issuer = new URL(given.issuer);
    const read = async (algorithm) =>
      lib.processDiscoveryResponse(issuer, await lib.discoveryRequest(issuer, { ...http, algorithm }));
    const server = await read('oidc');
    const named = (await read('oauth2')).token_endpoint;
    if (named !== server.token_endpoint) throw new Error(`two documents, two token endpoints: ${named}`);
    const client = { client_id: given.id };
    const how = lib.ClientSecretPost(given.secret);
    const verifier = lib.generateRandomCodeVerifier();
    const challenge = await lib.calculatePKCECodeChallenge(verifier);
    const url = new URL(server.authorization_endpoint);
    const more = { client_id: given.id, response_type: 'code', code_challenge: challenge };
    for (const [name, value] of Object.entries({ ...asked, ...more })) url.searchParams.set(name, value);
    const back = new URL((await ask({ go: url.href })).back);
    const params = lib.validateAuthResponse(server, client, back, state);
    let answer = await lib.authorizationCodeGrantRequest(server, client, how, params, given.callback, verifier, http);
    const checks = { expectedNonce: nonce, maxAge: 300, requireIdToken: true };
    const tokens = await lib.processAuthorizationCodeResponse(server, client, answer, checks);
    await lib.validateApplicationLevelSignature(server, answer, http);
    const claims = lib.getValidatedIdTokenClaims(tokens);
    answer = await lib.userInfoRequest(server, client, tokens.access_token, http);
    const about = await lib.processUserInfoResponse(server, client, claims.sub, answer);
    answer = await lib.refreshTokenGrantRequest(server, client, how, tokens.refresh_token, http);
    const refreshed = await lib.processRefreshTokenResponse(server, client, answer);
    answer = await lib.clientCredentialsGrantRequest(server, client, how, { scope: 'open' }, http);
    const application = await lib.processClientCredentialsResponse(server, client, answer);
    const introspected = async (token) =>
      lib.processIntrospectionResponse(server, client, await lib.introspectionRequest(server, client, how, token, http));
    const before = await introspected(application.access_token);
    await lib.processRevocationResponse(await lib.revocationRequest(server, client, how, application.access_token, http));
    const after = await introspected(application.access_token);
    const wanted = { assertion: given.assertion, scope: 'news_read' };
    answer = await lib.genericTokenEndpointRequest(server, client, how, JWT_BEARER, wanted, http);
    const vouched = await lib.processGenericTokenEndpointResponse(server, client, answer);
    answer = await lib.refreshTokenGrantRequest(server, client, how, tokens.refresh_token, http);
    const twice = await error(lib.processRefreshTokenResponse(server, client, answer));
    const [handheld, none] = [{ client_id: given.device }, lib.None()];
    answer = await lib.deviceAuthorizationRequest(server, handheld, none, { scope: 'openid news_read' }, http);
    const begun = await lib.processDeviceAuthorizationResponse(server, handheld, answer);
    await ask({ type: begun.user_code, at: begun.verification_uri });
    answer = await lib.deviceCodeGrantRequest(server, handheld, none, begun.device_code, http);
    const there = await lib.processDeviceCodeResponse(server, handheld, answer);
    return {
      tokens, claims, about, refreshed, again: lib.getValidatedIdTokenClaims(refreshed), application, before, after,
      vouched, twice, device: there, on: lib.getValidatedIdTokenClaims(there),
    };
  },
};

console.log(JSON.stringify({ done: await makers[library]() }));
process.exit(0);
