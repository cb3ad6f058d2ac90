package cli

import "runtime/debug"

// leanBytes is what a backup or a restore should need, however much it moves.
const leanBytes = 110 << 20

// lean lets the collector work harder rather than let memory grow while something
// large is moved. It gives the way back.
func lean() (back func()) {
	before := debug.SetMemoryLimit(leanBytes)
	return func() { debug.SetMemoryLimit(before) }
}
