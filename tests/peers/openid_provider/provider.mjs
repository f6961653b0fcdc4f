// A certified OpenID provider for tests, on loopback, with people from a file. In `lie` that file says what it tells
// wrongly: a test can have it misbehave in one thing.
//
//   node --input-type=module - SETTINGS < provider.mjs      in the folder whose node_modules hold it
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { SignJWT, UnsecuredJWT, decodeJwt, exportJWK, generateKeyPair, importJWK } from 'jose'
import Provider from 'oidc-provider'

const settings = JSON.parse(process.argv[2])
const state = () => JSON.parse(readFileSync(settings.people, 'utf8'))
const key = async (kid) => ({ ...(await exportJWK((await generateKeyPair('RS256', { extractable: true })).privateKey)), kid, use: 'sig', alg: 'RS256' })
const [ownKey, strangersKey] = [await key('own'), await key('own')]
const client = {
  redirect_uris: settings.redirect_uris,
  post_logout_redirect_uris: settings.post_logout_redirect_uris,
  grant_types: ['authorization_code', 'refresh_token'],
}

const provider = new Provider(settings.issuer, {
  clients: [
    { ...client, client_id: 'patchclip', client_secret: settings.secret },
    { ...client, client_id: 'another', client_secret: settings.secret },
  ],
  jwks: { keys: [ownKey] },
  cookies: { keys: ['of the tests'] },
  claims: { openid: ['sub'], profile: ['preferred_username', 'roles'] },
  conformIdTokenClaims: false, // the claims are in the ID token
  pkce: { required: () => true, methods: ['S256'] },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  issueRefreshToken: async () => state().refresh_tokens !== false,
  rotateRefreshToken: true,
  ttl: { AccessToken: 600, IdToken: 7200, Interaction: 600, Grant: 86400, Session: 86400, RefreshToken: 86400 },
  // Whoever logs in agrees to everything.
  async loadExistingGrant (ctx) {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId })
    grant.addOIDCScope('openid profile')
    await grant.save()
    return grant
  },
  async findAccount (_ctx, sub) {
    const roles = state().people[sub]
    if (roles === undefined) return undefined
    return { accountId: sub, claims: async () => ({ sub, preferred_username: sub, roles }) }
  },
})

const sign = (claims, jwk, alg = 'RS256') =>
  importJWK(jwk, alg).then((imported) => new SignJWT(claims).setProtectedHeader({ alg, kid: 'own' }).sign(imported))
const now = () => Math.floor(Date.now() / 1000)
const LIES = {
  alg_none: (claims) => new UnsecuredJWT(claims).encode(),
  // The secret that both sides share, as the key: a signature that whoever knows the secret can make.
  alg_hs256: (claims) => new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'own' }).sign(Buffer.from(settings.secret)),
  another_key: (claims) => sign(claims, strangersKey),
  another_audience: (claims) => sign({ ...claims, aud: 'another' }, ownKey),
  another_party: (claims) => sign({ ...claims, aud: ['patchclip', 'another'], azp: 'another' }, ownKey),
  another_issuer: (claims) => sign({ ...claims, iss: 'https://evil.example' }, ownKey),
  another_nonce: (claims) => sign({ ...claims, nonce: 'of another login' }, ownKey),
  no_nonce: ({ nonce, ...claims }) => sign(claims, ownKey),
  another_access_token: (claims) =>
    sign({ ...claims, at_hash: createHash('sha256').update('another').digest().subarray(0, 16).toString('base64url') }, ownKey),
  expired: (claims) => sign({ ...claims, iat: now() - 1200, exp: now() - 600 }, ownKey),
  from_the_future: (claims) => sign({ ...claims, iat: now() + 600, exp: now() + 1200 }, ownKey),
}
provider.use(async (ctx, next) => {
  await next()
  const lie = LIES[state().lie]
  if (lie && ctx.path === '/token' && ctx.body?.id_token) ctx.body.id_token = await lie(decodeJwt(ctx.body.id_token))
})

const server = settings.tls
  ? createTlsServer({ key: readFileSync(settings.tls.key), cert: readFileSync(settings.tls.certificate) }, provider.callback())
  : createServer(provider.callback())
server.listen(settings.port, '127.0.0.1')
