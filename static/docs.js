// The document names its server and its token endpoints by relative addresses. Swagger UI would resolve those of
// the token endpoints against the root of the host, so it gets all of them as absolute ones.
const absoluteAddresses = () => ({
  statePlugins: {
    spec: {
      wrapActions: {
        updateJsonSpec: (update) => (spec) => {
          const server = new URL(spec.servers[0].url, new URL('openapi.json', document.baseURI))
          for (const { flows } of Object.values(spec.components.securitySchemes)) {
            for (const flow of Object.values(flows ?? {})) {
              flow.tokenUrl = new URL(flow.tokenUrl, server).href
            }
          }
          spec.servers[0].url = server.href.replace(/\/$/, '')
          return update(spec)
        },
      },
    },
  },
})

const ui = SwaggerUIBundle({
  dom_id: '#swagger-ui',
  url: 'openapi.json',
  deepLinking: true,
  showExtensions: true, // x-fresh-sign-in
  persistAuthorization: false, // the browser forgets the token with the page
  validatorUrl: null, // do not send the document to a validator
  plugins: [absoluteAddresses],
})

// Signs in as the user that the gateway of Snowflake names. Swagger UI then has the token as from its own dialog.
const signInWithSnowflake = async () => {
  const reply = await fetch('auth/snowflake', { method: 'POST' })
  const body = await reply.json()
  if (!reply.ok) throw new Error(body.detail)
  const name = 'password'
  const schema = ui.specSelectors.specJson().getIn(['components', 'securitySchemes', name])
  ui.authActions.authorizeOauth2({ auth: { name, schema }, token: body })
}

const outcome = document.querySelector('#snowflake output')
const button = document.querySelector('#snowflake button')
button.addEventListener('click', () => {
  signInWithSnowflake().then(
    () => { outcome.textContent = 'You are signed in.' },
    (error) => { outcome.textContent = error.message })
})
button.disabled = false
