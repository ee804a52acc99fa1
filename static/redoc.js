Redoc.init('openapi.json', {
  disableSearch: true, // its index is built in a worker made of a blob, which the page may not start
  theme: { colors: { primary: { main: '#0a5fb4' } } },
}, document.getElementById('redoc'))
