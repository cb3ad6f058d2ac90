// Package engine decides what a drill does next, and nothing else: it is a
// state machine without clock, I/O, goroutine or chance. Inputs come in
// through [Machine.Step]; [Machine.Ready] gives the records that the machine
// decided on and the effects that may start once these are durable;
// [Machine.Advance] says that they are.
//
// State is the fold of the records. Every decision becomes a record first,
// and the same function applies it live and on [Load], so that folding never
// decides and a resumed run stands exactly where the lost one stood.
//
// The shell's loop is this, and it is the ordering contract too:
//
//	m := engine.New(resolver)
//	m.Step(engine.Start{…})
//	for !m.Done() {
//		for rd, ok := m.Ready(); ok; rd, ok = m.Ready() {
//			persist rd.Records              // first
//			m.Advance()
//			start rd.Effects                // only now
//		}
//		m.Step(next completion, edge, interrupt, answer or measurement)
//	}
//
// DESIGN.md beside this file tells how undo, resume and verdicts are decided;
// testdata holds the scenarios as text.
package engine
