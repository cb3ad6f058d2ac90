// Package crash holds the tests of what is left when a drill is stopped, or when
// the platform fails it, at every single point: each built-in drill that needs no
// process beside it runs with the real engine, runner, actions and client, on a
// clock that only waits move, against the sandbox's databases and namespaces behind
// a transport in memory. After every append of the journal and every request the
// world is looked at as a crash would leave it, and taken up from there.
//
// All hold one promise: the environment ends as it was, nothing is damaged twice,
// what is called passed was shown, and the records can be read. It has no code of
// its own.
package crash
