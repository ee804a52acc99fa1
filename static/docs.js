SwaggerUIBundle({
  dom_id: '#swagger-ui',
  url: 'openapi.json',
  deepLinking: true,
  persistAuthorization: false, // a token ends with the page
  validatorUrl: null, // the document stays here
})
