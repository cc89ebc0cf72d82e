// A real OpenID provider on a port of 127.0.0.1: `node server.mjs SETTINGS`, a JSON file:
//   port        where it listens; its issuer is http://127.0.0.1:PORT
//   keys        a JWK set of private keys, a file beside the settings; the first signs. On SIGHUP it is read again: the
//               provider is made anew with what it holds, and takes over between two requests
//   clients     as oidc-provider's configuration has them
//   resources   name of a resource -> {audience, format}: jwt (RFC 9068) or opaque access tokens; the first is what is
//               meant where a request names none
//   persons     name -> {password, groups}; access tokens for a person have the groups
//   services    client -> further claims of its own access tokens
// TAGWARDEN_PROVIDER is the folder that `npm ci` filled.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const installed = createRequire(join(process.env.TAGWARDEN_PROVIDER, 'package.json'));
const { default: Provider } = await import(pathToFileURL(installed.resolve('oidc-provider')));

const path = process.argv[2];
const settings = JSON.parse(readFileSync(path));
const issuer = `http://127.0.0.1:${settings.port}`;
const SCOPES = 'read';

function make() {
  const provider = new Provider(issuer, {
    jwks: JSON.parse(readFileSync(join(dirname(path), settings.keys))),
    clients: settings.clients,
    cookies: { keys: ['of the tests'] },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (ctx, id) => Object.hasOwn(settings.persons, id)
      && { accountId: id, claims: () => ({ sub: id, groups: settings.persons[id].groups }) },
    extraTokenClaims: (ctx, token) => (token.accountId
      ? { groups: settings.persons[token.accountId].groups }
      : settings.services[token.clientId]),
    ttl: {
      AccessToken: 3600, ClientCredentials: 3600, IdToken: 3600, RefreshToken: 3600, Grant: 3600, Interaction: 600, Session: 600,
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => Object.keys(settings.resources)[0],
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: SCOPES,
          audience: settings.resources[resource].audience,
          accessTokenFormat: settings.resources[resource].format,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  return provider;
}

// The memory adapter's storage belongs to the module: codes, tokens and grants outlive a change of the keys.
let provider = make();
let handle = provider.callback();
process.on('SIGHUP', () => {
  provider = make();
  handle = provider.callback();
});

async function formOf(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return new URLSearchParams(text);
}

// What a person sees: a form for the password, then one that asks whether the client may.
async function interact(request, response) {
  const { uid, prompt, params, session } = await provider.interactionDetails(request, response);
  const page = (status, fields) => {
    response.writeHead(status, { 'content-type': 'text/html' });
    response.end(`<form method="post" action="/interaction/${uid}">${fields}<button>Continue</button></form>`);
  };
  const ask = (status) => page(status, prompt.name === 'login'
    ? '<input name="login"><input name="password" type="password">'
    : '<input name="consent" type="hidden" value="yes">');
  if (request.method !== 'POST') return ask(200);
  const form = await formOf(request);
  if (prompt.name === 'login') {
    const [accountId, password] = [form.get('login'), form.get('password')];
    if (!Object.hasOwn(settings.persons, accountId) || settings.persons[accountId].password !== password) return ask(403);
    return provider.interactionFinished(request, response, { login: { accountId } });
  }
  if (form.get('consent') !== 'yes') return ask(403);
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  for (const resource of [params.resource].flat()) grant.addResourceScope(resource, SCOPES);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return handle(request, response);
  return interact(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
}).listen(settings.port, '127.0.0.1');
