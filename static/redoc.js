Redoc.init('openapi.json', {
  showExtensions: ['x-fresh-sign-in'],
  disableSearch: true, // the search needs a worker from a blob, which the page's policy forbids
  theme: { colors: { primary: { main: '#0a5fb4' } } },
}, document.getElementById('redoc'))
