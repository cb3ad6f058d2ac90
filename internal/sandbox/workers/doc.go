// Package workers is the part of the sandbox that keeps and runs Workers.
//
// A Manager stores scripts, their immutable versions and their deployments, and
// has the real workerd run what is deployed. Its methods are the operations of
// the platform's Workers API, without HTTP: the API package translates. Its
// Front is the handler through which the Workers are reached.
//
// Every change follows one order. The new processes are started and must
// listen; then the change is made durable; then the front switches to them; then
// the processes that nobody uses any more finish their requests and end. So a
// deployment that cannot start changes nothing, and one that was acknowledged
// is served, also after a crash. DESIGN.md in this folder tells more.
package workers
