// Package conformance runs the platform's own SDK for Go against the sandbox:
// a second opinion on every answer, by code that shares no line with either
// side. It is a module of its own, so that the product is built without it.
//
// Only the SDK's sub-packages are imported: its root package alone takes more
// than a minute and a gigabyte and a half to build. Their parameter types have
// fields of an internal type, which the tests fill through reflection.
package conformance
