// Package domain holds what the service is about: accounts, items, the actor who asks, and the
// errors that all layers share. It depends on the standard library only and knows nothing of HTTP,
// SQL, tokens or logs.
//
// A value in hand is valid: [Email], [Password], [FullName], [Title] and [Description] come only
// from their parsers. The use cases live below, in domain/auth, domain/users and domain/items.
package domain
