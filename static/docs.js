SwaggerUIBundle({
  dom_id: '#swagger-ui',
  url: 'openapi.json',
  deepLinking: true,
  persistAuthorization: false, // the browser forgets the token with the page
  validatorUrl: null, // do not send the document to a validator
})
