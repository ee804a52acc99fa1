// Shows the address that the page was loaded from, without the slash at its end.
document.getElementById('address').textContent = new URL('.', document.baseURI).href.replace(/\/$/, '')
