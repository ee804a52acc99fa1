// The document names its server and its token endpoint by relative addresses. Swagger UI would resolve that of
// the token endpoint against the root of the host, so it gets both as absolute ones.
const absoluteAddresses = () => ({
  statePlugins: {
    spec: {
      wrapActions: {
        updateJsonSpec: (update) => (spec) => {
          const server = new URL(spec.servers[0].url, new URL('openapi.json', document.baseURI))
          const { password } = spec.components.securitySchemes.password.flows
          password.tokenUrl = new URL(password.tokenUrl, server).href
          spec.servers[0].url = server.href.replace(/\/$/, '')
          return update(spec)
        },
      },
    },
  },
})

SwaggerUIBundle({
  dom_id: '#swagger-ui',
  url: 'openapi.json',
  deepLinking: true,
  persistAuthorization: false, // the browser forgets the token with the page
  validatorUrl: null, // do not send the document to a validator
  plugins: [absoluteAddresses],
})
