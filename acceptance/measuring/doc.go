// Package measuring runs whole drills against a small application that can be
// damaged and that lies, and looks at what the results say of it. The
// application knows what really happened to it. It has no code of its own.
package measuring
