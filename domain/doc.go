// Package domain holds accounts, items, the actor of a request and the errors that all layers share. It
// imports only the standard library and knows nothing of HTTP, SQL, token formats or logs.
//
// Values are parsed once: only a parser returns an [Email], a [Password], a [FullName], a [Title] or a
// [Description], so a value of these types is valid. The use cases are in domain/auth, domain/users and
// domain/items.
package domain
