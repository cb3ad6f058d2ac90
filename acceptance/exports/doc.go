// Package exports drills applications that export what they hold, real Workers
// on a real sandbox: what a Durable Object stores is compared by the only way
// that leads to it, and an application that reads something else than the API
// does not pass.
package exports
